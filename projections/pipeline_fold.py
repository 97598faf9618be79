"""The fold of a pipeline's own events: its steps, what became of each, and which of them may be decided on now.

The controller decides from it, and goes on from it after its death; tables, pages and the command line show it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

from ..events.pipeline_events import (
    CallbackReturned,
    PipelineContinued,
    PipelineDefined,
    PipelineEvent,
    PipelineStep,
    PipelineStopping,
    StepAdded,
    StepCached,
    StepEvent,
    StepFinished,
    StepQueued,
    StepRetried,
    StepSkipped,
    StepStarted,
)
from ..events.task_events import TaskReset, TasksEvent
from .verdict import ACCEPTED, Verdict, rejected

StepStatus = Literal["pending", "queued", "running", "completed", "cached", "failed", "aborted", "skipped"]
UNDER_WAY: Final = frozenset({"queued", "running"})
DONE: Final = frozenset({"completed", "cached"})
OVER: Final = DONE | {"failed", "aborted", "skipped"}
STOPPED: Final = "the pipeline was stopped"
FORGOTTEN: Final = "the pipeline's code does not ask for it any more"
MADE_UP_FOR: Final = frozenset({STOPPED, FORGOTTEN})
"""Why steps are skipped that a later run of the pipeline is to make up for."""


@dataclass(frozen=True, slots=True)
class StepState:
    """A step, and what became of it. `child` is the task that runs it, `history` the states it has had since it began.

    `answers` are those of the callbacks that have returned, by name and occasion.
    """

    definition: PipelineStep
    status: StepStatus = "pending"
    child: str = ""
    child_run: int = 0
    retries: int = 0
    queue: str = ""
    cache_key: str = ""
    message: str = ""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    history: tuple[StepStatus, ...] = ()
    answers: Mapping[tuple[str, int], bool] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name."""
        return self.definition.name

    @property
    def lets_on(self) -> bool:
        """Whether what depends on it may run, once it is over."""
        if self.status == "failed":
            return not self.definition.skips_on_fail
        return not self.definition.skips_on_abort if self.status == "aborted" else self.status in DONE

    @property
    def spoils(self) -> bool:
        """Whether the pipeline fails by it."""
        if self.status == "failed":
            return not self.definition.goes_on_on_fail
        return self.status == "aborted" and not self.definition.goes_on_on_abort and self.message != FORGOTTEN

    def owed(self) -> list[tuple[str, int]]:
        """Callbacks that are to be called now, by name and occasion, in that order."""
        due: list[tuple[str, int]] = []
        if "status" in self.definition.callbacks:
            due += [("status", place) for place in range(len(self.history))]
        if self.status in OVER - {"skipped"} and self.child:
            due += [(name, 0) for name in ("completed", "post") if name in self.definition.callbacks]
        return [call for call in due if call not in self.answers]


