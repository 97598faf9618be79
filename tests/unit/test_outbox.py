from __future__ import annotations

import fcntl
import os
import random
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tasktape.events.base import Event, Stamper
from tasktape.events.codec import Codec
from tasktape.events.errors import AppendError, RecordRefusedError
from tasktape.events.log import Headers, Log, OnDelivery, open_log
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import EntryEnqueued
from tasktape.events.report_events import ConsoleWritten, SingleValueReported
from tasktape.events.scalars import read_columns
from tasktape.events.settings import Settings
from tasktape.events.task_events import TaskDeleted
from tasktape.events.topics import TOPICS
from tasktape.producers import drain, warn
from tasktape.producers.forward import Forwarder
from tasktape.producers.outbox import Outbox
from tasktape.producers.spool import Spool
from tasktape.producers.spool_file import Record
from tasktape.producers.spool_folder import SpoolFolder, SpoolPlace, roots, spool_folders
from tasktape.producers.sync import SyncReport, recover, sync
from tasktape.testing import memory_log, records_on

MAY_FORK = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
Until = Callable[[Callable[[], Any]], Any]


@pytest.fixture(autouse=True)
def _warn_anew() -> Iterator[None]:
    warn.forget()
    yield
    warn.forget()


class Office:
    """An outbox on a log in memory, and what can be read there."""

    def __init__(self, home: Path, url: str) -> None:
        self.settings = Settings(home=home, log=url)
        self.stamp = Stamper("ann@host")
        self.outbox = Outbox(self.settings, self.stamp)

    def say(self, task: str, number: int) -> None:
        self.outbox.emit(SingleValueReported(meta=self.stamp(), task=task, run=1, name=str(number), value=number))

    def log(self) -> Log:
        return open_log(self.settings.log)

    def values(self, topic: str = "tasktape.metrics") -> list[bytes]:
        """Everything on a topic, each partition in order."""
        with self.log() as log:
            if topic not in log.topics():
                return []
            ends = log.end_positions([topic])
            found: list[bytes] = []
            with log.read(dict.fromkeys(ends, 0)) as reader:
                while any(reader.positions()[source] < end for source, end in ends.items()):  # others may append on
                    found += [record.value or b"" for record in reader.poll(1.0)]
        return found

    def events(self, topic: str = "tasktape.metrics") -> list[Event]:
        """The events of a topic, repeats left out as every reader does."""
        found: dict[tuple[str, int], Event] = {}
        for value in self.values(topic):
            event = Codec().decode(value)
            first = found.setdefault((event.meta.session, event.meta.seq), event)
            assert first == event
        return list(found.values())

    def said(self, task: str) -> list[int]:
        return [
            int(event.value) for event in self.events() if isinstance(event, SingleValueReported) and event.task == task
        ]

    def points(self) -> Counter[tuple[str, str, int]]:
        counted: Counter[tuple[str, str, int]] = Counter()
        seen = set()
        for value in self.values():
            if Codec().unframe(value).name != "ScalarsReported":
                continue
            columns = read_columns(value, Codec())
            if (columns.meta.session, columns.meta.seq) in seen:
                continue
            seen.add((columns.meta.session, columns.meta.seq))
            names = [columns.series[index][0] for index in columns.index.tolist()]
            counted.update((columns.task, name, step) for name, step in zip(names, columns.steps.tolist(), strict=True))
        return counted


@pytest.fixture(params=["memory", "sqlite"])
def office(request: pytest.FixtureRequest, home: Path) -> Iterator[Office]:
    url = f"memory://{uuid.uuid4().hex}" if request.param == "memory" else f"sqlite://{home}/log.db"
    made = Office(home, url)
    yield made
    made.outbox.close(5.0)


