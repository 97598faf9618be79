"""What a worker does with the runs it holds: when user code starts, how each ends, and what follows."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tasktape.agent.appends import Appends
from tasktape.agent.claiming import Begin, Claiming, Drop, Prepare, Pursuit, Stage
from tasktape.agent.devices import Devices
from tasktape.agent.follow import Reading
from tasktape.agent.run_control import DISK_FULL, FinalEvent, Trouble
from tasktape.agent.runs import Runs
from tasktape.agent.view import View
from tasktape.events.base import Event, Stamper
from tasktape.events.hardware import NOTHING, Hardware
from tasktape.events.log.port import LogRecord
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import AbortRequested, EntryClaimed, EntryEnqueued, entry_id
from tasktape.events.task_events import RunCompleted, RunFailed, RunLost, RunPreempted, RunStarted, RunStopped

STAMP = Stamper("agent/me")


class Machine:
    """Remembers what it was told, and for which attempts."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.attempts: set[str] = set()
        self.trouble: Trouble | None = None

    def hear(self, attempt: str, what: Any) -> None:
        self.attempts.add(attempt)
        self.told.append(what)

    def prepare(self, pursuit: Pursuit) -> None:
        self.hear(pursuit.attempt, "prepare")

    def launch(self, attempt: str) -> Trouble | None:
        self.hear(attempt, "launch")
        return self.trouble

    def stop(self, attempt: str, *, patient: bool, grace: float) -> None:
        assert grace > 0
        self.hear(attempt, "stop patiently" if patient else "stop")

    def finish(self, attempt: str, event: FinalEvent | None) -> None:
        self.hear(attempt, event)


class Bench:
    """One run of one worker, from its valid claim on."""

    def __init__(self, retries: int = 0, time_limit: float = 0.0, hardware: Hardware = NOTHING) -> None:
        self.machine = Machine()
        self.appends = Appends()
        self.view = View(["q"], 10.0, self.appends)
        self.view.tasks.created("t")
        self.lease = True
        claiming = Claiming("me", lambda: STAMP, Random(1), None, 10.0)  # type: ignore[arg-type]
        self.runs = Runs(claiming, self.view, self.appends, self.machine, lambda: self.lease, grace=1.0)
        self.runs.devices = Devices(("0", "1"))
        spec = TaskSpec(project="p", name="n", retries=retries, time_limit=time_limit, hardware=hardware)
        entry = entry_id("q", "t", 1)
        about: dict[str, Any] = {"task": "t", "queue": "q", "entry": entry, "run": 1}
        request = EntryEnqueued(meta=STAMP(), spec=spec, priority=3, **about)
        self.read(request)
        self.read(EntryClaimed(meta=STAMP(), worker="me", **about))
        claimed = self.view.queues["q"].fold.entry(entry)
        assert claimed is not None
        self.pursuit = Pursuit("q", claimed, request, STAMP, 0.0, Stage.CLAIMED)
        claiming.pursuits[entry] = self.pursuit
        self.claiming = claiming
        self.runs.obey(Prepare(self.pursuit))

    def read(self, event: Event) -> None:
        record = LogRecord(event.topic_name, 0, 0, 0, event.key, b"")
        self.view.apply(Reading(record, event), 0.0)

    def prepare(self, trouble: Trouble | None = None) -> None:
        self.runs.prepared(self.pursuit.attempt, trouble)
        self.runs.step(0.0)

    def begin(self) -> None:
        self.read(RunStarted(meta=STAMP(), task="t", run=1, worker="me", entry=self.pursuit.id))
        self.runs.obey(Begin(self.pursuit))
        self.runs.step(0.0)

    def launch(self) -> None:
        self.prepare()
        self.begin()
        assert self.machine.told == ["prepare", "launch"]

    def exit(self, code: int, circumstance: str = "") -> None:
        self.runs.exited(self.pursuit.attempt, code, circumstance)
        self.runs.step(0.0)

    def close(self) -> EntryEnqueued | None:
        """The final event reaches the log, the clean-up is done; return the next run's entry."""
        event = self.machine.told[-1]
        if event is not None:
            self.read(event)
        self.runs.finished(self.pursuit.attempt)
        self.runs.step(0.0)
        owed = list(self.appends.due(0.0))
        for message in owed:
            assert isinstance(message, EntryEnqueued)
            assert self.claiming.pursuits, "the run is held until the next one is in its queue"
            self.appends.delivered(message.meta.event_id)
        self.runs.step(0.0)
        assert self.machine.attempts == {self.pursuit.attempt}
        assert not self.claiming.pursuits
        assert not self.runs.controls
        return owed[0] if owed else None  # type: ignore[return-value]

    @property
    def final(self) -> FinalEvent:
        event = self.machine.told[-1]
        assert isinstance(event, RunCompleted | RunFailed | RunPreempted | RunStopped), self.machine.told
        return event


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_user_code_starts_when_it_is_prepared_and_its_start_is_valid(bench: Bench) -> None:
    bench.prepare()
    assert bench.machine.told == ["prepare"]
    bench.begin()
    assert bench.machine.told == ["prepare", "launch"]


