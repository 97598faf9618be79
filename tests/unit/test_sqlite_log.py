"""The embedded log beyond the port: its file, its housekeeping, and what happens when the disk says no."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tasktape.events.errors import AppendError, LogUnavailableError, TopicMismatchError
from tasktape.events.log import Delivery, TopicPartition
from tasktape.events.log.clock import uptime_us
from tasktape.events.log.file_watch import FileWatch, InotifyWatch, TimeWatch
from tasktape.events.log.pace import Pace
from tasktape.events.log.sqlite import SqliteLog
from tasktape.events.log.sqlite_cleaning import EVERY_US, clean_if_due
from tasktape.events.topics import TopicSpec
from tasktape.testing import append_all, records_on

MS = 1000
DAY_MS = 86_400_000


class Clock:
    """Wall time that tests set, in µs."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def pass_ms(self, milliseconds: int) -> None:
        self.now += milliseconds * MS


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "log.db"


@pytest.fixture
def log(path: Path, clock: Clock) -> Iterator[SqliteLog]:
    with SqliteLog(path, now=clock, uptime=lambda: 0) as opened:
        yield opened


def values(log: SqliteLog, topic: str) -> list[bytes | None]:
    return [record.value for record in records_on(log, [topic])]


def test_folder_and_files_are_the_users_own(log: SqliteLog, path: Path) -> None:
    log.create_topics([TopicSpec("t", 1)])
    append_all(log, "t", [("k", b"v")])
    with log.read(log.end_positions(["t"])) as reader:
        assert reader.poll(0.001) == []
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"log.db": 0o600, "log.db-bell": 0o600, "log.db-wal": 0o600, "log.db-shm": 0o600}


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    SqliteLog(tmp_path / "log.db").close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def occupied(path: Path) -> None:
    path.parent.write_bytes(b"a file where the folder should be")


def a_folder(path: Path) -> None:
    path.mkdir(parents=True)


def no_database(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"something else entirely " * 100)


