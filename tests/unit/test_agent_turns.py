"""Whose turn a duty is: every agent comes to the same order, and nobody is given what the access rules keep from it."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.agent.appends import Appends
from tasktape.agent.custody import PATIENCE, Custody
from tasktape.agent.peers import Peers
from tasktape.agent.turns import Turns
from tasktape.events.base import Stamper
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import EntryEnqueued, EntryMoved, entry_id
from tasktape.events.worker_events import WorkerHeartbeat, WorkerStopped
from tasktape.projections.queue_fold import QueueFold

QUEUES = ("a", "b")


class Known:
    """What agents know of each other, and the turns of each."""

    def __init__(self) -> None:
        self.peers = Peers()
        self.turns: dict[str, Turns] = {}

    def add(self, worker: str, *queues: str, restricted: bool = False, heard_at: float = 0.0) -> None:
        meta = Stamper(worker)()
        beat = WorkerHeartbeat(meta=meta, worker=worker, queues=list(queues), restricted=restricted)
        self.peers.apply(beat, heard_at)
        self.turns[worker] = Turns(worker, queues, self.peers, restricted)

    def of(self, duty: str, *queues: str, now: float = 1.0) -> dict[str, float]:
        return {worker: turns.of(duty, now, queues) for worker, turns in self.turns.items()}


workers = st.dictionaries(
    st.text(min_size=1),
    st.tuples(st.lists(st.sampled_from(QUEUES), unique=True), st.booleans()),
    min_size=1,
    max_size=8,
)


@given(workers, st.text(), st.lists(st.sampled_from(QUEUES), unique=True))
def test_turns_have_one_order_those_who_serve_first_and_the_restricted_left_out(
    workers: dict[str, tuple[list[str], bool]], duty: str, queues: list[str]
) -> None:
    known = Known()
    for worker, (served, restricted) in workers.items():
        known.add(worker, *served, restricted=restricted)
    turns = known.of(duty, *queues)
    serving = {worker for worker, (served, _) in workers.items() if set(queues) <= set(served)}
    able = serving | {worker for worker, (_, restricted) in workers.items() if not restricted}
    assert sorted(turns[worker] for worker in able) == list(range(len(able)))
    assert {turns[worker] for worker in serving} == set(range(len(serving)))
    assert {turns[worker] for worker in workers.keys() - able} <= {inf}


@given(st.sets(st.text(min_size=1), min_size=1, max_size=8), st.sets(st.text(), max_size=8))
def test_a_queue_nobody_serves_falls_to_one_worker(workers: set[str], queues: set[str]) -> None:
    known = Known()
    known.add("kept to its own", "a", restricted=True)
    for worker in workers - {"kept to its own"}:
        known.add(worker, "a")
    mine = [queue for turns in known.turns.values() for queue in turns.of_all(queues, 1.0)]
    assert sorted(mine) == sorted(queues if len(known.turns) > 1 else ())


def test_turns_differ_from_duty_to_duty() -> None:
    known = Known()
    for number in range(4):
        known.add(f"w{number}", "a")
    first = {next(worker for worker, turn in known.of(f"duty{n}", "a").items() if not turn) for n in range(64)}
    assert first == set(known.turns)


def test_the_silent_and_those_who_leave_have_no_turn_but_whoever_asks_has() -> None:
    known = Known()
    known.add("silent", "a", heard_at=-100.0)
    known.add("leaving", "a")
    known.peers.apply(WorkerStopped(meta=Stamper("leaving")(), worker="leaving"), 1.0)
    known.add("here", "a")
    assert [known.of(duty, "a")["here"] for duty in "xyz"] == [0.0] * 3
    assert {known.of(duty, "a")["silent"] for duty in "xyz"} <= {0.0, 1.0}


def moved(queue: str, task: str) -> QueueFold:
    """A queue out of which a mover that died has moved an entry."""
    fold, stamp = QueueFold(queue, lease=10.0), Stamper("user@host")
    about: dict[str, Any] = {"task": task, "queue": queue, "run": 1, "entry": entry_id(queue, task, 1)}
    said = [
        EntryEnqueued(meta=stamp(), spec=TaskSpec(project="p", name=task), **about),
        EntryMoved(meta=stamp(), to_queue="other", **about),
    ]
    for offset, event in enumerate(said):
        assert fold.apply(event, partition=0, offset=offset, timestamp_us=offset).accepted
    return fold


@pytest.mark.parametrize("turn", [0.0, 2.0])
def test_what_a_mover_left_undone_waits_for_a_moment_and_for_those_whose_turn_it_is(turn: float) -> None:
    fold, appends, entry = moved("a", "task"), Appends(), entry_id("a", "task", 1)
    about: dict[str, Any] = {"task": "task", "queue": "a", "run": 1, "entry": entry}
    request = EntryEnqueued(meta=Stamper("user@host")(), spec=TaskSpec(project="p", name="task"), **about)
    custody = Custody(Stamper("me"), appends, lambda _duty, _now: 5.0 * turn)
    due = 100.0 + PATIENCE + 5.0 * turn
    for now in (100.0, due - 0.01):
        custody.step(fold, {entry: request}.get, now)
        assert len(appends) == 0
    assert custody.next_due() == due
    custody.step(fold, {entry: request}.get, due)
    assert len(appends) == 1
