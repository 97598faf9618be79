"""The agent's pure parts by themselves: appends in doubt, heartbeats and lease, retries, peers, the run ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.agent.appends import Appends, Tombstone, last_known
from tasktape.agent.follow import Reading
from tasktape.agent.heartbeat import FORGET_AFTER, Heartbeats
from tasktape.agent.idlers import Idler, Idlers
from tasktape.agent.peers import Peers
from tasktape.agent.retry import successor
from tasktape.agent.run_control import describe_exit
from tasktape.agent.run_ledger import RELEVANT, RunLedger
from tasktape.agent.view import View
from tasktape.events.base import Event, Stamper
from tasktape.events.log.port import LogRecord
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import EntryClaimed, EntryEnqueued, entry_id
from tasktape.events.task_events import (
    EntryLeft,
    RunCompleted,
    RunFailed,
    RunLost,
    RunStarted,
    RunStopped,
    TaskCreated,
    TaskDeleted,
    TaskPublished,
    TaskReset,
    TasksEvent,
)
from tasktape.events.worker_events import HeldRun, WorkerHeartbeat, WorkerStarted, WorkerStopped
from tasktape.projections.retries import INFRASTRUCTURE_RETRIES, LOST, Outcome
from tasktape.projections.task_state import Rejection, TaskState, apply
from tasktape.projections.verdict import ACCEPTED, rejected

STAMP = Stamper("agent/test")
OWN = Outcome("failed", "task")
SPEC = TaskSpec(project="p", name="n")


def request(**changes: Any) -> EntryEnqueued:
    about = {"task": "t", "queue": "q", "entry": entry_id("q", "t", 1), "run": 1, "spec": SPEC}
    return EntryEnqueued(meta=STAMP(), **about | changes)


def tombstone() -> Tombstone:
    return Tombstone("id", "worker", "session", 3)


def test_an_append_is_due_once_and_again_after_each_failure_with_growing_pauses() -> None:
    appends = Appends()
    key = appends.owe(tombstone(), "delivered")
    pauses = []
    now = 0.0
    for _ in range(8):
        assert list(appends.due(now)) == [tombstone()]
        assert list(appends.due(now + 100)) == []
        appends.failed(key, now)
        pauses.append(appends.next_due() - now)
        now = appends.next_due()
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.1 < pauses[-1] <= 2.0


def test_an_acknowledged_append_is_no_longer_owed() -> None:
    appends = Appends()
    key = appends.owe(tombstone(), "delivered")
    appends.delivered(key)
    assert not appends.is_open(key)
    assert list(appends.due(0.0)) == []


def test_an_append_to_be_read_back_is_owed_until_it_was_read_and_its_verdict_is_given_once() -> None:
    appends = Appends()
    key = appends.owe(request(), "read")
    list(appends.due(0.0))
    appends.delivered(key)
    assert appends.is_open(key)
    appends.read_back(key, rejected("too late"))
    appends.read_back(key, ACCEPTED)
    assert appends.take_verdict(key) == rejected("too late")
    assert appends.take_verdict(key) is None


def test_a_failure_told_after_the_read_back_changes_nothing() -> None:
    appends = Appends()
    key = appends.owe(request(), "read")
    list(appends.due(0.0))
    appends.read_back(key, ACCEPTED)
    appends.failed(key, 1.0)
    assert list(appends.due(100.0)) == []


def test_heartbeats_are_one_in_flight_and_follow_what_is_held() -> None:
    beats = Heartbeats(5.0)
    none, some = frozenset[str](), frozenset({"claim"})
    assert beats.wanted(none, 0.0)
    beats.sent("1", none, 0.0)
    assert not beats.wanted(some, 0.1)
    beats.delivered("1")
    assert beats.wanted(some, 0.2)
    beats.sent("2", some, 0.2)
    assert not beats.acknowledged("claim")
    beats.delivered("2")
    assert beats.acknowledged("claim")
    assert not beats.wanted(some, 5.1)
    assert beats.wanted(some, 5.2)


def test_a_run_that_is_over_is_left_out_of_the_next_claim_s_heartbeat_or_soon_of_one_of_its_own() -> None:
    beats = Heartbeats(5.0)
    beats.sent("1", frozenset({"over"}), 0.0)
    beats.delivered("1")
    assert beats.wanted(frozenset({"next"}), 0.1)
    assert not beats.wanted(frozenset(), 0.1)
    assert beats.next_due() == FORGET_AFTER
    assert beats.wanted(frozenset(), FORGET_AFTER)


def test_the_lease_counts_from_the_sending_of_the_last_acknowledged_heartbeat() -> None:
    beats, some = Heartbeats(5.0), frozenset({"claim"})
    beats.sent("1", some, 100.0)
    assert not beats.lapsed(1000.0)
    beats.delivered("1")
    assert not beats.lapsed(110.0)
    assert beats.lapsed(110.1)
    beats.sent("2", some, 111.0)
    assert beats.lapsed(111.0)
    beats.delivered("2")
    assert not beats.lapsed(121.0)


def test_a_heartbeat_that_names_no_run_stands_for_longer() -> None:
    beats, some = Heartbeats(5.0, phase=7.0), frozenset({"claim"})
    beats.sent("1", frozenset(), 100.0)
    beats.delivered("1")
    assert (beats.interval_with(frozenset()), beats.next_due()) == (30.0, 127.0)
    assert not beats.lapsed(160.0)
    assert beats.lapsed(160.1)
    assert beats.wanted(some, 101.0)
    beats.sent("2", some, 101.0)
    assert not beats.lapsed(111.0)
    assert beats.lapsed(111.1), "others may have read it although it was not acknowledged"
    beats.failed("2", 112.0)
    assert beats.lapsed(112.0)


def test_a_failed_heartbeat_is_followed_by_a_fresh_one_soon() -> None:
    beats = Heartbeats(5.0)
    beats.sent("1", frozenset(), 0.0)
    beats.failed("1", 1.0)
    assert 1.0 < beats.next_due() <= 2.0
    beats.sent("2", frozenset(), 1.5)
    beats.delivered("1")
    assert not beats.lapsed(1000.0), "an acknowledgement that comes late says nothing"


def runs_after(outcome: Outcome, *, retries: int = 0) -> int:
    """How many runs there are in all if each ends so."""
    entry: EntryEnqueued | None = request(spec=SPEC.model_copy(update={"retries": retries}))
    for count in range(100):
        if entry is None:
            return count
        entry = successor(entry, 7.0, outcome, STAMP, 0)
    return 100


@pytest.mark.parametrize(
    ("outcome", "retries", "runs"),
    [
        (Outcome("completed"), 5, 1),
        (Outcome("stopped"), 5, 1),
        (Outcome("superseded"), 5, 1),
        (Outcome("failed", "task"), 0, 1),
        (Outcome("failed", "task"), 2, 3),
        (Outcome("failed", "infrastructure"), 0, 1 + INFRASTRUCTURE_RETRIES),
        (LOST, 0, 1 + INFRASTRUCTURE_RETRIES),
        (Outcome("preempted"), 0, 100),
    ],
)
def test_runs_are_retried_on_the_count_of_who_failed(outcome: Outcome, retries: int, runs: int) -> None:
    assert runs_after(outcome, retries=retries) == runs


def test_losses_and_own_failures_are_counted_apart() -> None:
    entry = request(spec=SPEC.model_copy(update={"retries": 1}))
    after_loss = successor(entry, 7.0, LOST, STAMP, 0)
    assert after_loss is not None
    after_failure = successor(after_loss, 7.0, Outcome("failed", "task"), STAMP, 0)
    assert after_failure is not None
    assert (after_failure.failures, after_failure.losses, after_failure.run) == (1, 1, 3)
    assert (after_failure.entry, after_failure.rank) == (entry_id("q", "t", 3), 7.0)
    assert successor(after_failure, 7.0, Outcome("failed", "task"), STAMP, 0) is None


def test_the_next_run_waits_longer_the_more_often_the_infrastructure_has_failed() -> None:
    entry, pauses = request(), []
    while (following := successor(entry, 7.0, LOST, STAMP, 1_000_000)) is not None:
        pauses.append((following.not_before_us - 1_000_000) / 1e6 if following.not_before_us else 0.0)
        entry = following
    assert pauses == [0.0, 10.0, 30.0]
    own = successor(entry.model_copy(update={"spec": SPEC.model_copy(update={"retries": 1})}), 7.0, OWN, STAMP, 5)
    assert own is not None
    assert own.not_before_us == 0, "a task's own failure is repeated at once"


def test_a_run_that_was_preempted_goes_back_as_if_it_had_never_started() -> None:
    entry = request(losses=INFRASTRUCTURE_RETRIES)
    following = successor(entry, 7.0, Outcome("preempted"), STAMP, 5)
    assert following is not None
    assert (following.losses, following.not_before_us, following.rank) == (INFRASTRUCTURE_RETRIES, 0, 7.0)


def beat(stamp: Stamper, *runs: HeldRun) -> WorkerHeartbeat:
    return WorkerHeartbeat(meta=stamp(), worker="w", queues=["q"], runs=list(runs), interval=5.0)


HELD = HeldRun(task="t", run=1, queue="q", entry="e", partition=0, enqueued_offset=0, claim_offset=1)


def test_a_worker_is_silent_after_three_of_its_intervals_as_the_reader_s_clock_has_it() -> None:
    peers = Peers()
    peers.apply(beat(Stamper("w")), now=50.0)
    assert peers.silent(65.0) == []
    assert [peer.worker for peer in peers.silent(65.1)] == ["w"]
    assert peers.next_silence(60.0) == 65.0


def test_a_late_heartbeat_does_not_bring_back_what_a_later_one_has_dropped() -> None:
    peers, stamp = Peers(), Stamper("w")
    late, latest = beat(stamp, HELD), beat(stamp)
    peers.apply(latest, now=1.0)
    peers.apply(late, now=2.0)
    peer = peers.get("w")
    assert peer is not None
    assert (peer.runs, peer.heard_at) == ((), 1.0)


def test_a_queue_is_served_by_workers_that_live_and_have_not_left() -> None:
    peers, stamp = Peers(), Stamper("w")
    peers.apply(WorkerStarted(meta=stamp(), worker="w", host="h", pid=1, queues=["q"]), now=0.0)
    assert peers.serve("q", 1.0)
    assert not peers.serve("other", 1.0)
    assert not peers.serve("q", 100.0)
    peers.apply(WorkerStopped(meta=stamp(), worker="w"), now=2.0)
    assert not peers.serve("q", 2.0)
    peers.bury("w")
    assert peers.get("w") is None


def test_a_tombstone_that_comes_late_does_not_bury_what_the_worker_has_said_since() -> None:
    peers, stamp = Peers(), Stamper("w")
    first, second = beat(stamp), beat(stamp, HELD)
    tomb = Tombstone("id", "w", first.meta.session, first.meta.seq)
    peers.apply(first, now=1.0)
    peers.apply(second, now=2.0)
    peers.bury("w", last_known(tomb.headers))
    assert peers.get("w") is not None
    peers.bury("w", (second.meta.session, second.meta.seq))
    assert peers.get("w") is None


def test_a_tombstone_without_headers_buries() -> None:
    peers = Peers()
    peers.apply(beat(Stamper("w")), now=1.0)
    peers.bury("w", last_known(()))
    assert peers.get("w") is None


def test_a_worker_is_idle_from_its_last_run_s_end_on_until_it_holds_another() -> None:
    idlers = Idlers()
    idlers.heard("w", [], 1)
    idlers.heard("w", [], 2)
    assert list(idlers.ahead_of("me")) == [Idler(1, "w")], "what it says again changes nothing"
    idlers.heard("w", [("a", 1), ("b", 1)], 3)
    idlers.over(("a", 1), 4)
    assert not list(idlers.ahead_of("me"))
    idlers.over(("b", 1), 5)
    idlers.over(("b", 1), 6)
    assert list(idlers.ahead_of("me")) == [Idler(5, "w")]
    idlers.gone("w")
    assert not list(idlers.ahead_of("me"))


def test_those_idle_for_longer_are_ahead_of_an_idle_worker_and_all_are_ahead_of_a_busy_one() -> None:
    idlers = Idlers()
    for worker, us in (("b", 2), ("a", 2), ("c", 1), ("busy", 0)):
        idlers.heard(worker, [("t", 1)] if worker == "busy" else [], us)
    assert sorted(idlers.ahead_of("b")) == [Idler(1, "c"), Idler(2, "a")]
    assert sorted(idlers.ahead_of("busy")) == [Idler(1, "c"), Idler(2, "a"), Idler(2, "b")]


def test_a_run_that_another_worker_has_taken_over_is_not_the_first_one_s_to_end() -> None:
    idlers = Idlers()
    idlers.heard("first", [("t", 1)], 1)
    idlers.heard("second", [("t", 1)], 2)
    idlers.heard("first", [], 3)
    idlers.over(("t", 1), 4)
    assert sorted(idlers.ahead_of("me")) == [Idler(3, "first"), Idler(4, "second")]


def test_ahead_are_those_that_live_serve_the_queue_and_have_claimed_nothing() -> None:
    view, stamp = View(["q"], 10.0, Appends()), Stamper("x")

    def read(event: Event, us: int) -> None:
        view.apply(Reading(LogRecord(event.topic_name, 0, us, us, event.key, b""), event), us / 1e6)

    def ahead() -> list[str]:
        return [idler.worker for idler in view.ahead("me", "q", 0.0)]

    for us, (worker, queue) in enumerate([("late", "q"), ("early", "q"), ("elsewhere", "other")]):
        read(WorkerStarted(meta=stamp(), worker=worker, host="h", pid=1, queues=[queue]), 9 - us)
    assert ahead() == ["early", "late"]
    about: dict[str, Any] = {"task": "t", "queue": "q", "entry": entry_id("q", "t", 1), "run": 1}
    read(EntryEnqueued(meta=stamp(), spec=TaskSpec(project="p", name="n"), **about), 20)
    read(EntryClaimed(meta=stamp(), worker="early", **about), 21)
    assert ahead() == ["late"]
    held = HeldRun(task="t", run=1, queue="q", entry="e", partition=0, enqueued_offset=0, claim_offset=1)
    read(WorkerHeartbeat(meta=stamp(), worker="late", queues=["q"], runs=[held]), 22)
    assert ahead() == []
    view.tasks.created("t")
    read(RunStarted(meta=stamp(), task="t", run=1, worker="late", entry=about["entry"]), 23)
    read(RunCompleted(meta=stamp(), task="t", run=1), 24)
    assert ahead() == ["late"]
    read(WorkerHeartbeat(meta=stamp(), worker="late", queues=["q"], runs=[held]), 25)
    assert ahead() == ["late"], "a run that is over keeps nobody busy"
    assert view.ahead("me", "q", 100.0) == []


Make = Callable[[int, str, bool], TasksEvent]
ENTRIES = ("", "e1", "e2")
MAKERS: dict[str, Make] = {
    "start": lambda run, entry, force: RunStarted(
        meta=STAMP(), task="t", run=run, worker=f"w{entry}", entry=entry, force=force
    ),
    "complete": lambda run, _entry, force: RunCompleted(meta=STAMP(), task="t", run=run, force=force),
    "fail": lambda run, _entry, force: RunFailed(meta=STAMP(), task="t", run=run, reason="r", force=force),
    "stop": lambda run, _entry, force: RunStopped(meta=STAMP(), task="t", run=run, force=force),
    "lose": lambda run, entry, _force: RunLost(meta=STAMP(), task="t", run=run, worker=f"w{entry}", entry=entry),
    "leave": lambda run, entry, _force: EntryLeft(meta=STAMP(), task="t", run=run, entry=entry),
    "reset": lambda run, _entry, force: TaskReset(meta=STAMP(), task="t", run=run, force=force),
    "publish": lambda _run, _entry, _force: TaskPublished(meta=STAMP(), task="t"),
    "delete": lambda _run, _entry, _force: TaskDeleted(meta=STAMP(), task="t"),
}
histories = st.lists(
    st.tuples(st.sampled_from(sorted(MAKERS)), st.integers(0, 3), st.sampled_from(ENTRIES), st.booleans()), max_size=12
)


@given(histories)
def test_the_ledger_judges_as_the_task_state_machine_does(history: list[tuple[str, int, str, bool]]) -> None:
    ledger, state = RunLedger(), TaskState()
    ledger.created("t")
    state = apply(state, TaskCreated(meta=STAMP(), task="t", spec=SPEC))  # type: ignore[assignment]
    for kind, run, entry, force in history:
        event = MAKERS[kind](run, entry, force)
        assert type(event).__name__ in RELEVANT
        after = apply(state, event)
        verdict = ledger.apply(event)
        if not (isinstance(event, EntryLeft) and state.run.ended):  # a note about what is over matters to nobody
            assert verdict == (rejected(after.reason) if isinstance(after, Rejection) else ACCEPTED)
        state = state if isinstance(after, Rejection) else after
        assert (ledger.outcome("t", state.run.number) is not None) == (state.run.ended or state.deleted)
        assert ledger.under_way("t") == (state.run.number if state.run.started and not state.run.ended else 0)


def test_the_ledger_tells_how_a_run_ended_and_that_a_later_one_has_begun() -> None:
    ledger = RunLedger()
    ledger.created("t")
    ledger.apply(RunStarted(meta=STAMP(), task="t", run=1))
    assert ledger.outcome("t", 1) is None
    ledger.apply(RunFailed(meta=STAMP(), task="t", run=1, reason="r", cause="infrastructure"))
    assert ledger.outcome("t", 1) == Outcome("failed", "infrastructure")
    assert ledger.outcome("t", 2) is None
    ledger.apply(RunStarted(meta=STAMP(), task="t", run=2, entry="e"))
    assert ledger.outcome("t", 1) == Outcome("superseded")


def test_an_event_that_did_not_count_is_not_judged_again_when_a_copy_comes_later() -> None:
    ledger = RunLedger()
    early = RunStarted(meta=STAMP(), task="t", run=1, entry="e")
    assert not ledger.apply(early).accepted
    ledger.created("t")
    assert not ledger.apply(early).accepted


@pytest.mark.parametrize(
    ("code", "words"), [(3, "exit code 3"), (-9, "killed by SIGKILL"), (-1000, "killed by signal 1000")]
)
def test_exit_codes_are_told_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