class PipelineFold:
    """A pipeline's steps. Feed it its controller's events, each once and in order. Not thread-safe.

    `pending` are the steps of which nothing was decided, `ready` those of them whose parents are all over, `under_way`
    those whose child is queued or runs, `owing` those with callbacks that are to be called, `spoilt` those the pipeline
    fails by; `owners` names the step that a child runs, `open` counts what is not over, `changes` the events that
    counted. All are kept as steps change, so that a decision does not cost a look at every step.
    """

    def __init__(self) -> None:
        self.defined: PipelineDefined | None = None
        self.stopping: PipelineStopping | None = None
        self.began_at: datetime | None = None
        self.generation = 0
        self.steps: dict[str, StepState] = {}
        self.pending: dict[str, None] = {}
        self.ready: dict[str, None] = {}
        self.under_way: dict[str, None] = {}
        self.owing: dict[str, None] = {}
        self.spoilt: dict[str, None] = {}
        self.owners: dict[str, str] = {}
        self.open = 0
        self.changes = 0
        self._open_parents: dict[str, int] = {}
        self._children_of: defaultdict[str, list[str]] = defaultdict(list)

    @classmethod
    def of(
        cls,
        steps: Iterable[StepState],
        defined: PipelineDefined | None,
        stopping: PipelineStopping | None,
        generation: int,
    ) -> PipelineFold:
        """Make one that goes on from what another had come to."""
        fold = cls()
        fold.defined, fold.stopping, fold.generation = defined, stopping, generation
        fold.steps = {step.name: step for step in steps}
        fold._index()
        return fold

    def apply(self, event: TasksEvent) -> Verdict:
        """Fold an event of the controller's task; what means nothing to a pipeline changes nothing."""
        verdict = self._apply(event)
        self.changes += verdict.accepted and isinstance(event, PipelineEvent | TaskReset)
        return verdict

    def _apply(self, event: TasksEvent) -> Verdict:
        match event:
            case TaskReset():
                self._forget()
            case PipelineDefined():
                self._define(event)
            case PipelineContinued():
                self._continue(event)
            case PipelineStopping():
                self.stopping = self.stopping or event
            case StepAdded():
                return self._add(event.step)
            case StepEvent():
                return self._step(event)
            case PipelineEvent():
                return rejected(f"{type(event).__name__} means nothing to a pipeline")
        return ACCEPTED

    def is_settled(self, name: str) -> bool:
        """Whether a step is over, and no callback is owed for it."""
        return name in self.steps and self.steps[name].status in OVER and name not in self.owing

    def is_lost(self, name: str) -> bool:
        """Whether a step is skipped because the pipeline stops, or what it depends on has made the pipeline fail."""
        pending, seen = [name], {name}
        for one in pending:  # grows while it is walked
            step = self.steps[one]
            if step.spoils or (step.status == "skipped" and step.message == STOPPED):
                return True
            if step.status == "skipped":
                pending += [parent for parent in step.definition.parents if parent not in seen]
                seen.update(step.definition.parents)
        return False

    def dependents(self, names: Iterable[str]) -> set[str]:
        """Return the steps with these names and all that depend on them."""
        found: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += self._children_of[name]
        return found

    def unfinished(self) -> set[str]:
        """Return the steps that a later run of an ended pipeline has to make up for: what failed, what needs that.

        What a pipeline that was stopped has left running is being aborted, so that it is to be made up for as well. A
        step whose callbacks were asked before it was queued asks them again: what they changed was a task of then.
        """
        lacking = {"failed", "aborted", *(UNDER_WAY if self.stopping else ())}
        return self.dependents(
            step.name
            for step in self.steps.values()
            if step.status in lacking or step.message in MADE_UP_FOR or (step.status == "pending" and step.answers)
        )

    def _forget(self) -> None:
        """Begin anew, with tasks of their own for the steps: those they had have run."""
        self.generation += self.defined is not None
        self.defined = self.stopping = self.began_at = None
        self.steps = {}
        self._index()

    def _define(self, event: PipelineDefined) -> None:
        horizon = self.defined.horizon if self.defined else event.horizon
        self.began_at = self.began_at or event.meta.occurred_at
        self.defined = event.model_copy(update={"horizon": horizon})
        given = {step.name: step for step in event.steps}
        added = {} if event.steps else {name: step.definition for name, step in self.steps.items()}
        self.steps = {name: self._defined(name, step) for name, step in (given | added).items()}
        self._index()

    def _defined(self, name: str, definition: PipelineStep) -> StepState:
        known = self.steps.get(name)
        return replace(known, definition=definition) if known else StepState(definition)

    def _continue(self, event: PipelineContinued) -> None:
        self.generation += 1
        self.stopping, self.began_at = None, event.meta.occurred_at
        self.steps |= {name: StepState(self.steps[name].definition) for name in event.steps if name in self.steps}
        self._index()

    def _index(self) -> None:
        """Find out anew what may be decided on."""
        self._children_of.clear()
        self.pending, self.ready, self.open = {}, {}, 0
        self.under_way, self.owing, self.spoilt, self.owners = {}, {}, {}, {}
        for step in self.steps.values():
            self._count(step)
            self._note(step)

    def _count(self, step: StepState) -> None:
        """Count a step, and those of its parents that are not over."""
        self.open += step.status not in OVER
        for parent in step.definition.parents:
            self._children_of[parent].append(step.name)
        self._open_parents[step.name] = sum(map(self._is_open, step.definition.parents))

    def _is_open(self, name: str) -> bool:
        return name not in self.steps or self.steps[name].status not in OVER

    def _add(self, definition: PipelineStep) -> Verdict:
        if definition.name in self.steps:
            return rejected("there is a step of this name")
        step = self.steps[definition.name] = StepState(definition)
        self._count(step)
        self._note(step)
        return ACCEPTED

    def _step(self, event: StepEvent) -> Verdict:
        step = self.steps.get(event.step)
        if step is None:
            return rejected("there is no step of this name")
        after = _after(step, event)
        if isinstance(after, Verdict):
            return after
        if after.status != step.status:
            after = replace(after, history=(*after.history, after.status))
        self._note(after)
        self.steps[step.name] = after
        if after.status in OVER and step.status not in OVER:
            self._end(step.name)
        return ACCEPTED

    def _note(self, step: StepState) -> None:
        """Keep what may be decided on. A step that is over owes its callbacks before others can see that it is."""
        name = step.name
        _keep(self.pending, name, wanted=step.status == "pending")
        _keep(self.ready, name, wanted=step.status == "pending" and not self._open_parents[name])
        _keep(self.under_way, name, wanted=step.status in UNDER_WAY)
        _keep(self.owing, name, wanted=bool(step.owed()))
        _keep(self.spoilt, name, wanted=step.spoils)
        if step.child and (step.status in UNDER_WAY or step.child not in self.owners):
            self.owners[step.child] = name

    def _end(self, name: str) -> None:
        """Count a step as over; what waited for it alone is ready."""
        self.open -= 1
        for child in self._children_of[name]:
            self._open_parents[child] -= 1
            if not self._open_parents[child] and self.steps[child].status == "pending":
                self.ready[child] = None


