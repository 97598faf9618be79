"""What an agent remembers of `tasktape.tasks`: of each task whether it exists, its furthest run, and how that ended.

The task state machine judges; the ledger only keeps its states small, because it covers every task there ever was:
tasks whose furthest run is over share one state with all others that ended alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from ..events.parts import TaskSpec
from ..events.task_events import (
    EntryLeft,
    RunCompleted,
    RunFailed,
    RunLost,
    RunPreempted,
    RunStarted,
    RunStopped,
    TaskCreated,
    TaskDeleted,
    TaskPublished,
    TaskReset,
    TasksEvent,
)
from ..projections import task_state
from ..projections.retries import LOST, Outcome
from ..projections.task_state import RunState, TaskState
from ..projections.verdict import ACCEPTED, DUPLICATE, Verdict, rejected

CREATED: Final = TaskCreated.__name__
RELEVANT: Final = frozenset(
    kind.__name__
    for kind in (
        EntryLeft,
        RunCompleted,
        RunFailed,
        RunLost,
        RunPreempted,
        RunStarted,
        RunStopped,
        TaskDeleted,
        TaskPublished,
        TaskReset,
    )
)
_OUTCOMES: Final[Mapping[type[TasksEvent], Outcome]] = {
    RunCompleted: Outcome("completed"),
    RunLost: LOST,
    RunPreempted: Outcome("preempted"),
    RunStopped: Outcome("stopped"),
    TaskReset: Outcome("stopped"),
}
SUPERSEDED: Final = Outcome("superseded")
_NO_SPEC: Final = TaskSpec(project="", name="")
_Facts = tuple[int, str, bool, bool, bool, bool, bool, Outcome | None]


class _Task(NamedTuple):
    """A task's state, without its spec, and how its furthest run ended."""

    state: TaskState
    outcome: Outcome | None


_UNKNOWN: Final = _Task(TaskState(), None)
_FRESH: Final = _Task(TaskState(spec=_NO_SPEC), None)


class RunLedger:
    """Feed it the events of `tasktape.tasks` named in `RELEVANT`, and each task that is `created`. Not thread-safe."""

    def __init__(self) -> None:
        self._tasks: dict[str, _Task] = {}
        self._shared: dict[_Facts, _Task] = {}
        self._rejected: set[str] = set()

    def created(self, task: str) -> None:
        """Learn that the task exists."""
        self._tasks.setdefault(task, _FRESH)

    def apply(self, event: TasksEvent) -> Verdict:
        """Judge an event; one that was rejected before is not judged again."""
        if event.meta.event_id in self._rejected:
            return DUPLICATE
        known = self._tasks.get(event.task, _UNKNOWN)
        after = task_state.apply(known.state, event)
        if isinstance(after, task_state.Rejection):
            self._rejected.add(event.meta.event_id)
            return rejected(after.reason)
        self._tasks[event.task] = self._kept(_Task(after, _outcome_after(known, event, after)))
        return ACCEPTED

    def exists(self, task: str) -> bool:
        """Whether the task was created."""
        return task in self._tasks

    def outcome(self, task: str, run: int) -> Outcome | None:
        """How a run ended; None while it is under way or still to come."""
        state, outcome = self._tasks.get(task, _UNKNOWN)
        if state.deleted or run < state.run.number:
            return SUPERSEDED
        return outcome if run == state.run.number else None

    def under_way(self, task: str) -> int:
        """Number of the run that is under way; 0 for none."""
        run = self._tasks.get(task, _UNKNOWN).state.run
        return run.number if run.started and not run.ended else 0

    def _kept(self, known: _Task) -> _Task:
        state = known.state
        under_way = state.run.started and not state.run.ended and not state.deleted
        if state.left or under_way:
            return known
        facts = _facts(known)
        return self._shared.setdefault(facts, _small(facts))


def _outcome_after(known: _Task, event: TasksEvent, after: TaskState) -> Outcome | None:
    if not after.run.ended:
        return None
    if isinstance(event, RunFailed):
        return Outcome("failed", event.cause)
    return _OUTCOMES.get(type(event), known.outcome)


def _facts(known: _Task) -> _Facts:
    """All that later verdicts need of a task without open run or left entries."""
    state, run = known.state, known.state.run
    return (run.number, run.status, run.started, run.ended, run.reset, state.published, state.deleted, known.outcome)


def _small(facts: _Facts) -> _Task:
    number, status, started, ended, reset, published, deleted, outcome = facts
    run = RunState(number=number, status=status, started=started, ended=ended, reset=reset)
    return _Task(TaskState(spec=_NO_SPEC, run=run, published=published, deleted=deleted), outcome)