@pytest.mark.parametrize("how", ["ends", "dropped"])
def test_a_run_has_its_devices_until_it_is_over(bench: Bench, how: str) -> None:
    assert bench.pursuit.gpus == ("0",)
    if how == "dropped":
        bench.runs.obey(Drop(bench.pursuit, "somebody else was first"))
    else:
        bench.launch()
        bench.exit(0)
        assert bench.runs.devices.take("another") == ("1",)
        bench.close()
    assert bench.runs.devices.take("next") == ("0",)


def test_a_run_has_as_many_devices_as_it_asked_for() -> None:
    assert Bench(hardware=Hardware(gpus=2)).pursuit.gpus == ("0", "1")


def test_a_run_that_was_lost_before_it_began_never_does_and_the_next_one_is_enqueued(bench: Bench) -> None:
    bench.read(RunLost(meta=STAMP(), task="t", run=1, worker="me", entry=bench.pursuit.id))
    bench.runs.obey(Begin(bench.pursuit))
    bench.prepare()
    assert bench.machine.told == ["prepare", None]
    following = bench.close()
    assert following is not None
    assert (following.run, following.losses) == (2, 1)


def test_user_code_does_not_start_once_the_lease_is_gone(bench: Bench) -> None:
    bench.lease = False
    bench.prepare()
    bench.begin()
    bench.runs.step(0.0)
    assert "launch" not in bench.machine.told
    assert isinstance(bench.final, RunFailed)
    assert (bench.final.reason, bench.final.cause) == ("cut off", "infrastructure")


@pytest.mark.parametrize("code", [1, -9])
def test_a_failed_program_is_a_failed_run_that_is_not_retried_unless_it_says_so(bench: Bench, code: int) -> None:
    bench.launch()
    bench.exit(code)
    assert isinstance(bench.final, RunFailed)
    assert (bench.final.exit_code, bench.final.cause) == (code, "task")
    assert bench.close() is None


def test_a_failed_program_is_retried_where_its_task_says_so() -> None:
    bench = Bench(retries=1)
    bench.launch()
    bench.exit(1)
    following = bench.close()
    assert following is not None
    assert (following.run, following.failures, following.losses) == (2, 1, 0)


def test_a_program_that_ends_well_completes_its_run(bench: Bench) -> None:
    bench.launch()
    bench.exit(0)
    assert isinstance(bench.final, RunCompleted)
    assert bench.close() is None


@pytest.mark.parametrize("at_launch", [True, False])
def test_what_the_infrastructure_owes_a_run_is_retried(bench: Bench, at_launch: bool) -> None:
    trouble = Trouble("environment", "no packages", "infrastructure")
    bench.machine.trouble = trouble if at_launch else None
    bench.prepare(None if at_launch else trouble)
    bench.begin()
    bench.runs.step(0.0)
    assert isinstance(bench.final, RunFailed)
    assert (bench.final.reason, bench.final.message) == ("environment", "no packages")
    following = bench.close()
    assert following is not None
    assert (following.run, following.losses) == (2, 1)


def abort(bench: Bench) -> None:
    bench.read(AbortRequested(meta=STAMP(), task="t", run=1, reason="enough"))
    bench.runs.step(0.0)


def test_an_abort_before_the_start_starts_nothing(bench: Bench) -> None:
    abort(bench)
    bench.prepare()
    bench.begin()
    assert "launch" not in bench.machine.told
    assert isinstance(bench.final, RunStopped)
    assert (bench.final.reason, bench.final.message) == ("aborted", "enough")
    assert bench.close() is None


def test_an_abort_is_patient_and_stops_the_run_however_the_program_ends(bench: Bench) -> None:
    bench.launch()
    abort(bench)
    abort(bench)
    assert bench.machine.told[2:] == ["stop patiently"]
    bench.exit(0)
    assert isinstance(bench.final, RunStopped)


def test_a_lost_lease_ends_the_patience(bench: Bench) -> None:
    bench.launch()
    abort(bench)
    bench.pursuit.fenced = True
    bench.runs.step(0.0)
    bench.runs.step(0.0)
    assert bench.machine.told[2:] == ["stop patiently", "stop"]


