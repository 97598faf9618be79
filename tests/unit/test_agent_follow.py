"""Following the log and holding memberships, against the log in memory."""

from __future__ import annotations

import errno
import json
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any
from unittest.mock import Mock

import pytest

from tasktape.agent.checkout import CheckoutError
from tasktape.agent.environment import EnvironmentBuildError
from tasktape.agent.follow import Batch, Follower, FollowerDied
from tasktape.agent.log_lines import JsonFormatter, logging_to_stderr
from tasktape.agent.queue_watch import Memberships
from tasktape.agent.runner import trouble_of
from tasktape.events.base import Event, Stamper
from tasktape.events.codec import Codec, header
from tasktape.events.errors import BlobError, LogUnavailableError, NotAllowedError, RegistryUnavailableError
from tasktape.events.groups import agents_group
from tasktape.events.log.memory import MemoryLog
from tasktape.events.log.pace import Pace
from tasktape.events.log.port import Member, Positions, Reader, TopicPartition
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import QueueCreated, queue_topic
from tasktape.events.task_events import RunCompleted, RunProgressed, TaskCreated
from tasktape.events.topics import TOPICS, queue_spec
from tasktape.producers.capture.materialise import NothingToRunError
from tasktape.testing import memory_log

STAMP = Stamper("user@host")


@pytest.fixture
def log() -> Iterator[MemoryLog]:
    with memory_log() as made:
        made.create_topics(TOPICS)
        yield made


class Inbox:
    def __init__(self) -> None:
        self.posted: queue.SimpleQueue[Batch | FollowerDied] = queue.SimpleQueue()

    def __call__(self, news: Batch | FollowerDied) -> None:
        self.posted.put(news)

    def next(self) -> Batch:
        news = self.posted.get(timeout=30)
        assert isinstance(news, Batch), news
        news.handled()
        return news

    def kinds(self, count: int) -> list[tuple[str, str]]:
        """What the next readings are, by header and by event."""
        found: list[tuple[str, str]] = []
        while len(found) < count:
            found += [(reading.kind, type(reading.event).__name__) for reading in self.next().readings]
        return found


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


Follow = Callable[..., Follower]


@pytest.fixture
def follow(log: MemoryLog, inbox: Inbox) -> Iterator[Follow]:
    followers = []

    def started(*topics: str, codec: Codec | None = None, of: MemoryLog = log) -> Follower:
        follower = Follower(of, codec or Codec(), "test", log.start_positions(topics), inbox)
        followers.append(follower)
        follower.start()
        return follower

    yield started
    for follower in followers:
        follower.close()


def append(log: MemoryLog, event: Event) -> None:
    log.append(event.topic_name, event.key, Codec().encode(event), headers=header(event))


def created(queue_name: str) -> QueueCreated:
    return QueueCreated(meta=STAMP(), queue=queue_name)


def test_of_tasks_only_what_decides_about_runs_is_decoded(log: MemoryLog, inbox: Inbox, follow: Follow) -> None:
    append(log, TaskCreated(meta=STAMP(), task="t", spec=TaskSpec(project="p", name="n")))
    append(log, RunProgressed(meta=STAMP(), task="t", run=1, progress=50))
    append(log, RunCompleted(meta=STAMP(), task="t", run=1))
    follow("tasktape.tasks")
    assert inbox.kinds(3) == [
        ("TaskCreated", "NoneType"),
        ("RunProgressed", "NoneType"),
        ("RunCompleted", "RunCompleted"),
    ]


