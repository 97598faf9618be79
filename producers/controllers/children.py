"""What a controller knows of the tasks it runs, from their own events alone. Pure.

A run that ended is not the end where another follows it by itself: what an agent retries is still under way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeVar

from ...events.parts import Artifact, Model, TaskSpec
from ...events.task_events import (
    ArtifactDeleted,
    ArtifactUploaded,
    EntryLeft,
    ModelAttached,
    ModelDeleted,
    ModelSaved,
    RunCompleted,
    RunFailed,
    RunLost,
    RunPreempted,
    RunStopped,
    TaskCreated,
    TaskReset,
    TasksEvent,
)
from ...projections.retries import Counts, Outcome, counts_after
from ...projections.task_state import COMPLETED, FAILED, IN_PROGRESS, TaskState, apply

ChildStatus = Literal["waiting", "running", "completed", "failed", "aborted"]
NO_RETRIES: Final = Counts()
_DEQUEUED: Final = "dequeued"
_UNREAD: Final = TaskSpec(project="", name="")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Child:
    """A child as its events tell it. `run` is the furthest run known of, its own or one that is to follow.

    `retries` are those its agents allow the task itself; None where no agent runs it, so that nothing is retried.
    `made` and `saved` are its artifacts by name and its models by id, each with its run; `borrows` tells whether it
    uses models of other tasks.
    """

    task: str
    run: int
    retries: int | None = None
    state: TaskState = field(default_factory=TaskState)
    counts: Counts = NO_RETRIES
    was_dequeued: bool = False
    made: dict[str, tuple[int, Artifact]] = field(default_factory=dict)
    saved: dict[str, tuple[int, Model]] = field(default_factory=dict)
    borrows: bool = False

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Its artifacts by name."""
        return {name: artifact for name, (_, artifact) in self.made.items()}

    @property
    def models(self) -> list[Model]:
        """The models it made, the first of them first."""
        return [model for _, model in self.saved.values()]

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
    """All children of a controller, and which of them have changed since nothing more followed from what they said."""

    def __init__(self) -> None:
        self._known: dict[str, Child] = {}
        self._changed: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, task: object) -> bool:
        return task in self._known

    def __getitem__(self, task: str) -> Child:
        return self._known[task]

    def __iter__(self) -> Iterator[Child]:
        return iter(self._known.values())

    def watch(self, task: str, run: int, retries: int | None, spec: TaskSpec | None = None) -> None:
        """Look after a run of a task from now on; its events up to here, if any, stay known.

        `spec` is what the task was when that was read, where its events are not heard from the first on.
        """
        known = self._known.get(task) or Child(task, run, state=TaskState(spec=spec))
        self._known[task] = replace(known, retries=retries)
        self.await_run(task, run)

    def await_run(self, task: str, run: int) -> None:
        """Look after another run of a task that is watched."""
        self._known[task] = replace(self._known[task], run=run, counts=NO_RETRIES, was_dequeued=False)
        self._changed[task] = None

    def look_again(self, task: str) -> None:
        """More may follow from what a child has said than before."""
        if task in self._known:
            self._changed[task] = None

    def apply(self, event: TasksEvent) -> None:
        """Fold an event of a child; those of other tasks, and those that do not count, change nothing."""
        known = self._known.get(event.task)
        after = None if known is None else _after(known, event)
        if after is not None:
            self._known[event.task] = after
            self._changed[event.task] = None

    def news(self, follows: Callable[[Child], Iterable[T]]) -> Iterator[T]:
        """Yield what follows from each child that has changed; it is looked at again until nothing does."""
        for _ in range(len(self._changed)):
            task, _ = self._changed.popitem(last=False)
            if found := list(follows(self._known[task])):
                self._changed[task] = None
                yield from found


def _after(child: Child, event: TasksEvent) -> Child | None:
    """Return the child after the event, or None where the event does not count.

    A task that was there before its controller looked is known to exist, though nobody has read what it is.
    """
    is_unread = child.state.spec is None and not isinstance(event, TaskCreated)
    after = apply(child.state.model_copy(update={"spec": _UNREAD}) if is_unread else child.state, event)
    if not isinstance(after, TaskState):
        return None
    state = after.model_copy(update={"spec": None}) if is_unread else after
    return _followed(_with_outputs(replace(child, state=state), event), event)


def _with_outputs(child: Child, event: TasksEvent) -> Child:
    made, saved = child.made, child.saved
    match event:
        case ArtifactUploaded():
            made = {**made, event.artifact.name: (event.run, event.artifact)}
        case ArtifactDeleted():
            made = {name: one for name, one in made.items() if name != event.name}
        case ModelSaved():
            saved = {**saved, event.model.id: (event.run, event.model)}
        case ModelDeleted():
            saved = {key: one for key, one in saved.items() if key != event.model_id}
        case ModelAttached():
            return replace(child, borrows=True)
        case TaskReset():
            made = {name: one for name, one in made.items() if one[0]}
            saved = {key: one for key, one in saved.items() if one[0]}
    return replace(child, made=_visible(child.state, made), saved=_visible(child.state, saved))


def _visible(state: TaskState, outputs: dict[str, tuple[int, T]]) -> dict[str, tuple[int, T]]:
    """Outputs of runs that were not done again, and of the draft."""
    if all(not run or run >= state.visible_from for run, _ in outputs.values()):
        return outputs
    return {key: one for key, one in outputs.items() if not one[0] or one[0] >= state.visible_from}


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
