"""Claiming step by step: which entry, when, what is appended next, and what each answer of the log means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.agent.choice import PASSED_OVER_US
from tasktape.agent.claiming import (
    LONGEST_WAIT,
    SHORTEST_WAIT,
    Begin,
    Claiming,
    Command,
    Drop,
    GiveBack,
    Prepare,
    Say,
    Stage,
)
from tasktape.agent.idlers import Idler, Idlers
from tasktape.agent.inventory import Inventory
from tasktape.agent.view import QueueView
from tasktape.events.base import Event, Stamper
from tasktape.events.hardware import NOTHING, Hardware
from tasktape.events.limit_events import LimitSet, PermitClaimed, PermitEvent, PermitReleased
from tasktape.events.log.port import LogRecord
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import (
    EntryClaimed,
    EntryDequeued,
    EntryEnqueued,
    EntryEvent,
    EntryTaken,
    QueuePaused,
    QueueResumed,
    entry_id,
    queue_topic,
)
from tasktape.events.task_events import RunStarted
from tasktape.projections.limit_fold import LimitFold
from tasktape.projections.queue_fold import Entry, QueueFold
from tasktape.projections.verdict import ACCEPTED, Verdict, rejected

LEASE = 10.0
STAMP = Stamper("user@host")


class Log:
    """Two queues' logs, and what one worker sees of them: at once, unless it says otherwise."""

    def __init__(self) -> None:
        self.now = 0.0
        self.behind = 0.0
        self.queues = {queue: QueueView(queue, LEASE) for queue in ("first", "second")}
        self.verdicts: dict[str, Verdict] = {}
        self.beaten: set[str] = set()
        self.ahead_of_me: list[Idler] = []
        self.tasks: set[str] = set()
        self.offset = 0
        self.limit_fold = LimitFold()
        self.heard = True
        self.lost: set[tuple[str, int]] = set()

    def append(self, event: EntryEvent) -> Verdict:
        self.offset += 1
        record = LogRecord(queue_topic(event.queue), 0, self.offset, round(self.now * 1e6), event.task, b"")
        verdict = self.queues[event.queue].apply(event, record, self.now)
        self.verdicts[event.meta.event_id] = verdict
        return verdict

    def enqueue(
        self,
        task: str,
        queue: str = "first",
        rank: float | None = None,
        not_before: float = 0.0,
        tags: Sequence[str] = (),
        needs: Hardware = NOTHING,
    ) -> str:
        self.tasks.add(task)
        entry = entry_id(queue, task, 1)
        about: Any = {"task": task, "queue": queue, "entry": entry, "run": 1, "rank": rank}
        spec, pause = TaskSpec(project="p", name=task, tags=list(tags), hardware=needs), round(not_before * 1e6)
        self.append(EntryEnqueued(meta=STAMP(), **about, spec=spec, not_before_us=pause))
        return entry

    def claim(self, entry: str, worker: str) -> str:
        queue, task, *_ = entry.split("/")
        event = EntryClaimed(meta=STAMP(), task=task, queue=queue, entry=entry, run=1, worker=worker)
        assert self.append(event).accepted
        return event.meta.event_id

    def folds(self) -> Sequence[QueueFold]:
        return [view.fold for view in self.queues.values()]

    def entry(self, queue: str, entry: str) -> Entry | None:
        return self.queues[queue].fold.entry(entry)

    def request(self, queue: str, entry: str) -> EntryEnqueued | None:
        return self.queues[queue].request(entry)

    def ahead(self, queue: str, now: float) -> Sequence[Idler]:  # noqa: ARG002  the same in both queues
        return self.ahead_of_me

    def idle(self, *workers: str) -> None:
        """Other workers that have been free for longer than this one, from now on."""
        self.ahead_of_me = [Idler(round(self.now * 1e6), worker) for worker in workers]

    def claimed_at(self, queue: str, entry: str) -> float:
        return self.queues[queue].claimed_at(entry)

    def log_us(self, now: float) -> int:
        return round((now - self.behind) * 1e6)

    def take_verdict(self, event_id: str) -> Verdict | None:
        return self.verdicts.pop(event_id, None)

    def acknowledged(self, attempt: str) -> bool:
        return attempt in self.beaten

    def beat(self, entry: str) -> None:
        """A heartbeat is acknowledged that names the run of the entry's present claim."""
        found = self.entry(entry.split("/", maxsplit=1)[0], entry)
        assert found is not None
        self.beaten.add(found.claim)

    def exists(self, task: str) -> bool:
        return task in self.tasks

    def is_lost(self, task: str, run: int) -> bool:
        return (task, run) in self.lost

    def limits(self) -> LimitFold:
        return self.limit_fold

    def is_heard(self) -> bool:
        return self.heard

    def limit(self, scope: str, running: int | None) -> None:
        self.permit(LimitSet(meta=STAMP(), scope=scope, running=running))

    def permit(self, event: LimitSet | PermitEvent) -> Verdict:
        verdict = self.limit_fold.apply(event, round(self.now * 1e6))
        self.verdicts[event.meta.event_id] = verdict
        return verdict


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def claiming(log: Log) -> Claiming:
    return Claiming("me", lambda: Stamper("agent/me"), Random(1), log, LEASE)