def of_a_newer_version(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (occupied, "File exists|Not a directory"),
        (a_folder, "unable to open database file|Is a directory"),
        (no_database, "file is not a database"),
        (of_a_newer_version, "its format is 99, this version knows 1: upgrade tasktape"),
    ],
)
def test_a_path_that_cannot_be_a_log_is_named_with_the_reason(
    path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(path)
    with pytest.raises(LogUnavailableError, match=reason) as caught:
        SqliteLog(path)
    assert str(path) in str(caught.value)


def test_logs_that_are_made_at_once_are_one(path: Path) -> None:
    barrier = threading.Barrier(8)
    opened: list[SqliteLog] = []
    failures: list[BaseException] = []

    def make() -> None:
        try:
            barrier.wait()
            log = SqliteLog(path)
            opened.append(log)
            log.create_topics([TopicSpec("t", 4)])
        except BaseException as error:  # noqa: BLE001  a thread's failure is the test's
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    append_all(opened[0], "t", [("k", b"v")])
    assert values(opened[7], "t") == [b"v"]
    for log in opened:
        log.close()


def test_one_wrong_topic_creates_none(log: SqliteLog) -> None:
    log.create_topics([TopicSpec("old", 1)])
    with pytest.raises(TopicMismatchError):
        log.create_topics([TopicSpec("new", 1), TopicSpec("old", 2)])
    assert set(log.topics()) == {"old"}


def deny(log: SqliteLog, how: str) -> None:
    """Let the log's disk refuse writes from now on."""
    execute = log._writer._connection.execute
    if how == "full":
        (pages,) = execute("PRAGMA page_count").fetchone()
        execute(f"PRAGMA max_page_count = {pages}")
    else:
        execute("PRAGMA query_only = 1")


def allow(log: SqliteLog) -> None:
    log._writer._connection.execute("PRAGMA query_only = 0")
    log._writer._connection.execute("PRAGMA max_page_count = 1000000000")


@pytest.mark.parametrize(("how", "reason"), [("full", "full"), ("readonly", "readonly")])
def test_a_disk_that_refuses_is_reported_and_the_log_goes_on_when_it_relents(
    log: SqliteLog, how: str, reason: str
) -> None:
    log.create_topics([TopicSpec("t", 1)])
    append_all(log, "t", [("k", b"before")])
    deny(log, how)
    [refused] = append_all(log, "t", [("k", bytes(100_000))])
    assert type(refused.error) is AppendError
    assert reason in str(refused.error)
    assert values(log, "t") == [b"before"]
    allow(log)
    [delivered] = append_all(log, "t", [("k", b"after")])
    assert delivered.error is None
    assert values(log, "t") == [b"before", b"after"]


def test_a_log_whose_file_was_removed_says_so(log: SqliteLog, path: Path) -> None:
    log.create_topics([TopicSpec("t", 1)])
    path.unlink()
    [delivery] = append_all(log, "t", [("k", b"v")])
    assert "removed or replaced" in str(delivery.error)


def test_a_bell_that_was_removed_is_made_anew_by_who_listens(log: SqliteLog, path: Path) -> None:
    log.create_topics([TopicSpec("t", 1)])
    bell = path.with_name("log.db-bell")
    for number in range(2):
        with log.read({TopicPartition("t", 0): number}) as reader:
            assert reader.poll(0.001) == []
            append_all(log, "t", [("k", b"v")])
            assert len(reader.poll(600.0)) == 1
        bell.unlink()


def test_what_a_callback_raises_harms_nobody(log: SqliteLog, caplog: pytest.LogCaptureFixture) -> None:
    log.create_topics([TopicSpec("t", 1)])
    deliveries: list[Delivery] = []

    def fail(_: Delivery) -> None:
        raise ZeroDivisionError

    log.append("t", "k", b"1", on_delivery=fail)
    log.append("t", "k", b"2", on_delivery=deliveries.append)
    assert log.flush() == 0
    assert [delivery.offset for delivery in deliveries] == [1]
    assert [record.action for record in caplog.records] == ["delivery_callback_failed"]  # type: ignore[attr-defined]


def test_records_past_their_retention_are_deleted(log: SqliteLog, clock: Clock) -> None:
    log.create_topics([TopicSpec("short", 2, retention_ms=1000), TopicSpec("forever", 1)])
    for topic in ("short", "forever"):
        append_all(log, topic, [(f"{number}", b"old") for number in range(1200)])
    clock.pass_ms(600)
    append_all(log, "short", [("k", b"young")])
    clock.pass_ms(600)
    assert log.clean() == 1200
    assert values(log, "short") == [b"young"]
    assert len(values(log, "forever")) == 1200
    assert sum(log.end_positions(["short"]).values()) == 1201


def test_compaction_keeps_the_latest_of_each_key_and_all_that_is_young(log: SqliteLog, clock: Clock) -> None:
    log.create_topics([TopicSpec("compacted", 1, compact_after_ms=DAY_MS)])
    append_all(log, "compacted", [("a", b"a1"), ("b", b"b1"), ("a", b"a2"), (None, b"no key"), ("gone", b"g1")])
    append_all(log, "compacted", [("gone", None)])
    clock.pass_ms(DAY_MS + 1)
    append_all(log, "compacted", [("b", b"b2"), ("b", b"b3")])
    assert log.clean() == 2
    assert values(log, "compacted") == [b"b1", b"a2", b"no key", None, b"b2", b"b3"]
    clock.pass_ms(DAY_MS)
    assert log.clean() == 1
    assert values(log, "compacted") == [b"b1", b"a2", b"no key", b"b2", b"b3"]
    clock.pass_ms(2)
    assert log.clean() == 2
    assert values(log, "compacted") == [b"a2", b"no key", b"b3"]


def test_cleaning_gives_the_disk_its_space_back(log: SqliteLog, clock: Clock, path: Path) -> None:
    log.create_topics([TopicSpec("short", 1, retention_ms=1000)])
    append_all(log, "short", [("k", bytes(1_000_000)) for _ in range(8)])
    clock.pass_ms(1001)
    log.clean()
    log.close()
    assert path.stat().st_size < 1_000_000


def test_only_one_process_an_hour_cleans(log: SqliteLog, clock: Clock) -> None:
    log.create_topics([TopicSpec("short", 1, retention_ms=1000)])
    clean_if_due(log._database, clock)
    append_all(log, "short", [("k", b"v")])
    clock.pass_ms(2000)
    clean_if_due(log._database, clock)
    assert values(log, "short") == [b"v"]
    clock.pass_ms(EVERY_US // MS)
    clean_if_due(log._database, clock)
    assert values(log, "short") == []


def test_a_silent_member_loses_its_partitions_and_gets_them_back_when_it_speaks(
    path: Path,
) -> None:
    uptime = [0]
    with (
        SqliteLog(path, uptime=lambda: uptime[0], pace=Pace(lease=1000)) as one,
        SqliteLog(path, uptime=lambda: uptime[0], pace=Pace(lease=1000)) as other,
    ):
        one.create_topics([TopicSpec("t", 4)])
        silent, speaking = one.join("group", ["t"]), other.join("group", ["t"])
        assert len(silent.owned()) == len(speaking.owned()) == 2
        uptime[0] = 1001 * 1_000_000
        other._groups._renew()
        assert (len(silent.owned()), len(speaking.owned())) == (0, 4)
        one._groups._renew()
        assert (len(silent.owned()), len(speaking.owned())) == (2, 2)


def test_members_from_before_a_restart_of_the_machine_are_dead(path: Path) -> None:
    with SqliteLog(path, uptime=lambda: 10**12, pace=Pace(lease=1000)) as log:
        log.create_topics([TopicSpec("t", 4)])
        log.join("group", ["t"])
        log._groups._members.clear()
    with SqliteLog(path, uptime=lambda: 10**6, pace=Pace(lease=1000)) as log:
        assert len(log.join("group", ["t"]).owned()) == 4


def test_a_group_keeps_what_it_owns_when_a_member_cannot_leave(
    log: SqliteLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.create_topics([TopicSpec("t", 4)])
    member = log.join("group", ["t"])
    with log._groups.transaction() as connection:
        pass
    connection.execute("PRAGMA query_only = 1")
    member.close()
    assert [record.action for record in caplog.records] == ["member_not_left"]  # type: ignore[attr-defined]


def test_followers_of_hot_queries_use_keys_and_not_scans(log: SqliteLog, path: Path) -> None:
    log.create_topics([TopicSpec("t", 4)])
    plans = {name: plan(path, name) for name in ("records", "expired", "move_end", "sequence", "owned")}
    assert {name: steps for name, steps in plans.items() if any(step.startswith("SCAN r") for step in steps)} == {}
    assert plans["records"] == ["SEARCH records USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]


def plan(path: Path, name: str) -> list[str]:
    """Steps of a query as SQLite plans them."""
    from tasktape.events.log.sqlite_database import SQL  # noqa: PLC0415  white box

    with closing(sqlite3.connect(path)) as connection:
        count = max(SQL[name].count("?"), 1)
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", [0] * count)]


WATCHES: list[Any] = [TimeWatch] + ([InotifyWatch] if hasattr(os, "uname") and os.uname().sysname == "Linux" else [])


def at_rest(kind: Callable[[Path], FileWatch], file: Path) -> FileWatch:
    """A watch of a new file that has told of its making."""
    file.write_bytes(b"")
    watch = kind(file)
    settle(watch)
    return watch


def settle(watch: FileWatch) -> None:
    while watch.wait(0.05):
        pass


@pytest.mark.parametrize("kind", WATCHES)
def test_a_watch_tells_of_each_touch(kind: Callable[[Path], FileWatch], tmp_path: Path) -> None:
    file = tmp_path / "file"
    watch = at_rest(kind, file)
    for _ in range(3):
        assert not watch.wait(0.02)
        os.utime(file)
        assert watch.wait(30)
        settle(watch)
    watch.close()


@pytest.mark.parametrize("kind", WATCHES)
def test_a_watch_can_be_woken_until_it_is_closed(kind: Callable[[Path], FileWatch], tmp_path: Path) -> None:
    watch = at_rest(kind, tmp_path / "file")
    watch.wake()
    assert not watch.wait(600)
    watch.close()
    watch.wake()


def test_a_time_that_may_be_that_of_two_touches_counts_again(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    watch = TimeWatch(file)
    os.utime(file, ns=(0, 4_000_000_000 * 10**9))
    assert [watch.wait(0), watch.wait(0)] == [True, True]
    os.utime(file, ns=(0, 1_000_000_000 * 10**9))
    assert [watch.wait(0), watch.wait(0)] == [True, False]
    watch.close()


def test_readers_without_inotify_follow_too(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasktape.events.log.sqlite_reader.watch_file", TimeWatch)
    log.create_topics([TopicSpec("t", 1)])
    with log.read({TopicPartition("t", 0): 0}) as reader:
        for number in range(20):
            assert list(reader.poll()) == []
            later = threading.Timer(0.001 * number, append_all, (log, "t", [("k", b"%d" % number)]))
            later.start()
            assert [record.value for record in reader.poll(30)] == [b"%d" % number]
            later.join()


def test_uptime_is_in_microseconds_and_grows() -> None:
    assert 0 < uptime_us() <= uptime_us()