def test_a_damaged_record_is_passed_over_with_a_warning(
    log: MemoryLog, inbox: Inbox, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    log.append("tasktape.queues", "q", b"no event")
    append(log, created("q"))
    follow("tasktape.queues")
    assert inbox.kinds(2) == [("", "NoneType"), ("QueueCreated", "QueueCreated")]
    assert [vars(record)["action"] for record in caplog.records] == ["skip_record"]


def test_what_is_asked_of_a_follower_that_waits_is_seen_to_at_once(
    log: MemoryLog, inbox: Inbox, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasktape.agent.follow._POLL_SECONDS", 60.0)
    append(log, created("q"))
    append(log, RunCompleted(meta=STAMP(), task="t", run=1))
    follower = follow("tasktape.queues")
    assert inbox.kinds(1) == [("QueueCreated", "QueueCreated")]
    follower.add(log.start_positions(["tasktape.tasks"]))
    assert inbox.kinds(1) == [("RunCompleted", "RunCompleted")]
    follower.mark("here", ["tasktape.queues"])
    assert inbox.next().marks == ("here",)
    follower.close()


def test_a_mark_comes_after_all_that_was_there_when_it_was_asked_for(
    log: MemoryLog, inbox: Inbox, follow: Follow
) -> None:
    for number in range(3):
        append(log, created(f"q{number}"))
    follower = follow("tasktape.queues")
    follower.mark("here", ["tasktape.queues"])
    seen = 0
    while True:
        batch = inbox.next()
        seen += len(batch.readings)
        if batch.marks:
            break
    assert (seen, batch.marks) == (3, ("here",))


def test_to_check_whether_all_was_read_wakes_no_reader_that_has_read_it(
    log: MemoryLog, inbox: Inbox, follow: Follow, monkeypatch: pytest.MonkeyPatch, until: Callable[[Any], Any]
) -> None:
    append(log, created("q"))
    follower = follow("tasktape.queues")
    inbox.kinds(1)
    until(lambda: follower.positions()[TopicPartition("tasktape.queues", 0)] == 1)
    with monkeypatch.context() as asleep:
        asleep.setattr(follower, "_wake", Mock(side_effect=AssertionError("it is woken")))
        follower.check("read", ["tasktape.queues"])
        assert inbox.next().marks == ("read",)


def test_a_check_comes_after_what_was_appended_before_it(log: MemoryLog, inbox: Inbox, follow: Follow) -> None:
    follower = follow("tasktape.queues")
    for number in range(20):
        append(log, created(f"q{number}"))
        log.flush()
        follower.check(f"mark {number}", ["tasktape.queues"])
    seen, marks = 0, dict[str, int]()
    while len(marks) < 20:
        batch = inbox.next()
        seen += len(batch.readings)
        marks |= dict.fromkeys(batch.marks, seen)
    assert all(read > int(mark.split()[1]) for mark, read in marks.items())


def test_a_check_of_a_log_that_is_away_is_made_later(
    log: MemoryLog, inbox: Inbox, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasktape.agent.follow._RETRY_SECONDS", 0.01)
    follower = follow("tasktape.queues")
    away, ends = [LogUnavailableError("u", "away")] * 2, log.end_positions
    monkeypatch.setattr(log, "end_positions", lambda topics: _raise(away.pop()) if away else ends(topics))
    follower.check("here", ["tasktape.queues"])
    assert inbox.next().marks == ("here",)


def _raise(error: Exception) -> Positions:
    raise error


def test_a_long_past_comes_in_bounded_batches(log: MemoryLog, inbox: Inbox, follow: Follow) -> None:
    for number in range(250):
        append(log, created(f"q{number}"))
    follow("tasktape.queues")
    found: list[int] = []
    while sum(found) < 250:
        found.append(len(inbox.next().readings))
    assert max(found) <= 100


def test_topics_can_be_added(log: MemoryLog, inbox: Inbox, follow: Follow) -> None:
    follower = follow("tasktape.queues")
    append(log, RunCompleted(meta=STAMP(), task="t", run=1))
    follower.add(log.start_positions(["tasktape.tasks"]))
    assert inbox.kinds(1) == [("RunCompleted", "RunCompleted")]


GONE = LogUnavailableError("memory://", "gone for a moment")
DENIED = NotAllowedError("memory://", "User:alice", "READ", "topic 'tasktape.queues'")


class FailingReader(Reader):
    """Gives one batch, then the log is away."""

    def __init__(self, reader: Reader, error: Exception = GONE) -> None:
        self._reader = reader
        self._error = error
        self._polled = False

    def poll(self, timeout: float = 0.0, limit: int = 1000) -> Any:
        if self._polled:
            raise self._error
        found = self._reader.poll(timeout, limit)
        self._polled = bool(found)
        return found

    def wake(self) -> None:
        self._reader.wake()

    def positions(self) -> Any:
        return self._reader.positions()

    def is_at_end(self) -> Any:
        return self._reader.is_at_end()

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        self._reader.add(positions)

    def close(self) -> None:
        self._reader.close()


def test_a_reader_that_fails_is_replaced_and_nothing_is_read_twice_or_left_out(
    log: MemoryLog, inbox: Inbox, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = log.read
    readers = iter([FailingReader(whole(log.start_positions(["tasktape.queues"])))])
    monkeypatch.setattr(log, "read", lambda positions: next(readers, None) or whole(positions))
    append(log, created("first"))
    follow("tasktape.queues")
    assert inbox.kinds(1) == [("QueueCreated", "QueueCreated")]
    append(log, created("second"))
    (reading,) = inbox.next().readings
    assert isinstance(reading.event, QueueCreated)
    assert reading.event.queue == "second"


def test_rights_taken_away_are_waited_for_and_those_never_there_are_not(
    log: MemoryLog, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = log.start_positions(["tasktape.queues"])
    whole = log.read
    readers = iter([FailingReader(whole(positions), DENIED), FailingReader(whole(positions), DENIED)])
    monkeypatch.setattr(log, "read", lambda positions: next(readers, None) or whole(positions))
    append(log, created("first"))
    without = Follower(log, Codec(), "without rights", positions, inbox)
    without.start()
    inbox.next()
    assert inbox.posted.get(timeout=30) == FollowerDied("without rights", DENIED)
    without.close()

    bereft = Follower(log, Codec(), "bereft of rights", positions, inbox)
    bereft.mark("start", ["tasktape.queues"])
    bereft.start()
    assert inbox.next().marks == ("start",)
    append(log, created("second"))
    assert inbox.kinds(1) == [("QueueCreated", "QueueCreated")]
    bereft.close()


class SlowRegistry(Codec):
    """A codec whose registry is away at first."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def decode(self, value: bytes) -> Event:
        self.asked += 1
        if self.asked == 1:
            raise RegistryUnavailableError("http://registry", "away")
        return super().decode(value)


def test_a_registry_that_is_away_is_waited_for_as_leaving_records_out_would_be_wrong(
    log: MemoryLog, inbox: Inbox, follow: Follow
) -> None:
    append(log, created("q"))
    codec = SlowRegistry()
    follow("tasktape.queues", codec=codec)
    assert inbox.kinds(1) == [("QueueCreated", "QueueCreated")]
    assert codec.asked == 2


def test_a_follower_that_can_t_go_on_says_so(log: MemoryLog, inbox: Inbox) -> None:
    follower = Follower(log, Codec(), "test", {TopicPartition("no such topic", 0): 0}, inbox)
    follower.start()
    news = inbox.posted.get(timeout=30)
    assert isinstance(news, FollowerDied)
    assert "no such topic" in str(news.error)
    follower.close()


def test_a_member_owns_commits_and_leaves(log: MemoryLog, until: Callable[[Callable[[], Any]], Any]) -> None:
    log.create_topics([queue_spec("q")])
    sources = log.start_positions([queue_topic("q")])
    groups, others = Memberships(log), Memberships(log)
    first = groups.join_queue("q")
    assert first.beginning == sources
    groups.start()
    until(lambda: first.owned() == frozenset(range(8)))
    second = others.join_queue("q")
    others.start()
    until(lambda: len(first.owned()) == len(second.owned()) == 4)
    place = TopicPartition(queue_topic("q"), 3)
    first.commit({place: 5})
    first.commit({place: 7})
    groups.close()
    until(lambda: second.owned() == frozenset(range(8)))
    others.close()
    with closing(Memberships(log)) as later:
        assert later.join_queue("q").beginning == sources | {place: 7}


def test_one_thread_looks_after_all_memberships(log: MemoryLog, until: Callable[[Callable[[], Any]], Any]) -> None:
    log.create_topics([queue_spec("q"), queue_spec("r"), *TOPICS])
    before = threading.active_count()
    with closing(Memberships(log)) as groups:
        memberships = [groups.join_queue("q"), groups.join_queue("r")]
        groups.start()
        until(lambda: all(membership.owned() for membership in memberships))
        assert threading.active_count() == before + 1


def test_positions_are_committed_before_the_next_look_at_a_group_that_rests(
    log: MemoryLog, until: Callable[[Callable[[], Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasktape.agent.queue_watch._RESTS_AFTER", -1.0)
    log.create_topics([queue_spec("q")])
    place = TopicPartition(queue_topic("q"), 3)
    with closing(Memberships(log, Pace(look=600.0))) as groups:
        membership = groups.join_queue("q")
        groups.start()
        membership.commit({place: 5})
        until(lambda: log.committed(agents_group("q")) == {place: 5})


class DeniedMember(Member):
    """A member that the access rules keep out of its group."""

    def __init__(self) -> None:
        self.closed = False
        self.asked = 0

    def owned(self) -> frozenset[TopicPartition]:
        self.asked += 1
        raise DENIED

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:  # noqa: ARG002  the port's signature
        raise DENIED

    def committed(self, partitions: Iterable[TopicPartition]) -> Positions:  # noqa: ARG002  the same
        raise DENIED

    def close(self) -> None:
        self.closed = True


class ExpelledMember(DeniedMember):
    """One whom they keep out once it is in."""

    def committed(self, partitions: Iterable[TopicPartition]) -> Positions:  # noqa: ARG002  the same
        return {}


def test_who_may_not_join_is_told_so_and_leaves_nothing_behind(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.create_topics([queue_spec("q")])
    member = DeniedMember()
    monkeypatch.setattr(log, "join", lambda *_: member)
    with pytest.raises(NotAllowedError):
        Memberships(log).join_queue("q")
    assert member.closed


def test_a_membership_that_is_refused_is_told_of_once_and_can_be_left(
    log: MemoryLog,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    until: Callable[[Callable[[], Any]], Any],
) -> None:
    member = ExpelledMember()
    monkeypatch.setattr(log, "join", lambda *_: member)
    log.create_topics([queue_spec("q")])
    groups = Memberships(log)
    membership = groups.join_queue("q")
    groups.start()
    until(lambda: member.asked > 1)
    assert membership.owned() == frozenset()
    groups.close()
    assert [record.getMessage() for record in caplog.records] == [f"group of {queue_topic('q')}: {DENIED}"]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (EnvironmentBuildError("no"), "infrastructure"),
        (CheckoutError(BlobError("gone")), "infrastructure"),
        (CheckoutError(NothingToRunError()), "task"),
        (OSError(errno.ENOSPC, "full"), "infrastructure"),
        (OSError(errno.ENOENT, "no such folder"), "task"),
    ],
)
def test_what_keeps_a_run_from_starting_is_the_task_s_fault_or_the_infrastructure_s(
    error: Exception, cause: str
) -> None:
    assert trouble_of(error).cause == cause


def test_json_lines_hold_the_action_and_all_that_belongs_to_it() -> None:
    record = logging.makeLogRecord({"msg": "claimed %s", "args": ("e",), "action": "claim", "entry": "e"})
    line = json.loads(JsonFormatter("host:1").format(record))
    assert line["message"] == "claimed e"
    assert (line["action"], line["entry"], line["worker"]) == ("claim", "e", "host:1")
    foreign = logging.makeLogRecord({"msg": "no answer", "name": "opentelemetry.exporter"})
    assert json.loads(JsonFormatter("host:1").format(foreign))["action"] == "opentelemetry.exporter"


def test_log_lines_go_to_stderr_only_while_the_agent_lives(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("tasktape.agent.test")
    with logging_to_stderr("text", lambda line: line.replace("opens it", "********"), "host:1"):
        logger.info("heard what %s", "opens it", extra={"action": "test"})
    logger.info("not heard", extra={"action": "test"})
    said = capsys.readouterr().err
    assert "heard what ********" in said
    assert "not heard" not in said