def said(commands: list[Command]) -> Event:
    (command,) = commands
    assert isinstance(command, Say)
    return command.event


def claim_next(log: Log, claiming: Claiming) -> EntryClaimed:
    claimed = said(claiming.step(log.now))
    assert isinstance(claimed, EntryClaimed)
    return claimed


def take_next(log: Log, claiming: Claiming) -> EntryTaken:
    """Claim and go on until `taken` is to be appended."""
    claimed = claim_next(log, claiming)
    log.append(claimed)
    (prepare,) = claiming.step(log.now)
    assert isinstance(prepare, Prepare)
    log.beat(claimed.entry)
    taken = said(claiming.step(log.now))
    assert isinstance(taken, EntryTaken)
    assert taken.claim == claimed.meta.event_id
    return taken


def test_the_way_from_a_waiting_entry_to_a_run_that_may_begin(log: Log, claiming: Claiming) -> None:
    entry = log.enqueue("task")
    claimed = claim_next(log, claiming)
    assert claiming.step(log.now) == [], "nothing goes on before the claim was read back"
    log.append(claimed)
    (prepare,) = claiming.step(log.now)
    assert isinstance(prepare, Prepare)
    assert prepare.pursuit.held
    assert claiming.step(log.now) == [], "nothing goes on before a heartbeat names the run"
    log.beat(entry)
    log.append(taken := said(claiming.step(log.now)))  # type: ignore[arg-type]
    assert isinstance(taken, EntryTaken)
    started = said(claiming.step(log.now))
    assert isinstance(started, RunStarted)
    assert (started.run, started.worker, started.entry) == (1, "me", entry)
    assert claiming.step(log.now) == [], "nothing begins before the start was read back"
    log.verdicts[started.meta.event_id] = ACCEPTED
    assert claiming.step(log.now) == [Begin(prepare.pursuit)]
    log.enqueue("another")
    assert claiming.step(log.now) == [], "a busy worker claims nothing"
    claiming.release(entry)
    assert claim_next(log, claiming).task == "another"


def test_a_heartbeat_that_named_an_earlier_attempt_at_the_entry_is_not_enough(log: Log, claiming: Claiming) -> None:
    entry = log.enqueue("task")
    log.append(claim_next(log, claiming))
    claiming.step(log.now)
    log.beat(entry)
    claiming.fence()
    (drop,) = claiming.step(log.now)
    assert isinstance(drop, Drop)
    log.now += LEASE + 1
    log.append(claim_next(log, claiming))
    (prepare,) = claiming.step(log.now)
    assert isinstance(prepare, Prepare)
    assert claiming.step(log.now) == [], "the heartbeat that is under way says nothing of this attempt"
    log.beat(entry)
    assert isinstance(said(claiming.step(log.now)), EntryTaken)


