"""What several integration tests need: an S3 that speaks HTTP on a port of its own (moto's server), and patience."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits for a condition, a minute at most."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """URL of an empty S3."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  heavy

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """boto3's client of that S3, with the environment set so that every client goes there."""
    from tasktape.events.blobs_s3 import s3_client  # noqa: PLC0415  heavy

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return s3_client()


@pytest.fixture
def bucket(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of an empty bucket of this test's own."""
    name = tmp_path_factory.mktemp("bucket").name.replace("_", "-")
    s3.create_bucket(Bucket=name)
    return name
