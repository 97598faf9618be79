"""What an agent with nothing to do must not cost: modules it does not need, looks at a log nobody writes to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from tasktape.events.log import kafka_reader, open_log
from tasktape.events.log.kafka_reader import KafkaReader
from tasktape.events.log.lifetime import Lifetime
from tasktape.events.log.port import LogRecord, TopicPartition
from tasktape.events.log.sqlite_reader import SqliteReader
from tasktape.events.topics import TopicSpec

NOT_FOR_AGENTS = {"IPython", "PIL", "boto3", "duckdb", "httpx", "httpx2", "matplotlib", "numpy", "opentelemetry"}
NOT_FOR_AGENTS |= {"pandas", "plotly", "prometheus_client", "pyarrow", "requests", "rich", "streamlit"}
AGENT = """
import atexit, json, sys
from tasktape.cli.main import main
atexit.register(lambda: print(json.dumps(sorted(sys.modules))))
sys.argv[1:] = ["agent"]
main()
"""


def test_an_idle_agent_has_loaded_nothing_heavy(home: Path) -> None:
    environment = {**os.environ, "TASKTAPE_LOG": f"sqlite://{home}/log.db"}
    command = [sys.executable, "-c", AGENT]
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as agent:
        assert agent.stderr is not None
        assert any("serves" in line for line in agent.stderr)
        agent.send_signal(signal.SIGTERM)
        said, _ = agent.communicate()
    loaded = json.loads(said.splitlines()[-1])
    assert {name.partition(".")[0] for name in loaded} & NOT_FOR_AGENTS == set()
    assert len(loaded) < 650


def test_a_reader_of_the_embedded_log_reads_only_what_somebody_has_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []
    take = SqliteReader._take

    def counted(reader: SqliteReader, limit: int) -> list[LogRecord]:
        taken.append(limit)
        return take(reader, limit)

    monkeypatch.setattr(SqliteReader, "_take", counted)
    with open_log(f"sqlite://{tmp_path}/log.db") as log:
        log.create_topics([TopicSpec("t", 1)])
        for value in (b"1", b"2", b"3"):
            log.append("t", "k", value)
        log.flush()
        with log.read({TopicPartition("t", 0): 0}) as reader:
            assert [record.value for record in reader.poll(5.0, limit=2)] == [b"1", b"2"]
            assert [record.value for record in reader.poll(5.0, limit=2)] == [b"3"]
            looks = len(taken)
            assert [reader.poll() for _ in range(20)] == [[]] * 20
            assert len(taken) <= looks + 1


def test_a_reader_of_kafka_does_not_spin_through_the_rest_of_its_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka waits for whole milliseconds; each call takes 10 µs besides."""
    now = [0.0]

    def poll(timeout: float) -> None:
        now[0] += int(timeout * 1000) / 1000 + 1e-5

    monkeypatch.setattr(kafka_reader, "time", SimpleNamespace(monotonic=lambda: now[0]))
    consumer = Mock(poll=Mock(side_effect=poll))
    consumer.consume.return_value = []
    clients = Mock()
    clients.consumer.return_value = consumer
    reader = KafkaReader(clients, Mock(), Lifetime("kafka://nowhere"), {})
    assert reader.poll(0.0105) == []
    assert consumer.poll.call_count <= 3