def test_who_is_first_claims_the_best_entry_at_once_and_who_is_second_the_second_best(
    log: Log, claiming: Claiming
) -> None:
    for task in ("a", "b", "c"):
        log.enqueue(task)
    log.idle("other", "another")
    assert claim_next(log, claiming).task == "c"
    log.idle()
    first = Claiming("first", lambda: Stamper("agent/first"), Random(1), log, LEASE)
    assert claim_next(log, first).task == "a"


def test_an_entry_that_is_another_s_is_claimed_after_a_moment_if_it_still_waits(log: Log, claiming: Claiming) -> None:
    log.idle("other")
    log.enqueue("task")
    assert claiming.step(log.now) == []
    assert SHORTEST_WAIT <= claiming.next_due() - log.now <= LONGEST_WAIT
    log.now = claiming.next_due()
    assert claim_next(log, claiming).task == "task"


def test_a_crowd_waits_for_an_entry_one_after_the_other(log: Log, claiming: Claiming) -> None:
    log.idle(*map(str, range(20)))
    log.enqueue("task")
    assert claiming.step(log.now) == []
    assert claiming.next_due() - log.now >= 20 * SHORTEST_WAIT
    log.idle("0")
    assert claiming.step(log.now) == []
    assert claiming.next_due() - log.now <= LONGEST_WAIT


def test_an_entry_is_claimed_at_once_when_those_ahead_are_busy_before_the_wait_is_over(
    log: Log, claiming: Claiming
) -> None:
    log.idle("other")
    log.enqueue("task")
    assert claiming.step(log.now) == []
    log.idle()
    assert claim_next(log, claiming).task == "task"


def test_no_entry_is_passed_over_for_somebody_who_could_have_claimed_it_long_ago(log: Log, claiming: Claiming) -> None:
    log.idle("asleep")
    log.enqueue("best")
    log.enqueue("second")
    log.now += PASSED_OVER_US / 1e6
    assert claiming.step(log.now) == [], "it may be on its way all the same"
    log.now = claiming.next_due()
    mine = claim_next(log, claiming)
    assert mine.task == "best"
    log.append(mine)
    claiming.step(log.now)
    claiming.release(mine.entry)
    assert claim_next(log, claiming).task == "second", "nobody counts on the sleeper any more"


def test_a_worker_with_two_slots_takes_what_is_left_over_too(log: Log, claiming: Claiming) -> None:
    claiming.slots = 2
    log.idle("other")
    log.enqueue("best")
    log.enqueue("second")
    assert claim_next(log, claiming).task == "second"
    log.now += LONGEST_WAIT
    assert claim_next(log, claiming).task == "best"


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 6), st.integers(0, 8))
def test_free_workers_that_know_the_same_share_out_the_best_entries(
    data: st.DataObject, workers: int, entries: int
) -> None:
    log, idlers = Log(), Idlers()
    names = [f"w{number}" for number in range(workers)]
    for name in names:
        idlers.heard(name, [], data.draw(st.integers(0, 2)))
    for number in range(entries):
        log.enqueue(f"task{number}", rank=float(number))
    claims = []
    for name in names:
        log.ahead_of_me = sorted(idlers.ahead_of(name))
        commands = Claiming(name, lambda: Stamper("agent"), Random(1), log, LEASE).step(log.now)
        claims += [command.event.task for command in commands if isinstance(command, Say)]
    assert sorted(claims) == [f"task{number}" for number in range(min(workers, entries))]


def test_an_entry_claimed_by_another_during_the_wait_is_left_alone(log: Log, claiming: Claiming) -> None:
    log.idle("other")
    entry = log.enqueue("task")
    claiming.step(log.now)
    log.claim(entry, "other")
    log.now += 1.0
    assert claiming.step(log.now) == []
    assert claiming.pursuits == {}