def _keep(names: dict[str, None], name: str, *, wanted: bool) -> None:
    if wanted:
        names[name] = None
    else:
        names.pop(name, None)


def _after(step: StepState, event: StepEvent) -> StepState | Verdict:
    """Return the step after the event, or why the event does not count."""
    changes: dict[str, Any] = {}
    match event:
        case CallbackReturned():
            changes = {"answers": {**step.answers, (event.callback, event.occasion): event.answer}}
        case StepQueued() if step.status == "pending":
            changes = {"status": "queued", "queue": event.queue, "queued_at": event.meta.occurred_at}
        case StepCached() if step.status == "pending":
            changes = {"status": "cached"}
        case StepSkipped() if step.status == "pending":
            changes = {"status": "skipped", "message": event.reason}
        case StepStarted() if step.status == "queued" and event.child_run >= step.child_run:
            changes = {"status": "running", "started_at": event.meta.occurred_at}
        case StepRetried() if step.status in UNDER_WAY and event.child_run > step.child_run:
            changes = {"status": "queued", "retries": step.retries + 1, "message": event.reason}
        case StepFinished() if step.status not in OVER:
            changes = {"status": event.status, "message": event.message}
    return replace(step, **(changes | _facts(event))) if changes else rejected(f"the step is {step.status}")


def _facts(event: StepEvent) -> dict[str, Any]:
    """What an event tells beside the state: child, run and key where it names them, and when the step was over."""
    names = ("child", "child_run", "cache_key")
    told: dict[str, Any] = {name: getattr(event, name) for name in names if getattr(event, name, None)}
    if isinstance(event, StepCached | StepSkipped | StepFinished):
        told["ended_at"] = event.meta.occurred_at
    return told
