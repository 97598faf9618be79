"""Several processes and one projection: all get answers, whoever holds it, and whoever is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tasktape.events.base import Stamper
from tasktape.events.parts import TaskSpec
from tasktape.events.settings import Settings
from tasktape.events.task_events import RunCompleted, RunStarted, TaskCreated
from tasktape.events.topics import TOPICS
from tasktape.events.wire import append_event
from tasktape.projections import open_queries, serving
from tasktape.projections.address import live_address
from tasktape.projections.holding import database_path

ASK = """
from tasktape.events.settings import load_settings
from tasktape.projections import open_queries, serving
with open_queries(load_settings()) as queries:
    print(queries.count_tasks(), queries.sql("SELECT count(*) AS n FROM events").to_pylist()[0]["n"])
"""
SMALL_BATCHES = """
from tasktape.projections import projector
projector.POLL_RECORDS = projector.BATCH_RECORDS = 30
"""
SERVE = """
from tasktape.events.settings import load_settings
from tasktape.projections import serve_projection
serve_projection(load_settings(), ready=lambda address: print(address.address, flush=True))
"""
PATIENCE = 60.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def write(settings: Settings, tasks: int) -> None:
    """Put tasks on the embedded log, three events each."""
    stamp = Stamper()
    with settings.open_log() as log:
        log.create_topics(TOPICS)
        for number in range(tasks):
            task = f"{stamp.session}-{number}"
            spec = TaskSpec(project="p", name="n")
            for event in (
                TaskCreated(meta=stamp(), task=task, spec=spec),
                RunStarted(meta=stamp(), task=task, run=1),
                RunCompleted(meta=stamp(), task=task, run=1),
            ):
                append_event(log, event, codec=settings.codec())
        assert log.flush(PATIENCE) == 0


def start(settings: Settings, code: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "TASKTAPE_HOME": str(settings.home)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return out.strip()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def server(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    write(settings, 1)
    process = start(settings, SERVE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("grpc://127.0.0.1:")
    yield process
    process.kill()
    process.communicate()


def test_scripts_that_ask_at_once_all_get_answers(settings: Settings) -> None:
    write(settings, 200)
    scripts = [start(settings, ASK) for _ in range(4)]
    assert [answer(script) for script in scripts] == ["200 600"] * 4


def test_a_script_is_answered_by_the_process_that_serves(settings: Settings, server: subprocess.Popen[str]) -> None:
    write(settings, 4)
    assert answer(start(settings, ASK)) == "5 15"
    found = live_address(database_path(settings))
    assert found is not None
    assert found.pid == server.pid


def test_who_serves_follows_the_log_by_itself(settings: Settings, server: subprocess.Popen[str]) -> None:
    write(settings, 4)

    def known() -> int:
        with open_queries(settings, fresh=False) as queries:
            return queries.count_tasks()

    until(lambda: known() == 5)
    assert server.poll() is None


def test_when_the_server_is_killed_the_next_one_answers(settings: Settings, server: subprocess.Popen[str]) -> None:
    server.send_signal(signal.SIGKILL)
    server.wait(PATIENCE)
    write(settings, 1)
    assert answer(start(settings, ASK)) == "2 6"


def test_a_projector_killed_in_the_middle_loses_and_repeats_nothing(settings: Settings) -> None:
    write(settings, 600)
    database = database_path(settings)
    log_of_writes = database.with_name(database.name + ".wal")
    script = start(settings, SMALL_BATCHES + ASK)
    sizes: set[int] = set()

    def wrote_some_batches() -> bool:
        sizes.add(log_of_writes.stat().st_size if log_of_writes.exists() else 0)
        return len(sizes) > 6

    until(wrote_some_batches)
    script.kill()
    script.communicate()
    with duckdb.connect(database) as connection:
        found = connection.execute("SELECT count(*) FROM events").fetchone()
    assert found is not None
    assert 0 < found[0] < 1800
    assert answer(start(settings, ASK)) == "600 1800"


def test_a_projection_can_be_served_to_other_machines_with_tls(settings: Settings, tmp_path: Path) -> None:
    write(settings, 3)
    certificate, key = self_signed(tmp_path)
    with serving(settings, tls=(certificate, key)) as address:
        port = address.address.rpartition(":")[2]
        environment = {
            **os.environ,
            "TASKTAPE_HOME": str(tmp_path / "elsewhere"),
            "TASKTAPE_PROJECTION": f"grpc+tls://{address.token}@localhost:{port}",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(certificate),
        }
        script = subprocess.Popen([sys.executable, "-c", ASK], env=environment, stdout=subprocess.PIPE, text=True)
        assert answer(script) == "3 9"


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate of localhost and its key, as PEM files."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(built.public_bytes(Encoding.PEM))
    key.write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, key