def test_queues_are_served_in_their_order_and_entries_by_rank(log: Log, claiming: Claiming) -> None:
    claiming.slots = 4
    log.enqueue("late", "second")
    log.enqueue("last", "first", rank=9.0)
    log.enqueue("first", "first", rank=1.0)
    claims = [command.event.task for command in claiming.step(log.now) if isinstance(command, Say)]
    assert sorted(claims) == ["first", "last", "late"]
    alone = Claiming("other", lambda: Stamper("agent/other"), Random(1), log, LEASE)
    assert claim_next(log, alone).task == "first"


def claims_one_by_one(log: Log, claiming: Claiming, count: int) -> list[str]:
    """What a worker with one slot claims, each run being over before the next is claimed."""
    tasks = []
    for _ in range(count):
        claimed = claim_next(log, claiming)
        log.append(claimed)
        claiming.step(log.now)
        claiming.release(claimed.entry)
        tasks.append(claimed.task)
    return tasks


@pytest.mark.parametrize(
    ("fair", "expected"),
    [(False, ["a1", "a2", "a3", "b1", "b2"]), (True, ["a1", "b1", "a2", "b2", "a3"])],
)
def test_a_fair_worker_takes_from_each_queue_in_turn(log: Log, fair: bool, expected: list[str]) -> None:
    for rank, task in enumerate(["a1", "a2", "a3", "b1", "b2"]):
        log.enqueue(task, "first" if task.startswith("a") else "second", rank)
    claiming = Claiming("me", lambda: Stamper("agent/me"), Random(1), log, LEASE, fair=fair)
    assert claims_one_by_one(log, claiming, 5) == expected
    several = Claiming("me", lambda: Stamper("agent/me"), Random(1), log, LEASE, slots=3, fair=fair)
    for number in range(3):
        log.enqueue(f"c{number}", "first", 10.0 + number)
    log.enqueue("d0", "second", 10.0)
    claims = {command.event.task for command in several.step(log.now) if isinstance(command, Say)}
    assert claims == ({"c0", "d0", "c1"} if fair else {"c0", "c1", "c2"})


def test_a_better_entry_that_comes_during_the_wait_is_claimed_instead(log: Log, claiming: Claiming) -> None:
    log.idle("other")
    log.enqueue("task", rank=5.0)
    claiming.step(log.now)
    log.ahead_of_me = []
    log.enqueue("better", rank=1.0)
    assert claim_next(log, claiming).task == "better"


def test_a_paused_queue_is_passed_over_until_it_is_resumed(log: Log, claiming: Claiming) -> None:
    log.enqueue("task", "first")
    log.enqueue("other", "second")
    log.queues["first"].fold.apply_queue(QueuePaused(meta=STAMP(), queue="first"))
    assert claim_next(log, claiming).task == "other"
    claiming.release(entry_id("second", "other", 1))
    log.queues["first"].fold.apply_queue(QueueResumed(meta=STAMP(), queue="first"))
    assert claim_next(log, claiming).task == "task"


def test_an_entry_of_a_task_that_is_not_there_yet_waits_for_it(log: Log, claiming: Claiming) -> None:
    log.enqueue("task")
    log.tasks.clear()
    assert claiming.step(log.now) == []
    log.tasks.add("task")
    assert claim_next(log, claiming).task == "task"


def test_a_claim_that_has_outlived_its_lease_is_overtaken(log: Log, claiming: Claiming) -> None:
    entry = log.enqueue("task")
    log.claim(entry, "dead")
    log.now += LEASE
    assert claiming.step(log.now) == []
    log.now = claiming.next_due()
    assert log.append(claim_next(log, claiming)).accepted


