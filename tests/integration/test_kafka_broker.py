"""The tests' own Kafka: it serves, it ends with whoever started it, and it can be as old as a user's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasktape.events.log import TopicPartition
from tasktape.events.log.kafka import KafkaLog
from tasktape.events.topics import TopicSpec
from tasktape.tests.kafka import broker as module
from tasktape.tests.kafka.broker import Broker, Child, KafkaMissingError, jars, serves
from tasktape.tests.kafka.ports import free_port
from tasktape.tests.support.agent_site import processes_of

PROGRAM = Path(module.__file__)
QUICK = {"heartbeat.interval.ms": "200"}
Until = Callable[[Callable[[], Any]], Any]


@pytest.mark.kafka
@pytest.mark.usefixtures("kafka_jars")
def test_a_broker_does_not_outlive_a_program_that_is_killed(until: Until) -> None:
    port = free_port()
    command = [sys.executable, str(PROGRAM), "run", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == f"127.0.0.1:{port}\n"
        assert serves(f"127.0.0.1:{port}")
        [child] = children_of(program.pid)
        program.kill()
        assert program.wait() == -signal.SIGKILL
    until(lambda: not Path(f"/proc/{child}").exists())


def test_no_test_takes_a_server_for_a_process_of_its_own(home: Path, tmp_path: Path, until: Until) -> None:
    server = Child(tmp_path, ["sleep", "60"], "sleeper")
    server.launch()
    until(lambda: psutil.Process(server.pid).name() == "sleep")
    try:
        assert processes_of(home) == []
    finally:
        server.kill()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.kafka
@pytest.mark.usefixtures("kafka_jars")
def test_members_join_groups_of_a_broker_that_knows_only_the_classic_protocol(tmp_path: Path, until: Until) -> None:
    with Broker(tmp_path, features=["group.version=0"]) as old, KafkaLog(old.address, QUICK) as log:
        log.create_topics([TopicSpec("t", 4)])
        first = log.join("group", ["t"])
        until(lambda: len(first.owned()) == 4)
        second = log.join("group", ["t"])
        until(lambda: len(first.owned()) == len(second.owned()) == 2)
        first.commit({TopicPartition("t", 0): 5})
        assert second.committed([TopicPartition("t", 0)]) == {TopicPartition("t", 0): 5}
        first.close()
        until(lambda: len(second.owned()) == 4)


def test_without_java_one_line_says_how_to_get_a_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaMissingError, match=r"^java not found: apt-get install .*, or set TASKTAPE_TEST_KAFKA$"):
        jars()


def test_without_maven_one_line_says_how_to_get_the_jars(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "java").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TASKTAPE_KAFKA_CACHE", str(tmp_path / "cache"))
    with pytest.raises(KafkaMissingError, match=r"^mvn not found: apt-get install "):
        jars()


@pytest.mark.parametrize(("required", "outcome"), [("1", "failed"), ("0", "skipped")])
def test_a_missing_broker_fails_where_it_is_required_and_else_is_skipped(
    required: str, outcome: str, tmp_path: Path
) -> None:
    environment = os.environ | {
        "PATH": str(tmp_path),
        "TASKTAPE_REQUIRE_KAFKA": required,
        "DOCKER_HOST": "unix:///none",
    }
    environment.pop("TASKTAPE_TEST_KAFKA", None)
    case = Path(__file__).parents[1] / "contract" / "test_log_read.py"
    name = "test_poll_returns_nothing_after_its_timeout[kafka]"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{case}::{name}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert f"1 {'error' if outcome == 'failed' else outcome}" in ended.stdout.splitlines()[-1]
    assert "java not found: apt-get install openjdk-17-jre-headless maven" in ended.stdout
