"""Apache Kafka in a container, where a Docker engine answers."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from tasktape.tests.kafka.broker import VERSION, KafkaMissingError, serves
from tasktape.tests.kafka.ports import free_port

IMAGE: Final = f"apache/kafka:{VERSION}"
START_TIMEOUT: Final = 120.0
ENVIRONMENT: Final = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:29093",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS": "500",
    "KAFKA_GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS": "500",
    "KAFKA_GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS": "3000",
    "KAFKA_GROUP_CONSUMER_SESSION_TIMEOUT_MS": "3000",
}


def engine_answers() -> bool:
    """Whether a Docker engine listens where Docker's own client would look for one."""
    address = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    is_local = address.scheme == "unix"
    with socket.socket(socket.AF_UNIX if is_local else socket.AF_INET) as probe:
        probe.settimeout(2)
        try:
            probe.connect(address.path if is_local else (address.hostname or "127.0.0.1", address.port or 2375))
        except OSError:
            return False
    return True


@contextmanager
def kafka_container() -> Iterator[str]:
    """Address of a Kafka in a container. Its port is the same outside as inside: brokers tell clients their own."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415  only where an engine answers

    port = free_port()
    container = DockerContainer(IMAGE).with_bind_ports(port, port)
    for name, value in ENVIRONMENT.items():
        container = container.with_env(name, value)
    container = container.with_env("KAFKA_LISTENERS", f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://localhost:29093")
    container = container.with_env("KAFKA_ADVERTISED_LISTENERS", f"PLAINTEXT://127.0.0.1:{port}")
    with container:
        deadline = time.monotonic() + START_TIMEOUT
        while not serves(f"127.0.0.1:{port}"):
            if time.monotonic() > deadline:
                raise KafkaMissingError(f"the container of {IMAGE} did not answer within {START_TIMEOUT:.0f} s")
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