def test_a_claim_that_came_too_early_by_the_log_s_time_is_tried_again_later(log: Log, claiming: Claiming) -> None:
    entry = log.enqueue("task")
    log.claim(entry, "slow")
    log.now = LEASE + 1.0
    early = claim_next(log, claiming)
    log.verdicts[early.meta.event_id] = rejected("slow holds the entry")
    assert claiming.step(log.now) == []
    assert log.now < claiming.next_due() < log.now + LEASE
    log.now = claiming.next_due()
    assert claim_next(log, claiming).meta.event_id != early.meta.event_id


def test_an_entry_that_waits_for_a_pause_lets_others_go_first(log: Log, claiming: Claiming) -> None:
    log.enqueue("tired", rank=1.0, not_before=30.0)
    log.enqueue("fresh", rank=2.0)
    assert claim_next(log, claiming).task == "fresh"


def test_an_entry_is_claimed_when_its_pause_is_over_by_the_log_s_time(log: Log, claiming: Claiming) -> None:
    log.enqueue("tired", not_before=30.0)
    log.behind = 5.0
    assert claiming.step(log.now) == []
    assert 35.0 < claiming.next_due() < 36.0
    log.now = claiming.next_due()
    assert log.append(claim_next(log, claiming)).accepted


def test_a_pause_that_is_longer_by_the_log_s_time_is_waited_for_without_haste(log: Log, claiming: Claiming) -> None:
    entry = log.enqueue("tired", not_before=30.0)
    log.now = 31.0
    early = claim_next(log, claiming)
    log.verdicts[early.meta.event_id] = rejected("the entry waits for a pause to pass")
    assert claiming.step(log.now) == []
    assert log.now + 1.0 < claiming.next_due() < log.now + LEASE
    log.now = claiming.next_due()
    assert claim_next(log, claiming).entry == entry


@pytest.mark.parametrize("overtaken_by", ["claim", "dequeue"])
def test_a_worker_that_stalled_after_its_claim_drops_it_when_overtaken(
    log: Log, claiming: Claiming, overtaken_by: str
) -> None:
    entry = log.enqueue("task")
    log.append(claim_next(log, claiming))
    claiming.step(log.now)
    log.now += LEASE + 1
    overtake(log, entry, overtaken_by)
    log.beat(entry)
    (drop,) = claiming.step(log.now)
    assert isinstance(drop, Drop)
    assert not claiming.pursuits


@pytest.mark.parametrize("overtaken_by", ["claim", "dequeue"])
def test_a_worker_whose_taken_came_too_late_starts_nothing(log: Log, claiming: Claiming, overtaken_by: str) -> None:
    entry = log.enqueue("task")
    taken = take_next(log, claiming)
    log.now += LEASE + 1
    overtake(log, entry, overtaken_by)
    assert not log.append(taken).accepted
    (drop,) = claiming.step(log.now)
    assert isinstance(drop, Drop)


def overtake(log: Log, entry: str, how: str) -> None:
    if how == "claim":
        log.claim(entry, "other")
    else:
        event = EntryDequeued(meta=STAMP(), task="task", queue="first", entry=entry, run=1)
        assert log.append(event).accepted


def test_a_run_that_somebody_else_started_is_dropped(log: Log, claiming: Claiming) -> None:
    log.enqueue("task")
    log.append(take_next(log, claiming))
    started = said(claiming.step(log.now))
    log.verdicts[started.meta.event_id] = rejected("the run has been started")
    (drop,) = claiming.step(log.now)
    assert isinstance(drop, Drop)
    assert drop.reason == "the run has been started"


def test_a_run_that_was_declared_lost_before_its_start_is_seen_to_its_end(log: Log, claiming: Claiming) -> None:
    log.enqueue("task")
    log.append(take_next(log, claiming))
    started = said(claiming.step(log.now))
    log.lost.add(("task", 1))
    log.verdicts[started.meta.event_id] = rejected("the run is over")
    (begin,) = claiming.step(log.now)
    assert isinstance(begin, Begin)
    assert begin.pursuit.held


