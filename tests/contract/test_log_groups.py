"""The port's guarantees about groups, threads and processes, on each log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tasktape.events.errors import LogClosedError, UnknownTopicError
from tasktape.events.log import Delivery, Log, Member, TopicPartition, open_log
from tasktape.events.topics import TopicSpec
from tasktape.testing import append_all, records_on
from tasktape.tests.contract.promises import elsewhere, promise

Until = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def log(any_log: Log, topic: str) -> Log:
    """A log of each kind with a topic of eight partitions."""
    any_log.create_topics([TopicSpec(topic, 8)])
    return any_log


@pytest.fixture
def other_log(log: Log) -> Iterator[Log]:
    """The same log, opened again."""
    with open_log(log.url) as opened:
        yield opened


def shares(members: Sequence[Member]) -> list[int]:
    """How many partitions each member owns, smallest first; [] while two own one."""
    owned = [member.owned() for member in members]
    counts = Counter(source for sources in owned for source in sources)
    return sorted(map(len, owned)) if set(counts.values()) <= {1} else []


@promise("Every partition of the topics joined is owned by exactly one live member, once membership has settled.")
def test_each_partition_has_exactly_one_owner(log: Log, other_log: Log, topic: str, until: Until) -> None:
    members = [log.join("group", [topic]), other_log.join("group", [topic]), other_log.join("group", [topic])]
    until(lambda: sum(shares(members)) == 8 and min(shares(members)) >= 2)
    everything = frozenset(TopicPartition(topic, number) for number in range(8))
    assert frozenset().union(*(member.owned() for member in members)) == everything


@promise("Every partition of the topics joined is owned by exactly one live member, once membership has settled.")
def test_a_group_may_join_several_topics_but_no_unknown_one(log: Log, topic: str, until: Until) -> None:
    log.create_topics([TopicSpec(f"{topic}-more", 3)])
    with pytest.raises(UnknownTopicError):
        log.join("group", [topic, f"{topic}-never-created"])
    with log.join("group", [topic, f"{topic}-more"]) as member:
        until(lambda: len(member.owned()) == 11)


@promise("When a member leaves or dies its partitions go to the others; when one joins, partitions are shared anew.")
def test_partitions_move_when_members_join_and_leave(log: Log, other_log: Log, topic: str, until: Until) -> None:
    first = log.join("group", [topic])
    until(lambda: len(first.owned()) == 8)
    second = other_log.join("group", [topic])
    until(lambda: shares([first, second]) == [4, 4])
    first.close()
    until(lambda: len(second.owned()) == 8)


@promise("When a member leaves or dies its partitions go to the others; when one joins, partitions are shared anew.")
def test_partitions_of_a_killed_member_go_to_the_others(log: Log, log_kind: str, topic: str, until: Until) -> None:
    if log_kind == "memory":
        pytest.skip("a log in memory has no other processes")
    member = log.join("group", [topic])
    code = f"""