class Away:
    """Makes logs that are opened from now on away, or refuse, or lose their answers; and ends that.

    As on real logs, what is appended after a record that fails, and before anybody knows, fails too.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plan: Callable[[int], str] = lambda _: "take"
        self.tries = 0
        self.fails = ""
        self.error = AppendError("not today")
        original = Settings.open_log

        def open_faulty(settings: Settings) -> Log:
            if self.plan(-1) == "away":
                raise OSError("nobody answers")
            log = original(settings)
            log.append = self.faulty(log.append)  # type: ignore[method-assign]
            log.flush = self.recovering(log.flush)  # type: ignore[method-assign]
            return log

        monkeypatch.setattr(Settings, "open_log", open_faulty)

    def recovering(self, flush: Callable[..., int]) -> Callable[..., int]:
        def flush_and_recover(timeout: float | None = None) -> int:
            self.fails = ""
            return flush(timeout)

        return flush_and_recover

    def faulty(self, append: Callable[..., None]) -> Callable[..., None]:
        def faulty_append(
            topic: str,
            key: str | None,
            value: bytes | None,
            *,
            headers: Headers = (),
            partition: int | None = None,
            on_delivery: OnDelivery | None = None,
        ) -> None:
            self.tries += 1
            does = self.fails or self.plan(self.tries)
            self.fails = "" if does == "take" else "refuse"
            refuse = None if does == "take" else self.error

            def report(delivery: Any) -> None:
                assert on_delivery is not None
                on_delivery(delivery._replace(error=refuse) if refuse else delivery)

            if does == "refuse":
                append("gone", key, value, on_delivery=report)
            else:
                append(topic, key, value, headers=headers, partition=partition, on_delivery=report)

        return faulty_append


def test_an_event_is_on_the_log_when_emit_returns(office: Office) -> None:
    for number in range(20):
        office.say("t", number)
        assert office.said("t") == list(range(number + 1))


def test_flushed_scalars_are_on_the_log(office: Office) -> None:
    for step in range(1000):
        office.outbox.report_scalar("t", 1, "loss", "train", step / 2, step)
    assert office.outbox.flush()
    assert office.points() == {("t", "loss", step): 1 for step in range(1000)}


def test_scalars_reach_the_log_by_themselves(office: Office, until: Until) -> None:
    office.outbox.report_scalar("t", 1, "loss", "train", 0.5, 3)
    until(lambda: office.points() == {("t", "loss", 3): 1})
    assert office.outbox.last_step("t") == 3


def test_runs_and_tasks_are_kept_apart(office: Office) -> None:
    for task, run in (("t", 1), ("t", 2), ("u", 1)):
        office.outbox.scalars(task, run).report("loss", "train", 0.5, run)
    assert office.outbox.flush()
    found = {(columns.task, columns.run) for columns in (read_columns(v, Codec()) for v in office.values())}
    assert found == {("t", 1), ("t", 2), ("u", 1)}


def test_console_lines_come_in_batches(office: Office) -> None:
    console = office.outbox.console("t", 1)
    assert office.outbox.console("t", 1) is console
    for number in range(100):
        console.write("stdout", f"line {number}\n")
    assert office.outbox.flush()
    events = [event for event in office.events("tasktape.console") if isinstance(event, ConsoleWritten)]
    assert [line.text for event in events for line in event.lines] == [f"line {number}" for number in range(100)]
    assert len(events) < 20


def test_a_queue_that_nobody_made_yet_is_made(office: Office) -> None:
    spec = TaskSpec(project="p", name="n")
    office.outbox.emit(EntryEnqueued(meta=office.stamp(), task="t", queue="new", entry="e", run=1, spec=spec))
    assert len(office.events("tasktape.queue.new")) == 1


def test_what_is_said_after_the_end_is_heard(office: Office) -> None:
    office.say("t", 0)
    office.outbox.close()
    office.outbox.report_scalar("t", 1, "loss", "train", 0.5, 3)
    office.say("t", 1)
    assert office.outbox.flush()
    assert office.said("t") == [0, 1]
    assert office.points() == {("t", "loss", 3): 1}


def test_nothing_is_left_of_an_outbox_that_brought_everything_away(office: Office) -> None:
    office.outbox.report_scalar("t", 1, "loss", "train", 0.5, 3)
    office.say("t", 1)
    office.outbox.close()
    assert not spool_folders(roots(office.settings)[0])


def test_an_event_that_does_not_fit_its_schema_is_warned_about_and_breaks_nothing(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.outbox.emit(SingleValueReported(meta=office.stamp(), task="t", run=2**70, name="x", value=1))
    office.say("t", 1)
    assert "SingleValueReported could not be reported" in caplog.text
    assert office.said("t") == [1]


def test_what_the_log_refuses_for_good_is_set_aside_and_holds_up_nothing(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.outbox.emit(TaskDeleted(meta=office.stamp(), task="t", reason="x" * (9 << 20)))
    office.say("t", 1)
    assert office.said("t") == [1]
    (kept,) = (roots(office.settings)[0] / "refused").iterdir()
    assert kept.stat().st_size > 9 << 20
    assert str(kept) in caplog.text
    report = sync(office.settings)
    assert (report.records, report.refused) == (0, 1)
    assert kept.exists()


def test_what_was_refused_is_taken_when_it_is_offered_again(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record may have been refused since the process was not permitted to write, which somebody has mended."""
    with monkeypatch.context() as patch:
        away = Away(patch)
        away.error = RecordRefusedError("you may not")
        away.plan = lambda tries: "refuse" if tries == 1 else "take"
        office.say("t", 1)
        assert office.said("t") == []
    assert sync(office.settings).records == 1
    assert office.said("t") == [1]
    assert not list((roots(office.settings)[0] / "refused").iterdir())