def test_told_to_stop_it_lets_claims_grow_old_but_answers_for_what_it_has_taken(log: Log, claiming: Claiming) -> None:
    claiming.slots = 2
    log.enqueue("taken", rank=1.0)
    log.append(take_next(log, claiming))
    log.enqueue("claimed", rank=2.0)
    commands = claiming.step(log.now)
    started, claimed = [command.event for command in commands if isinstance(command, Say)]
    log.append(claimed)  # type: ignore[arg-type]
    claiming.stopping = True
    log.enqueue("waiting", rank=0.0)
    prepare, drop = claiming.step(log.now)
    assert isinstance(prepare, Prepare)
    assert isinstance(drop, Drop)
    assert drop.pursuit.entry.task == "claimed"
    log.verdicts[started.meta.event_id] = ACCEPTED
    (begin,) = claiming.step(log.now)
    assert isinstance(begin, Begin)


def test_once_the_lease_has_lapsed_a_claim_is_not_taken_and_what_is_taken_is_marked(
    log: Log, claiming: Claiming
) -> None:
    claiming.slots = 2
    log.enqueue("taken", rank=1.0)
    taken = take_next(log, claiming)
    claimed_entry = log.enqueue("claimed", rank=2.0)
    log.append(claim_next(log, claiming))
    claiming.step(log.now)
    claiming.fence()
    log.beat(claimed_entry)
    (drop,) = claiming.step(log.now)
    assert isinstance(drop, Drop)
    pursuit = claiming.pursuits[taken.entry]
    assert (pursuit.fenced, pursuit.stage) == (True, Stage.TAKING)


def ask_next(log: Log, claiming: Claiming) -> PermitClaimed:
    asked = said(claiming.step(log.now))
    assert isinstance(asked, PermitClaimed)
    return asked


def permit_of(log: Log, task: str, worker: str, *scopes: str) -> PermitClaimed:
    """A permit that somebody else holds."""
    entry = entry_id("first", task, 1)
    event = PermitClaimed(meta=STAMP(), task=task, run=1, worker=worker, entry=entry, scopes=list(scopes))
    assert log.permit(event).accepted
    return event


def test_below_a_limit_a_permit_comes_before_the_claim_and_names_all_scopes(log: Log, claiming: Claiming) -> None:
    log.limit("tag:gpu", 1)
    entry = log.enqueue("task", tags=["gpu", "big"])
    asked = ask_next(log, claiming)
    assert asked.scopes == ["queue:first", "user:user", "tag:gpu", "tag:big"]
    assert not claiming.pursuits[entry].held
    assert claiming.step(log.now) == [], "nothing goes on before the permit was read back"
    log.permit(asked)
    claimed = claim_next(log, claiming)
    log.append(claimed)
    (prepare,) = claiming.step(log.now)
    assert isinstance(prepare, Prepare)
    assert prepare.pursuit.permit == asked.meta.event_id


def test_runs_that_no_limit_concerns_need_no_permit(log: Log, claiming: Claiming) -> None:
    log.limit("tag:gpu", 1)
    log.limit("queue:second", 0)
    log.enqueue("task", tags=["cpu"])
    assert claim_next(log, claiming).task == "task"


@pytest.mark.parametrize("scope", ["queue:first", "tag:gpu"])
def test_where_a_scope_is_full_the_entries_behind_go_first(log: Log, claiming: Claiming, scope: str) -> None:
    log.limit(scope, 1)
    held = permit_of(log, "other", "busy", scope)
    log.enqueue("full", tags=["gpu"])
    assert claiming.step(log.now) == []
    log.enqueue("behind", "second")
    assert claim_next(log, claiming).task == "behind"
    claiming.release(entry_id("second", "behind", 1))
    gone = {"task": held.task, "run": held.run, "worker": held.worker, "permit": held.meta.event_id}
    log.permit(PermitReleased(meta=STAMP(), **gone))
    assert ask_next(log, claiming).task == "full"


