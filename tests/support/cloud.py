"""All that a machine meets around it: an AWS, a Kafka with a password, a git host, and a mirror of packages.

Each is at this machine's end of the cable, but for the metadata service, which is where machines look for it.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import boto3

from tasktape.events.settings import Settings
from tasktape.scaler.aws import AwsProvider
from tasktape.scaler.provider import Launched, Order
from tasktape.scaler.settings import ScalerSettings
from tasktape.tests.kafka.broker import Broker, Node
from tasktape.tests.kafka.ports import free_port
from tasktape.tests.support.debian import Debian, debian, tasktape_wheel
from tasktape.tests.support.ec2 import Ec2, ec2_before, moto_server
from tasktape.tests.support.git_server import private_repository
from tasktape.tests.support.imds import FakeImds, fake_imds
from tasktape.tests.support.namespaces import METADATA, Network, network

GIT: Final = "token-of-git-91"
KAFKA: Final = "password-of-sasl-92"
REGION: Final = "us-east-1"
BUCKET: Final = "machines"
_LISTENERS: Final = """
listeners=PLAINTEXT://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller_port},MACHINES://{here}:{port}
advertised.listeners=PLAINTEXT://127.0.0.1:{node.port},MACHINES://{here}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MACHINES:SASL_PLAINTEXT
listener.name.machines.sasl.enabled.mechanisms=PLAIN
listener.name.machines.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_machine="{password}";
"""
_BEFORE: Final = """
echo 'deb [trusted=yes] {mirror}/debs ./' >/etc/apt/sources.list
cat >/etc/pip.conf <<'PIP'
[global]
no-index = true
find-links = {mirror}/wheels/
trusted-host = {here}
PIP
mkdir -p /root/.aws
printf '[default]\\nendpoint_url = {aws}\\n' >/root/.aws/config
"""


@dataclass
class Cloud:
    """`kafka` is the log's URL on this side of the cable, `repository` what machines check out."""

    network: Network
    debian: Debian
    kafka: str
    repository: str
    imds: FakeImds
    s3: Any
    scaler: ScalerSettings
    settings: Settings
    ec2: Ec2
    launched: list[str] = field(default_factory=list)

    def user_data(self) -> bytes:
        """What EC2 is given to start a machine of the scaler's with; its instance is added to `launched`."""
        provider = AwsProvider(self.scaler, self.settings)
        try:
            kind = self.scaler.resources["machine"]
            place = next(place for tier in kind.tiers() for place in tier)
            order = Order(uuid.uuid4().hex, "machine", kind, place, self.scaler.queues_of("machine"))
            (outcome,) = provider.launch([order])
        finally:
            provider.close()
        assert isinstance(outcome, Launched), outcome
        self.launched.append(order.instance)
        return base64.b64decode(self.ec2.calls("RunInstances")[-1]["UserData"])


@contextmanager
def cloud(folder: Path, files: dict[str, str]) -> Iterator[Cloud]:
    """A cloud with a repository of these files. Raises what tells that there can be none here."""
    with ExitStack() as stack:
        net = stack.enter_context(network())
        made = debian()
        aws = stack.enter_context(moto_server(net.here))
        mirror = stack.enter_context(_served(made.mirror, net.here))
        repository = stack.enter_context(private_repository(folder, "me", GIT, files, net.here))
        imds, _ = net.run(lambda: stack.enter_context(fake_imds(METADATA, 80)))
        node, port = Node(), free_port()
        listeners = _LISTENERS.format(node=node, here=net.here, port=port, password=KAFKA)
        broker = stack.enter_context(Broker(folder / "kafka", nodes={1: node}, settings=listeners))
        ec2 = stack.enter_context(ec2_before(aws))
        session = boto3.Session("test", "test", region_name=REGION)
        _fill(session, aws, tasktape_wheel(folder, made.mirror))
        scaler = _scaler(aws, mirror, net.here, repository)
        settings = Settings(
            log=f"kafka://{net.here}:{port}",
            blobs=f"s3://{BUCKET}/blobs",
            kafka={
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "machine",
                "sasl.password": KAFKA,
            },
        )
        s3 = session.client("s3", endpoint_url=aws)
        yield Cloud(net, made, broker.url, repository, imds, s3, scaler, settings, ec2)


def _fill(session: boto3.Session, aws: str, wheel: Path) -> None:
    """Put into the AWS what an operator puts there: a bucket with tasktape's wheel, and secrets."""
    s3 = session.client("s3", endpoint_url=aws)
    s3.create_bucket(Bucket=BUCKET)
    s3.upload_file(str(wheel), BUCKET, wheel.name)
    session.client("ssm", endpoint_url=aws).put_parameter(Name="/boot/kafka", Value=KAFKA, Type="SecureString")
    secrets = session.client("secretsmanager", endpoint_url=aws)
    secrets.create_secret(Name="boot/git", SecretString=json.dumps({"token": GIT}))


def _scaler(aws: str, mirror: str, here: str, repository: str) -> ScalerSettings:
    wheel = "tasktape-0.1.0-py3-none-any.whl"
    host = repository.removesuffix("/code.git")
    return ScalerSettings.model_validate(
        {
            "provider": "aws",
            "queues": {"default": [["machine", 2]]},
            "resources": {"machine": {"instance_type": "m5.large", "is_spot": True, "slots": 2}},
            "max_idle_time_min": 0.05,
            "aws": {
                "region": REGION,
                "ami_id": "ami-03cf127a",
                "package": f"s3://{BUCKET}/{wheel}",
                "extra_vm_bash_script": _BEFORE.format(mirror=mirror, here=here, aws=aws),
                "environment": {"AWS_ENDPOINT_URL": aws},
                "settings": {
                    "kafka": {"sasl.password": "ssm:/boot/kafka"},
                    "git": {host: {"user": "me", "token": "secretsmanager:boot/git#token"}},
                },
            },
        }
    )


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def _served(folder: Path, address: str) -> Iterator[str]:
    """URL of a folder."""
    server = ThreadingHTTPServer((address, 0), partial(_Quiet, directory=str(folder)))
    thread = Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    try:
        yield f"http://{address}:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