import time
from tasktape.events.log import open_log
member = open_log({log.url!r}).join("group", [{topic!r}])
while len(member.owned()) < 4: time.sleep(0.01)
print("owns 4", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owns 4\n"
        until(lambda: len(member.owned()) == 4)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        until(lambda: len(member.owned()) == 8)


@promise("Committed positions belong to the group, outlive its members, and are read back as they were committed.")
def test_committed_positions_outlive_members(log: Log, other_log: Log, topic: str, until: Until) -> None:
    one, two, three = (TopicPartition(topic, number) for number in range(3))
    with log.join("group", [topic]) as member:
        until(lambda: len(member.owned()) == 8)
        member.commit({one: 5, two: 0})
        member.commit({one: 3})
        assert member.committed([one, two, three]) == {one: 3, two: 0}
    with other_log.join("group", [topic]) as member:
        assert member.committed([three, one]) == {one: 3}
        assert member.committed([]) == {}


@promise("They can be read without a membership, which disturbs no owner.")
def test_committed_positions_are_read_from_outside(log: Log, other_log: Log, topic: str, until: Until) -> None:
    one, two = (TopicPartition(topic, number) for number in range(2))
    group = f"{topic}-group"
    assert other_log.committed(group) == {}
    with log.join(group, [topic]) as member:
        until(lambda: len(member.owned()) == 8)
        member.commit({one: 5, two: 0})
        assert other_log.committed(group) == {one: 5, two: 0}
        assert len(member.owned()) == 8
    assert other_log.committed(group) == {one: 5, two: 0}


@promise("Groups do not disturb each other.")
def test_groups_do_not_disturb_each_other(log: Log, topic: str, until: Until) -> None:
    place = TopicPartition(topic, 0)
    one, other = log.join("one", [topic]), log.join("other", [topic])
    until(lambda: len(one.owned()) == len(other.owned()) == 8)
    one.commit({place: 7})
    assert other.committed([place]) == {}
    one.close()
    assert len(other.owned()) == 8


@promise("All methods may be called from any thread; a reader or member is used by one thread at a time.")
def test_many_threads_use_one_log_object(log: Log, topic: str) -> None:
    failures: list[BaseException] = []
    deliveries: list[Delivery] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                log.append(topic, f"thread {number}", b"%d" % turn, on_delivery=deliveries.append)
                log.flush(30)
                log.end_positions([topic])
            assert topic in log.topics()
            assert len([record for record in records_on(log, [topic]) if record.key == f"thread {number}"]) == 20
        except BaseException as error:  # noqa: BLE001  a thread's failure is the test's
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(deliveries) == 160


@promise("Any number of processes use one log at once.")
def test_processes_append_at_once(log: Log, topic: str) -> None:
    code = f'for number in range(200): log.append({topic!r}, "of another process", b"%d" % number)'
    with_others = threading.Thread(target=elsewhere, args=(log.url, code))
    with_others.start()
    append_all(log, topic, [("ours", b"%d" % number) for number in range(200)])
    with_others.join()
    found = records_on(log, [topic])
    for key in ("ours", "of another process"):
        assert [int(record.value or b"") for record in found if record.key == key] == list(range(200))


@promise("A log object is not shared with a forked child.")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_is_refused_everything(log: Log, topic: str) -> None:
    reader, member = log.read(log.start_positions([topic])), log.join("group", [topic])
    append_all(log, topic, [("k", b"before")])
    calls: list[Callable[[], object]] = [
        lambda: log.append(topic, "k", b"child"),
        lambda: log.flush(0),
        lambda: log.end_positions([topic]),
        lambda: log.read({}),
        lambda: log.join("group", [topic]),
        log.topics,
        reader.poll,
        member.owned,
    ]
    child = os.fork()
    if child == 0:
        os._exit(0 if all(_raises(call) for call in calls) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    append_all(log, topic, [("k", b"after")])
    assert [record.value for record in records_on(log, [topic])] == [b"before", b"after"]


@promise("A log object is not shared with a forked child.")
def test_a_forked_child_that_ends_in_order_does_no_harm(log: Log, log_kind: str, topic: str) -> None:
    if log_kind == "memory":
        pytest.skip("a log in memory has nothing that a child could harm")
    code = f"""
        import os, sys
        with log.read(log.start_positions([{topic!r}])), log.join("group", [{topic!r}]):
            log.append({topic!r}, "k", b"before")
            log.flush()
            child = os.fork()
            if child == 0:
                log.close()
                sys.exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            log.append({topic!r}, "k", b"after")
    """
    ended = elsewhere(log.url, code)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [record.value for record in records_on(log, [topic])] == [b"before", b"after"]


def _raises(call: Callable[[], object]) -> bool:
    try:
        call()
    except LogClosedError:
        return True
    return False


@promise("After `close` every method raises `LogClosedError`; `close` delivers what is open first, within its timeout.")
def test_a_closed_log_refuses_everything(log: Log, topic: str) -> None:
    reader, member = log.read(log.start_positions([topic])), log.join("group", [topic])
    log.close()
    calls: list[Callable[[], object]] = [
        lambda: log.append(topic, "k", b"v"),
        lambda: log.create_topics([TopicSpec(topic, 8)]),
        lambda: log.end_positions([topic]),
        lambda: log.start_positions([topic]),
        lambda: log.read({}),
        lambda: log.join("group", [topic]),
        lambda: log.committed("group"),
        lambda: reader.add({}),
        lambda: member.commit({}),
        lambda: member.committed([]),
        log.flush,
        log.topics,
        reader.poll,
        reader.positions,
        member.owned,
    ]
    assert [_raises(call) for call in calls] == [True] * len(calls)
    reader.close()
    member.close()
    log.close()


@promise("After `close` every method raises `LogClosedError`; `close` delivers what is open first, within its timeout.")
def test_close_delivers_what_is_open(log: Log, other_log: Log, topic: str) -> None:
    for number in range(100):
        log.append(topic, f"{number}", b"")
    log.close()
    assert sum(other_log.end_positions([topic]).values()) == 100