def test_a_worker_asks_for_no_more_permits_than_there_are(log: Log, claiming: Claiming) -> None:
    claiming.slots = 4
    log.limit("queue:first", 2)
    for task in ("a", "b", "c", "d"):
        log.enqueue(task)
    asked = [command.event for command in claiming.step(log.now) if isinstance(command, Say)]
    assert [type(event) for event in asked] == [PermitClaimed, PermitClaimed]
    assert claiming.step(log.now) == []


def test_a_permit_that_another_worker_got_first_costs_nothing(log: Log, claiming: Claiming) -> None:
    log.limit("queue:first", 1)
    log.enqueue("task")
    asked = ask_next(log, claiming)
    permit_of(log, "other", "quick", "queue:first")
    assert not log.permit(asked).accepted
    assert claiming.step(log.now) == []
    assert not claiming.pursuits


def test_what_another_worker_has_a_permit_for_is_left_to_it_unless_it_left_it_behind(
    log: Log, claiming: Claiming
) -> None:
    log.limit("queue:first", 1)
    entry = log.enqueue("task")
    permit_of(log, "task", "dead", "queue:first")
    assert claiming.step(log.now) == []
    log.claim(entry, "dead")
    log.now += LEASE + 1
    log.permit(ask_next(log, claiming))
    assert log.append(claim_next(log, claiming)).accepted


def until_claiming(log: Log, claiming: Claiming) -> EntryClaimed:
    log.permit(ask_next(log, claiming))
    return claim_next(log, claiming)


def lose(log: Log, claiming: Claiming) -> list[Command]:
    claimed = until_claiming(log, claiming)
    log.claim(claimed.entry, "other")
    log.append(claimed)
    return claiming.step(log.now)


def stop(log: Log, claiming: Claiming) -> list[Command]:
    asked = ask_next(log, claiming)
    claiming.stopping = True
    log.permit(asked)
    return claiming.step(log.now)


def lapse_before_the_permit(log: Log, claiming: Claiming) -> list[Command]:
    asked = ask_next(log, claiming)
    claiming.fence()
    log.heard = False
    log.permit(asked)
    return claiming.step(log.now)


def lapse_before_the_claim(log: Log, claiming: Claiming) -> list[Command]:
    claimed = until_claiming(log, claiming)
    claiming.fence()
    log.heard = False
    log.append(claimed)
    prepare, *commands = claiming.step(log.now)
    assert isinstance(prepare, Prepare)
    return commands


@pytest.mark.parametrize("how", [lose, stop, lapse_before_the_permit, lapse_before_the_claim])
def test_a_permit_goes_back_when_its_claim_comes_to_nothing(
    log: Log, claiming: Claiming, how: Callable[[Log, Claiming], list[Command]]
) -> None:
    log.limit("queue:first", 1)
    log.enqueue("task")
    (back,) = how(log, claiming)
    assert isinstance(back, GiveBack | Drop)
    assert back.pursuit.permit
    assert not claiming.pursuits


def test_a_worker_that_others_may_take_for_dead_asks_for_no_permit(log: Log, claiming: Claiming) -> None:
    log.limit("queue:first", 1)
    log.enqueue("task")
    log.heard = False
    assert claiming.step(log.now) == []
    log.heard = True
    ask_next(log, claiming)


def test_a_limit_that_comes_between_claim_and_start_is_heeded(log: Log, claiming: Claiming) -> None:
    entry = log.enqueue("task")
    log.append(claim_next(log, claiming))
    claiming.step(log.now)
    log.limit("queue:first", 1)
    log.beat(entry)
    (drop,) = claiming.step(log.now)
    assert isinstance(drop, Drop)


def test_a_limit_that_comes_during_the_wait_is_heeded(log: Log, claiming: Claiming) -> None:
    log.idle("other")
    log.enqueue("task")
    claiming.step(log.now)
    log.limit("queue:first", 1)
    log.now += 1.0
    ask_next(log, claiming)


