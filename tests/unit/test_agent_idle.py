"""What an agent with nothing to do must not cost: modules it does not need, looks at a log nobody writes to."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from confluent_kafka import Message

from tasktape.agent import worker as agent_worker
from tasktape.agent.core import MAIN
from tasktape.agent.devices import Capacity
from tasktape.agent.places import Housing
from tasktape.agent.worker import Worker
from tasktape.events.base import Stamper
from tasktape.events.log import (
    kafka_reader,
    open_log,
    pace,
    sqlite_groups,
    sqlite_reader,
    sqlite_writer,
)
from tasktape.events.log.file_watch import FileWatch
from tasktape.events.log.groups import assign
from tasktape.events.log.kafka_appender import Appender
from tasktape.events.log.kafka_reader import KafkaReader
from tasktape.events.log.lifetime import Lifetime
from tasktape.events.log.pace import CALM, Pace, until_next
from tasktape.events.log.past import past
from tasktape.events.log.port import Delivery, LogRecord, Reader, TopicPartition
from tasktape.events.log.sqlite import SqliteLog
from tasktape.events.log.sqlite_reader import SqliteReader
from tasktape.events.queue_events import QueueCreated, queue_topic
from tasktape.events.settings import Settings
from tasktape.events.topics import TOPICS, TopicSpec, queue_spec
from tasktape.events.wire import append_event
from tasktape.events.worker_events import WorkerHeartbeat
from tasktape.tests.support.simulation import World

NOT_FOR_AGENTS = {"IPython", "PIL", "boto3", "duckdb", "httpx", "httpx2", "matplotlib", "numpy", "opentelemetry"}
NOT_FOR_AGENTS |= {"packaging", "pandas", "plotly", "prometheus_client", "pyarrow", "requests", "rich", "streamlit"}
NOT_FOR_AGENTS |= {"asyncio", "pydantic_settings", "ssl", "tarfile"}
OTHER_COMMANDS = {"demo", "doctor", "queues", "tasks", "workers"}
AGENT = """
import atexit, json, sys
from tasktape.cli.main import main
atexit.register(lambda: print(json.dumps(sorted(sys.modules))))
sys.argv[1:] = ["agent"]
main()
"""


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    with SqliteLog(tmp_path / "log.db") as opened:
        opened.create_topics([TopicSpec("t", 1)])
        yield opened


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
    assert {f"tasktape.cli.{name}" for name in OTHER_COMMANDS} & set(loaded) == set()
    assert len(loaded) < 480


def test_an_agent_reads_all_it_looks_after_with_one_reader_and_gives_back_what_the_past_took(
    home: Path, monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], bool]], bool]
) -> None:
    given_back = Mock()
    monkeypatch.setattr(agent_worker, "give_back", given_back)
    settings = Settings(home=home, log=f"sqlite://{home}/log.db")
    with settings.open_log() as log:
        log.create_topics([*TOPICS, queue_spec("left")])
        append_event(log, QueueCreated(meta=Stamper("user@host")(), queue="left"), codec=settings.codec())
    worker = Worker(settings, ["served"], Capacity(), housing=Housing("current"), identity="me")
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    try:
        until(lambda: set(worker._followers) == {MAIN} and queue_topic("left") in topics(worker))
    finally:
        worker.leave("seen enough", now=False)
        thread.join()
    assert given_back.call_count == 2


def topics(worker: Worker) -> set[str]:
    return {source.topic for source in worker._followers[MAIN].positions()}


def test_members_of_the_embedded_log_share_out_only_when_somebody_came_or_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Mock(side_effect=assign)
    monkeypatch.setattr(sqlite_groups, "assign", shared)
    with SqliteLog(tmp_path / "log.db", pace=Pace(lease=1000)) as log:
        log.create_topics([TopicSpec("t", 4)])
        one, other = log.join("group", ["t"]), log.join("group", ["t"])
        for _ in range(5):
            log._groups._renew()
        assert shared.call_count == 2
        other.close()
        assert shared.call_count == 3
        assert len(one.owned()) == 4


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


def listening(reader: Reader) -> FileWatch:
    """The watch of a reader that has waited, be it for a moment that was over before it listened."""
    assert isinstance(reader, SqliteReader)
    while reader._watch is None:
        assert reader.poll(0.001) == []
    return reader._watch


def test_a_commit_wakes_a_reader_of_the_embedded_log_once(log: SqliteLog) -> None:
    with log.read({TopicPartition("t", 0): 0}) as reader:
        watch = listening(reader)
        log.append("t", "k", b"1")
        log.flush()
        assert len(reader.poll(600.0)) == 1
        assert not watch.wait(0)


def test_who_reads_the_past_alone_listens_to_no_bell(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_reader, "watch_file", Mock(side_effect=AssertionError("it listens")))
    log.append("t", "k", b"1")
    log.flush()
    assert [record.value for record in past(log, log.end_positions(["t"]))] == [b"1"]


def test_leases_and_commits_of_groups_wake_no_reader_of_the_embedded_log(log: SqliteLog) -> None:
    member = log.join("group", ["t"])
    with log.read({TopicPartition("t", 0): 0}) as reader:
        watch = listening(reader)
        log._groups._renew()
        member.commit({TopicPartition("t", 0): 1})
        assert not watch.wait(0)


def test_an_append_is_seen_although_its_process_died_before_it_rang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SqliteLog(tmp_path / "log.db", pace=Pace(glance=0.01)) as log:
        monkeypatch.setattr(log._database, "ring", lambda: None)
        log.create_topics([TopicSpec("t", 1)])
        reader = log.read({TopicPartition("t", 0): 0})
        assert reader.poll() == []
        log.append("t", "k", b"1")
        log.flush()
        assert [record.value for record in reader.poll(600.0)] == [b"1"]


def test_a_reader_of_the_embedded_log_looks_seldom_while_nobody_rings(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    looks: list[float] = []

    def wait(timeout: float) -> bool:
        now[0] += timeout
        looks.append(timeout)
        return False

    monkeypatch.setattr(sqlite_reader, "watch_file", lambda _path: Mock(wait=wait))
    monkeypatch.setattr(sqlite_reader, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(sqlite_reader, "until_next", lambda period: period)
    with log.read({TopicPartition("t", 0): 0}) as reader:
        assert reader.poll(60.0) == []
    assert 60.0 <= now[0] < 60.1
    assert len(looks) <= 21


@pytest.mark.parametrize(("seconds", "most"), [(5.0, 3), (0.002, 60)], ids=["seldom", "often"])
def test_who_writes_the_embedded_log_stays_awake_only_where_records_come_often(
    log: SqliteLog,
    monkeypatch: pytest.MonkeyPatch,
    until: Callable[[Callable[[], bool]], bool],
    seconds: float,
    most: int,
) -> None:
    """Each record is put down once the thread sleeps: `seconds` after it fell asleep, by its clock."""
    now, naps = [0.0], [0]

    def nap(_seconds: float) -> None:
        naps[0] += 1

    monkeypatch.setattr(sqlite_writer, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=nap))
    log.append("t", "k", b"first")
    until(lambda: log._writer._asleep)
    before = naps[0]
    now[0] += seconds
    log.append("t", "k", b"second")
    until(lambda: log._writer._asleep)
    assert most // 2 < naps[0] - before <= most


def test_who_hands_out_reports_of_kafka_rests_while_nothing_is_open() -> None:
    polls: queue.SimpleQueue[None] = queue.SimpleQueue()
    reports: list[Callable[[], None]] = []
    delivered: list[Delivery] = []

    def poll(_timeout: float) -> int:
        polls.put(None)
        count = len(reports)
        while reports:
            reports.pop()()
        return count

    def produce(_topic: str, *, on_delivery: Callable[[None, Mock], None], **_record: object) -> None:
        reports.append(partial(on_delivery, None, Mock(**{"timestamp.return_value": (1, 0)})))

    producer = Mock(poll=poll, produce=produce)
    appender = Appender(Mock(**{"producer.return_value": producer}), 600.0)
    polls.get()
    for count in range(1, 4):
        appender.append("t", "k", b"v", (), None, delivered.append)
        assert appender.flush(None) == 0
        assert len(delivered) == count
    appender.close(1.0)
    appender._thread.join()
    assert polls.qsize() <= 2 * 3 + 1


def test_an_idle_agent_appends_its_heartbeats_and_thinks_only_when_there_is_news() -> None:
    world = World(1, agents=0, faults=False)
    agent = world.add_agent("first")
    world.run_until(lambda: agent.core.ready, seconds=60)
    world.run_until(lambda: False, seconds=10)
    step = Mock(side_effect=agent.core.step)
    agent.core.step = step  # type: ignore[method-assign]
    before = len(world.events("tasktape.workers"))
    world.run_until(lambda: False, seconds=100)
    beats = world.events("tasktape.workers")[before:]
    assert 3 <= len(beats) <= 4
    assert {type(beat) for beat in beats} == {WorkerHeartbeat}
    assert step.call_count <= 3 * len(beats)


def test_a_reader_of_kafka_wakes_up_seldom_and_never_spins(monkeypatch: pytest.MonkeyPatch) -> None:
    """librdkafka waits for whole milliseconds; each call takes 10 µs besides."""
    now = [0.0]

    def consume(_count: int, timeout: float) -> list[Message[bytes, bytes]]:
        now[0] += int(timeout * 1000) / 1000 + 1e-5
        return []

    monkeypatch.setattr(kafka_reader, "time", SimpleNamespace(monotonic=lambda: now[0]))
    consumer = Mock(consume=Mock(side_effect=consume))
    clients = Mock()
    clients.consumer.return_value = consumer
    monkeypatch.setattr(kafka_reader, "until_next", lambda period: period)
    reader = KafkaReader(clients, Mock(), Lifetime("kafka://nowhere"), {}, 0.8)
    assert reader.poll(0.0105) == []
    assert consumer.consume.call_count <= 3
    assert reader.poll(20.0) == []
    assert max(call.args[1] for call in consumer.consume.mock_calls) <= 0.2, "or Ctrl-C waits"
    consumer.consume.reset_mock()
    with ThreadPoolExecutor(1) as other:
        assert other.submit(reader.poll, 20.0).result() == []
    assert consumer.consume.call_count < 30


def test_an_idle_process_wakes_up_for_everything_at_the_same_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(pace, "uptime_us", lambda: now[0] * 1e6)
    moments = {round(now[0] + until_next(period), 6) for period in (CALM.lease / 2, CALM.glance, CALM.look)}
    assert len({round(moment % 30, 3) for moment in moments}) == 1
    now[0] = max(moments) + 1e-3
    assert {round(until_next(period), 2) for period in (CALM.lease / 2, CALM.serve)} == {60.0, 15.0}
