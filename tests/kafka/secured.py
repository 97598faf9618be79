"""A Kafka with TLS, passwords and access rules, set up by the very commands of docs/operations/security.md."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tasktape.events.settings import Properties, Settings
from tasktape.tests.kafka.broker import START_TIMEOUT, Child, KafkaMissingError, java, require, serves
from tasktape.tests.kafka.ports import free_port

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "security.md"
BLOCK = re.compile(r"^```\w+ (?P<name>[\w.]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {
    "kafka-storage.sh": "kafka.tools.StorageTool",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
}
FOR_ONE_QUICK_NODE = """
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
share.coordinator.state.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=500
"""


class SecuredBroker:
    """One node. The page's host is this machine, its folders are in `folder`."""

    def __init__(self, folder: Path) -> None:
        require("java", "openssl")
        self.folder = folder
        self.address = f"localhost:{free_port()}"
        self._places = {
            "broker-1.example.com:9094": self.address,
            "broker-1.example.com:9095": f"localhost:{free_port()}",
            "broker-1.example.com:9093": f"localhost:{free_port()}",
            "broker-1.example.com": "localhost",
            "/etc/kafka": str(folder),
            "/var/lib/kafka": str(folder / "data"),
        }
        self._blocks = {found["name"]: found["text"] for found in BLOCK.finditer(PAGE.read_text())}
        self._node = Child(folder, java("kafka.Kafka", "server.properties"), "broker")

    def start(self) -> None:
        """Do what the page says, up to the users."""
        self._make_programs()
        self.run("certificates")
        self._write("server.properties", self.block("server.properties") + FOR_ONE_QUICK_NODE)
        self.run("format")
        self._write(
            "admin.properties", self.block("admin.properties").replace("ADMIN-PASSWORD", self.password("admin"))
        )
        self._node.launch()
        self._wait_until_ready()
        self.run("users")

    def stop(self) -> None:
        """End the node."""
        self._node.kill()

    def block(self, name: str) -> str:
        """A file or commands of the page, about this machine."""
        text = self._blocks[name]
        for there, here in self._places.items():
            text = text.replace(there, here)
        return text

    def run(self, name: str, **variables: str) -> str:
        """Run commands of the page."""
        return self.sh(self.block(name), **variables)

    def sh(self, commands: str, **variables: str) -> str:
        """Run commands in the broker's folder, with Kafka's programs and tasktape at hand; return what they print."""
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=os.environ | {"PATH": path} | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout

    def password(self, user: str) -> str:
        """The user's password; a user who is not known yet is made."""
        file = self.folder / f"{user}.password"
        if not file.exists():
            file.write_text(f"{user}-{os.urandom(12).hex()}\n")
            self._make_user(user, file.read_text().strip())
        return file.read_text().strip()

    def properties(self, user: str) -> Properties:
        """librdkafka's properties for a user."""
        return Properties(
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": user,
                "sasl.password": self.password(user),
                "ssl.ca.location": str(self.folder / "ca.pem"),
            }
        )

    def settings(self, user: str, home: Path) -> Settings:
        """Settings of a user."""
        return Settings(home=home, log=f"kafka://{self.address}", kafka=self.properties(user))

    def settings_file(self, user: str, file: Path) -> Path:
        """Write the page's settings file for a user."""
        text = self.block("tasktape.toml").replace("ALICE-PASSWORD", self.password(user)).replace("alice", user)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def admin(self) -> AdminClient:
        """A client of `admin`'s."""
        return AdminClient({"bootstrap.servers": self.address, **self.properties("admin")})

    def _make_user(self, user: str, password: str) -> None:
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        wanted = UserScramCredentialUpsertion(user, info, password.encode())
        client = self.admin()
        client.alter_user_scram_credentials([wanted])[user].result()

    def _make_programs(self) -> None:
        """Make what Apache Kafka's `bin` holds, for the jars of the tests."""
        (self.folder / "bin").mkdir()
        for name, main in PROGRAMS.items():
            self._write(f"bin/{name}", f'#!/bin/sh\nexec {shlex.join(java(main))} "$@"\n')
            (self.folder / "bin" / name).chmod(0o755)

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not serves(self.address, self.properties("admin")):
            if not self._node.alive or time.monotonic() > deadline:
                raise KafkaMissingError(f"Kafka did not start:\n{self._node.tail()}")