# Hardware.


def able(log: Log, slots: int = 1, gpus_each: int = 0, **amounts: float) -> Claiming:
    """A worker that has so much."""
    inventory = Inventory(Hardware.model_validate(amounts), gpus_each)
    return Claiming("me", lambda: Stamper("agent/me"), Random(1), log, LEASE, slots, inventory=inventory)


def claims(log: Log, worker: Claiming) -> list[str]:
    """Tasks whose entries it claims now; the claims are on the log then."""
    said = [command.event for command in worker.step(log.now) if isinstance(command, Say)]
    for event in said:
        assert isinstance(event, EntryClaimed)
        log.append(event)
    return [event.task for event in said]


def test_an_entry_that_needs_more_than_the_worker_has_is_left_to_others(log: Log) -> None:
    log.enqueue("big", needs=Hardware(memory_gb=32.0))
    log.enqueue("wide", needs=Hardware(cpus=8.0))
    log.enqueue("fast", needs=Hardware(gpus=1))
    log.enqueue("plain")
    assert claims(log, able(log, slots=9, cpus=4.0, memory_gb=16.0)) == ["plain"]
    assert claims(log, able(log, slots=9, cpus=8.0, memory_gb=32.0)) == ["big", "wide"]


def test_what_runs_has_its_share_until_it_is_over(log: Log) -> None:
    worker = able(log, slots=9, memory_gb=16.0)
    first = log.enqueue("first", needs=Hardware(memory_gb=10.0))
    log.enqueue("second", needs=Hardware(memory_gb=7.0))
    log.enqueue("third", needs=Hardware(memory_gb=6.0))
    assert claims(log, worker) == ["first", "third"], "both fit beside each other, the one between them does not"
    assert worker.spare() == NOTHING
    worker.step(log.now)
    worker.release(first)
    assert claims(log, worker) == ["second"]


def test_where_gpus_are_shared_out_each_run_has_some_and_one_that_asks_for_more_has_more(log: Log) -> None:
    worker = able(log, slots=4, gpus_each=1, gpus=4)
    log.enqueue("double", needs=Hardware(gpus=2))
    for number in range(4):
        log.enqueue(f"plain{number}")
    assert claims(log, worker) == ["double", "plain0", "plain1"]


def test_one_that_asks_for_memory_alone_gets_its_gpu_too(log: Log) -> None:
    worker = able(log, slots=4, gpus_each=1, gpus=1, memory_gb=8.0)
    for task in ("a", "b"):
        log.enqueue(task, needs=Hardware(memory_gb=1.0))
    assert claims(log, worker) == ["a"]


def test_an_entry_that_waits_its_turn_takes_no_share_before(log: Log) -> None:
    worker = able(log, memory_gb=16.0)
    log.idle("other")
    log.enqueue("task", needs=Hardware(memory_gb=10.0))
    assert claims(log, worker) == []
    log.now = worker.next_due()
    assert claims(log, worker) == ["task"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.1, 0.3, 2.5, 8.0]))), st.integers(1, 6))
def test_a_worker_never_promises_more_than_it_has(needs: list[tuple[int, float]], slots: int) -> None:
    log = Log()
    worker = able(log, slots=slots, gpus=4, memory_gb=8.0)
    asked = {f"t{n}": Hardware(gpus=gpus, memory_gb=memory) for n, (gpus, memory) in enumerate(needs)}
    for task, needed in asked.items():
        log.enqueue(task, needs=needed)
    taken = [asked[task] for task in claims(log, worker)]
    assert sum(one.gpus for one in taken) <= 4
    assert sum(one.memory_gb for one in taken) <= 8.0 + 1e-5
    waiting = {entry.task for entry in log.folds()[0].waiting()}
    assert len(taken) == slots or not any(asked[task].fits(worker.spare()) for task in waiting)