def test_an_abort_of_another_run_is_not_this_one_s(bench: Bench) -> None:
    bench.read(AbortRequested(meta=STAMP(), task="t", run=7))
    bench.launch()
    assert "stop patiently" not in bench.machine.told


def test_a_request_for_whichever_run_is_under_way_stops_it(bench: Bench) -> None:
    bench.launch()
    bench.read(AbortRequested(meta=STAMP(), task="t", run=0))
    bench.runs.step(0.0)
    assert bench.machine.told[-1] == "stop patiently"


def test_a_run_that_others_declared_lost_is_ended_without_a_word_and_enqueued_once_more(bench: Bench) -> None:
    bench.launch()
    bench.read(RunLost(meta=STAMP(), task="t", run=1, worker="me", entry=bench.pursuit.id))
    bench.runs.step(0.0)
    assert bench.machine.told[-1] == "stop"
    bench.exit(-15)
    assert bench.machine.told[-1] is None
    following = bench.close()
    assert following is not None
    assert following.entry == entry_id("q", "t", 2), "the watchers' entry has the same id: it counts once"


def test_what_the_program_said_of_its_end_is_not_said_again(bench: Bench) -> None:
    bench.launch()
    bench.read(RunFailed(meta=STAMP(), task="t", run=1, reason="ValueError", traceback="…"))
    bench.exit(1)
    assert bench.machine.told[-1] is None
    assert bench.close() is None


@pytest.mark.parametrize("begins", ["before", "after"])
def test_a_worker_told_to_go_hands_back_what_has_not_started(bench: Bench, begins: str) -> None:
    if begins == "before":
        bench.begin()
    bench.runs.leaving = "SIGTERM"
    bench.runs.step(0.0)
    bench.prepare()
    if begins == "after":
        bench.begin()
    assert "launch" not in bench.machine.told
    following = bench.close()
    assert following is not None
    assert (following.run, following.losses) == (2, 0), "handing back is nobody's failure"


def test_a_worker_told_to_go_lets_its_program_finish_unless_it_is_told_twice(bench: Bench) -> None:
    bench.launch()
    bench.runs.leaving = "SIGTERM"
    bench.runs.step(0.0)
    assert bench.machine.told == ["prepare", "launch"]
    bench.runs.stop_all()
    assert bench.machine.told[-1] == "stop"
    bench.exit(-15)
    assert isinstance(bench.final, RunPreempted)
    assert (bench.final.worker, bench.final.reason) == ("me", "SIGTERM")
    following = bench.close()
    assert following is not None
    assert (following.run, following.losses) == (2, 0)
    assert (following.rank, following.priority) == (bench.pursuit.entry.rank, 3)


def test_a_run_that_takes_too_long_is_stopped_like_an_aborted_one_and_has_failed() -> None:
    bench = Bench(time_limit=60.0)
    bench.launch()
    assert bench.runs.next_due() == 60.0
    bench.runs.step(59.9)
    assert bench.machine.told[-1] == "launch"
    bench.runs.step(60.0)
    assert bench.machine.told[-1] == "stop patiently"
    assert bench.runs.next_due() > 60.0
    bench.exit(0)
    assert isinstance(bench.final, RunFailed)
    assert (bench.final.reason, bench.final.cause) == ("time limit", "task")
    assert "60 s" in bench.final.message
    assert bench.close() is None


@pytest.mark.parametrize(
    ("circumstance", "cause", "following"), [("out of memory", "task", None), (DISK_FULL, "infrastructure", 2)]
)
def test_what_else_is_known_of_an_end_says_whose_fault_it_was(
    bench: Bench, circumstance: str, cause: str, following: int | None
) -> None:
    bench.launch()
    bench.exit(-9, circumstance)
    assert isinstance(bench.final, RunFailed)
    assert (bench.final.reason, bench.final.message) == (circumstance, "killed by SIGKILL")
    assert (bench.final.cause, bench.final.exit_code) == (cause, -9)
    entry = bench.close()
    assert (entry.run if entry else None) == following


def test_reports_of_an_earlier_attempt_at_the_entry_say_nothing_of_this_one(bench: Bench) -> None:
    bench.runs.finished("an earlier claim")
    bench.runs.prepared("an earlier claim", Trouble("environment", "", "infrastructure"))
    bench.launch()


def test_a_dropped_attempt_is_cleaned_up_without_a_word(bench: Bench) -> None:
    bench.runs.obey(Drop(bench.pursuit, "somebody was first"))
    assert bench.machine.told == ["prepare", None]
    assert not bench.runs.controls