def test_while_the_log_is_away_everything_waits_in_the_spool_and_goes_there_by_itself_in_order(
    office: Office, monkeypatch: pytest.MonkeyPatch, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    away = Away(monkeypatch)
    away.plan = lambda _: "away"
    for number in range(50):
        office.say(f"t{number % 3}", number)
        office.outbox.report_scalar("t", 1, "loss", "train", 0.5, number)
    assert office.outbox.flush()
    assert not office.outbox.synced(0.0)
    assert [record.action for record in caplog.records] == ["log_away"]  # type: ignore[attr-defined]
    assert spool_folders(roots(office.settings)[0])
    away.plan = lambda _: "take"
    until(lambda: office.outbox.synced(1.0))
    assert [office.said(f"t{n}") for n in range(3)] == [list(range(n, 50, 3)) for n in range(3)]
    assert office.points() == {("t", "loss", step): 1 for step in range(50)}
    office.say("t0", 99)
    assert office.said("t0")[-1] == 99


@pytest.mark.parametrize("does", ["refuse", "take and refuse"])
def test_appends_that_fail_and_answers_that_get_lost_cost_neither_records_nor_order(
    office: Office, monkeypatch: pytest.MonkeyPatch, until: Until, does: str
) -> None:
    """A third of all appends fails: before it was written, or after, so that it is written again."""
    away, chance = Away(monkeypatch), random.Random(7)
    away.plan = lambda _: does if chance.random() < 1 / 3 else "take"
    for number in range(30):
        office.say("t", number)
    until(lambda: office.outbox.synced(1.0))
    assert away.tries > 30
    assert office.said("t") == list(range(30))


def test_an_outbox_that_ends_while_the_log_is_away_leaves_everything_to_the_next_one(
    office: Office, monkeypatch: pytest.MonkeyPatch, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    away = Away(monkeypatch)
    away.plan = lambda _: "away"
    for number in range(20):
        office.say("t", number)
        office.outbox.report_scalar("t", 1, "loss", "train", 0.5, number)
    office.outbox.close()
    assert "tasktape sync" in caplog.records[-1].getMessage()
    away.plan = lambda _: "take"
    Office(office.settings.home, office.settings.log).say("u", 1)
    until(lambda: len(office.said("t")) == 20)
    until(lambda: not spool_folders(roots(office.settings)[0]))
    assert office.said("t") == list(range(20))
    assert office.points() == {("t", "loss", step): 1 for step in range(20)}


@pytest.mark.parametrize("has_room", [True, False])
def test_at_its_end_a_process_says_what_waits_and_what_is_lost(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, has_room: bool
) -> None:
    Away(monkeypatch).plan = lambda _: "away"
    if not has_room:
        monkeypatch.setattr(SpoolPlace, "path", lambda _: None)
    office.say("t", 1)
    office.outbox.close(0)
    said = caplog.records[-1].getMessage()
    assert ("1 event. They wait in" in said, "lost with this process" in said) == (has_room, not has_room)
    assert ("tasktape sync" in caplog.text) == has_room


def test_sync_brings_what_is_left_and_says_how_much(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        Away(patch).plan = lambda _: "away"
        for number in range(20):
            office.say("t", number)
        office.outbox.close(0)
    told: list[int] = []
    report = sync(office.settings, told.append)
    assert (report.records, report.processes, report.live) == (20, 1, 0)
    assert told[-1] == 20
    assert office.said("t") == list(range(20))
    assert str(report) == "Brought 20 records of 1 process to the log."
    assert str(sync(office.settings)) == "Nothing was left behind."


def test_what_was_said_to_one_log_does_not_go_to_another(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        Away(patch).plan = lambda _: "away"
        office.say("t", 1)
        office.outbox.close(0)
    other = Office(office.settings.home, f"{office.settings.log}2")
    assert str(sync(other.settings)) == "Nothing was left behind."
    assert other.values() == []
    assert sync(office.settings).records == 1
    assert office.said("t") == [1]


def test_sync_leaves_what_is_left_where_it_is_while_the_log_is_away(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Away(patch).plan = lambda _: "away"
        office.say("t", 1)
        office.outbox.close(0)
        with pytest.raises(OSError, match="nobody answers"):
            sync(office.settings)
    assert sync(office.settings).records == 1


def test_nobody_can_take_over_a_folder_that_is_being_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Path]] = []
    lock = fcntl.flock

    def looking(descriptor: int, how: int) -> None:
        seen.append(spool_folders(tmp_path))
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", looking)
    folder = SpoolFolder.create(tmp_path, "s")
    assert seen == [[]]
    assert spool_folders(tmp_path) == [folder.path]
    assert SpoolFolder.take_over(folder.path) is None
    folder.remove()


def test_a_folder_that_cannot_be_brought_on_holds_up_no_other(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    root = roots(office.settings)[0]
    for name in ("a damaged one", "z"):
        SpoolFolder.create(root, name).release()
    (root / "a damaged one" / "not-a-number.spool").write_bytes(b"TTSPOOL1".ljust(40, b"\0"))
    with monkeypatch.context() as patch:
        Away(patch).plan = lambda _: "away"
        office.say("t", 1)
        office.outbox.close(0)
    with pytest.raises(ValueError, match="not-a-number"):
        sync(office.settings)
    assert office.said("t") == [1]
    assert [path.name for path in spool_folders(root)] == ["a damaged one"]


def test_who_is_told_to_stop_leaves_the_rest_to_others(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        Away(patch).plan = lambda _: "away"
        office.say("t", 1)
        office.outbox.close(0)
    assert recover(office.settings, stop=lambda: True).records == 0
    assert sync(office.settings).records == 1


def test_sync_touches_nothing_of_a_live_process(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        Away(patch).plan = lambda _: "away"
        office.say("t", 1)
        assert sync(office.settings) == SyncReport(records=0, processes=0, live=1)


def test_what_a_newer_version_left_is_kept_and_not_given_to_tools_that_could_not_read_it(tmp_path: Path) -> None:
    registry: Any = SimpleNamespace(id_of=lambda *_: 7)
    spool = Spool(lambda: tmp_path)
    event = SingleValueReported(meta=Stamper()(), task="t", run=1, name="score", value=1)
    newer = Codec().encode(event).replace(b"\xc3\x01", b"\xc3\x01newer", 1)
    for value in (newer, Codec().encode(event)):
        assert spool.append(Record("tasktape.metrics", "t", value, ()))
    with memory_log() as log:
        forwarder = Forwarder(log, Codec(registry), tmp_path / "refused")
        while spool:
            forwarder.forward(spool, lambda _: False)
        values = {record.value for record in records_on(log)}
    assert [(value or b"")[:5] for value in values] == [b"\x00\x00\x00\x00\x07"]
    (kept,) = (tmp_path / "refused").iterdir()
    assert newer in kept.read_bytes()


def test_a_runs_end_is_said_once_all_it_has_reported_is_on_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log may acknowledge what lies in one partition long before what was appended earlier to another."""
    spool = Spool(lambda: tmp_path)
    seen: list[tuple[str, set[str]]] = []
    topics = ["tasktape.tasks", "tasktape.tasks", "tasktape.metrics", "tasktape.console", "tasktape.tasks"]
    for topic in [*topics, "tasktape.console", "tasktape.metrics"]:
        assert spool.append(Record(topic, "t", Codec().encode(TaskDeleted(meta=Stamper()(), task="t")), ()))
    with memory_log() as log:
        log.create_topics(TOPICS)
        append = log.append
        unanswered: set[str] = set()

        def note(topic: str, *args: Any, on_delivery: OnDelivery, **kwargs: Any) -> None:
            seen.append((topic, unanswered - {topic}))
            unanswered.add(topic)
            append(topic, *args, on_delivery=on_delivery, **kwargs)

        def flush(timeout: float | None = None) -> int:
            unanswered.clear()
            return type(log).flush(log, timeout)

        monkeypatch.setattr(log, "append", note)
        monkeypatch.setattr(log, "flush", flush)
        forwarder = Forwarder(log, Codec(), tmp_path / "refused")
        counts = [forwarder.forward(spool, lambda _: False) for _ in range(3)]
    assert sum(counts) == 7
    assert [around for topic, around in seen if topic == "tasktape.tasks"] == [set(), set(), set()]


def test_many_threads_say_things_at_once_and_all_is_heard_in_each_threads_order(office: Office) -> None:
    def say(task: str) -> None:
        for number in range(40):
            office.say(task, number)

    threads = [threading.Thread(target=say, args=(f"t{number}",)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [office.said(f"t{number}") for number in range(5)] == [list(range(40))] * 5


@MAY_FORK
def test_a_forked_child_goes_on_in_parts_of_its_own_and_so_does_its_parent(home: Path) -> None:
    office = Office(home, f"sqlite://{home}/log.db")
    writer = office.outbox.scalars("t", 1)
    writer.report("loss", "s", 0.5, 0)
    office.say("t", 0)
    child = os.fork()
    if child == 0:
        writer.report("loss", "s", 0.5, 1)
        office.stamp = Stamper()
        office.say("t", 1)
        console = office.outbox.console("t", 1)
        console.write("stdout", "from the child\n")
        office.outbox.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    office.outbox.console("t", 1).write("stdout", "from the parent\n")
    office.outbox.flush()
    writer.report("loss", "s", 0.5, 2)
    office.say("t", 2)
    office.outbox.close()
    assert office.points() == {("t", "loss", step): 1 for step in range(3)}
    assert office.said("t") == [0, 1, 2]
    assert len(office.events("tasktape.console")) == 2


@MAY_FORK
def test_what_a_child_left_that_ended_without_ceremony_is_brought_on_by_its_parent(home: Path) -> None:
    office = Office(home, f"sqlite://{home}/log.db")
    writer = office.outbox.scalars("t", 1)
    writer.report("parent", "s", 0.5, 0)
    child = os.fork()
    if child == 0:
        for step in range(100):
            writer.report("child", "s", 0.5, step)
        os._exit(0)
    os.waitpid(child, 0)
    office.outbox.close()
    assert office.points() == Counter([("t", "parent", 0), *(("t", "child", step) for step in range(100))])


def test_numbers_are_in_the_order_of_the_records_whoever_stamped_first(office: Office) -> None:
    """A reader that has seen many later numbers would take an event that was held up for a copy."""
    early = SingleValueReported(meta=office.stamp(), task="t", run=1, name="early", value=-1)
    for number in range(100):
        office.say("t", number)
    office.outbox.emit(early)
    events = office.events()
    assert [event.meta.seq for event in events] == sorted(event.meta.seq for event in events)
    assert events[-1].meta.event_id == early.meta.event_id


def test_an_event_that_another_session_stamped_keeps_its_number(office: Office) -> None:
    said = SingleValueReported(meta=Stamper()(), task="t", run=1, name="said elsewhere", value=1)
    office.outbox.emit(said)
    office.outbox.emit(said)
    assert office.events() == [said]
    assert len(office.values()) == 2


@pytest.mark.parametrize("when", ["before the first point", "after it"])
def test_in_haste_points_go_to_the_log_without_waiting_for_the_next_look(
    home: Path, until: Until, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(drain, "INTERVAL", 1000.0)
    office = Office(home, f"sqlite://{home}/log.db")
    if when == "after it":
        office.outbox.report_scalar("t", 1, "loss", "s", 0.5, 1)
    office.outbox.hasten()
    for step in (2, 3):
        office.outbox.report_scalar("t", 1, "loss", "s", 0.5, step)

        def is_there(wanted: int = step) -> bool:
            return office.points()["t", "loss", wanted] == 1

        until(is_there)
    office.outbox.close()


@MAY_FORK
def test_a_forked_child_of_a_hasty_process_is_hasty(home: Path, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "INTERVAL", 1000.0)
    office = Office(home, f"sqlite://{home}/log.db")
    office.outbox.hasten()
    child = os.fork()
    if child == 0:
        office.outbox.report_scalar("t", 1, "loss", "s", 0.5, 0)
        threading.Event().wait()
    try:
        until(lambda: office.points()["t", "loss", 0] == 1)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
