"""What a controller knows of the tasks it runs, from their own events alone. Pure.

A run that ended is not the end where another follows it by itself: what an agent retries is still under way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from ...events.parts import Artifact, Model, TaskSpec
from ...events.task_events import (
    ArtifactDeleted,
    ArtifactUploaded,
    EntryLeft,
    ModelDeleted,
    ModelSaved,
    RunCompleted,
    RunFailed,
    RunLost,
    RunPreempted,
    RunStarted,
    RunStopped,
    TaskReset,
    TasksEvent,
)
from ...projections.retries import Counts, Outcome, counts_after
from ...projections.task_state import COMPLETED, FAILED, IN_PROGRESS, TaskState, apply

ChildStatus = Literal["waiting", "running", "completed", "failed", "aborted"]
NO_RETRIES: Final = Counts()
_DEQUEUED: Final = "dequeued"
_NAMELESS: Final = TaskSpec(project="", name="")


@dataclass(frozen=True, slots=True)
class Child:
    """A child as its events tell it. `run` is the furthest run known of, its own or one that is to follow.

    `retries` are those its agents allow the task itself; None where no agent runs it, so that nothing is retried.
    """

    task: str
    run: int
    retries: int | None = None
    state: TaskState = field(default_factory=TaskState)
    counts: Counts = NO_RETRIES
    was_dequeued: bool = False
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)

    @property
    def status(self) -> ChildStatus:
        """Where the run `run` stands."""
        run = self.state.run
        if self.state.deleted or self.was_dequeued or (run.reset and run.number >= self.run):
            return "aborted"
        if run.number < self.run or not (run.started or run.ended):
            return "waiting"
        ended: dict[str, ChildStatus] = {IN_PROGRESS: "running", COMPLETED: "completed", FAILED: "failed"}
        return ended.get(run.status, "aborted")

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to come of this run."""
        return self.status not in {"waiting", "running"}

    @property
    def message(self) -> str:
        """Why it ended as it did."""
        if self.was_dequeued:
            return "it was taken out of its queue"
        run = self.state.run
        if run.message.partition(":")[0].endswith(run.reason):
            return run.message
        return ": ".join(part for part in (run.reason, run.message) if part)


class Children:
    """All children of a controller. `changed` are those to look at, until `seen` says that nothing more follows."""

    def __init__(self) -> None:
        self._known: dict[str, Child] = {}
        self.changed: dict[str, None] = {}

    def __contains__(self, task: object) -> bool:
        return task in self._known

    def __getitem__(self, task: str) -> Child:
        return self._known[task]

    def __iter__(self) -> Iterator[Child]:
        return iter(self._known.values())

    def watch(self, task: str, run: int, retries: int | None) -> None:
        """Look after a run of a task from now on; its events up to here, if any, stay known."""
        known = self._known.get(task) or Child(task, run)
        self._known[task] = replace(known, run=run, retries=retries, counts=NO_RETRIES, was_dequeued=False)
        self.changed[task] = None

    def apply(self, event: TasksEvent) -> None:
        """Fold an event of a child; those of other tasks, and those that do not count, change nothing."""
        known = self._known.get(event.task)
        after = None if known is None else _after(known, event)
        if after is not None:
            self._known[event.task] = after
            self.changed[event.task] = None

    def seen(self) -> None:
        """Nothing more is to be decided on what has changed so far."""
        self.changed.clear()


def _after(child: Child, event: TasksEvent) -> Child | None:
    """Return the child after the event, or None where the event does not count."""
    state = child.state
    if state.spec is None and isinstance(event, RunStarted):
        state = state.model_copy(update={"spec": _NAMELESS})
    after = apply(state, event)
    if not isinstance(after, TaskState):
        return None
    return _followed(_with_outputs(replace(child, state=after), event), event)


def _with_outputs(child: Child, event: TasksEvent) -> Child:
    match event:
        case ArtifactUploaded():
            return replace(child, artifacts={**child.artifacts, event.artifact.name: event.artifact})
        case ArtifactDeleted():
            return replace(child, artifacts={name: a for name, a in child.artifacts.items() if name != event.name})
        case ModelSaved():
            return replace(child, models={**child.models, event.model.id: event.model})
        case ModelDeleted():
            return replace(child, models={key: m for key, m in child.models.items() if key != event.model_id})
        case TaskReset() | RunStarted(continues=False):
            return replace(child, artifacts={}, models={})
    return child


def _followed(child: Child, event: TasksEvent) -> Child:
    """Return the child with the run that follows the one which this event has ended, if one does."""
    if isinstance(event, EntryLeft) and event.reason == _DEQUEUED and event.run >= child.run:
        return replace(child, was_dequeued=True)
    outcome = outcome_of(event)
    if outcome is None or child.retries is None or child.state.run.number < child.run:
        return child
    counts = counts_after(child.counts, child.retries, outcome)
    return child if counts is None else replace(child, counts=counts, run=child.state.run.number + 1)


def outcome_of(event: TasksEvent) -> Outcome | None:
    """How a run ended by this event, if it is one that ends it."""
    match event:
        case RunCompleted():
            return Outcome("completed")
        case RunStopped():
            return Outcome("stopped")
        case RunFailed():
            return Outcome("failed", event.cause)
        case RunLost():
            return Outcome("lost", "infrastructure")
        case RunPreempted():
            return Outcome("preempted", "infrastructure")
    return None
