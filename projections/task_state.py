"""The task state machine: one pure function from a task's state and its next event to the next state, or a refusal.

It reads `tasktape.tasks` alone, so that no interleaving with other topics can change what counts. A queue's entries
only add to what is *shown*: a task whose furthest run waits in a queue is queued. The order of (run, stage) decides:
created, queued, in progress, ended, reset or published.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from pydantic import Field

from ..events.base import Part
from ..events.parts import TaskSpec
from ..events.task_events import (
    ArtifactDeleted,
    ArtifactUploaded,
    ConfigurationSet,
    EntryLeft,
    ModelAttached,
    ModelDeleted,
    ModelSaved,
    ParametersSet,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunLost,
    RunPreempted,
    RunProgressed,
    RunStarted,
    RunStopped,
    TaskArchived,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskPublished,
    TaskReset,
    TasksEvent,
    TaskUnarchived,
)
from . import spec_fold

CREATED: Final = "created"
IN_PROGRESS: Final = "in_progress"
STOPPED: Final = "stopped"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
PUBLISHED: Final = "published"
LOST: Final = "lost"
PREEMPTED: Final = "preempted"

End = RunCompleted | RunFailed | RunStopped
TakenAway = RunLost | RunPreempted
FINAL_STATUS: Final[Mapping[type[TasksEvent], str]] = {
    RunCompleted: COMPLETED,
    RunFailed: FAILED,
    RunStopped: STOPPED,
    RunLost: FAILED,
    RunPreempted: STOPPED,
}
PUBLISH_FROM: Final = frozenset({STOPPED, COMPLETED, FAILED})
EDITABLE_WHEN_PUBLISHED: Final = frozenset({"tags", "system_tags", "comment"})


class RunState(Part):
    """One run. `status` is `created` until it starts or ends; a reset ends it too and sets `reset`."""

    number: int = 0
    status: str = CREATED
    started: bool = False
    ended: bool = False
    reset: bool = False
    worker: str = ""
    entry: str = ""
    continues: bool = False
    initial_iteration: int = 0
    machine: dict[str, str] = Field(default_factory=dict)
    progress: int = 0
    reason: str = ""
    message: str = ""
    traceback: str = ""
    exit_code: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class TaskState(Part):
    """A task as its own partition tells it. `run` is the furthest run; `left` holds entries of runs not yet past.

    Outputs of runs from `visible_from` on are shown, and those of the draft (run 0) until the first reset.
    """

    spec: TaskSpec | None = None
    run: RunState = Field(default_factory=RunState)
    left: tuple[tuple[int, str], ...] = ()
    visible_from: int = 0
    resets: int = 0
    archived: bool = False
    published: bool = False
    deleted: bool = False
    publish_message: str = ""
    created_at: datetime | None = None
    changed_at: datetime | None = None

    @property
    def status(self) -> str:
        """The status, as long as no queue holds a later run."""
        if self.published:
            return PUBLISHED
        return CREATED if self.run.reset else self.run.status


class Rejection(NamedTuple):
    """Why an event changes nothing."""

    reason: str


def apply(state: TaskState, event: TasksEvent) -> TaskState | Rejection:
    """Return the state after the event, or why the event does not count."""
    if refusal := _refusal(state, event):
        return Rejection(refusal)
    try:
        after = _after(state, event)
    except ValueError as error:
        return Rejection(f"the edit does not fit: {error}")
    return after.model_copy(
        update={"changed_at": max(state.changed_at or event.meta.occurred_at, event.meta.occurred_at)}
    )


def _refusal(state: TaskState, event: TasksEvent) -> str:
    """Return why the event is illegal, or nothing."""
    if isinstance(event, ModelSaved | ModelAttached | ModelDeleted):
        return ""
    if state.deleted:
        return "the task is deleted"
    if isinstance(event, TaskCreated):
        return "the task exists" if state.spec is not None else ""
    return _refusal_when_published(state, event) if state.published else _refusal_when_open(state, event)


def _refusal_when_published(state: TaskState, event: TasksEvent) -> str:
    open_edit = isinstance(event, TaskEdited) and event.field in EDITABLE_WHEN_PUBLISHED
    forced_reset = isinstance(event, TaskReset) and event.force and event.run >= state.run.number
    allowed = open_edit or forced_reset or isinstance(event, TaskArchived | TaskUnarchived | TaskDeleted)
    return "" if allowed else "the task is published"


def _refusal_when_open(state: TaskState, event: TasksEvent) -> str:
    if isinstance(event, ArtifactUploaded | ArtifactDeleted):
        return ""
    if state.spec is None:
        return "there is no such task"
    if isinstance(event, RunEvent):
        return _refusal_of_run(state, event)
    publishes = isinstance(event, TaskPublished) and state.status not in PUBLISH_FROM
    return f"a task that is {state.status} can't be published" if publishes else ""


def _refusal_of_run(state: TaskState, event: RunEvent) -> str:
    if event.run < state.run.number:
        return f"run {state.run.number} has begun since"
    refusal = ""
    if isinstance(event, RunStarted):
        refusal = _refusal_of_start(state, event)
    elif isinstance(event, End):
        refusal = _refusal_of_end(state, event)
    elif isinstance(event, RunLost):
        refusal = _refusal_of_loss(state, event)
    elif isinstance(event, RunPreempted):
        refusal = _refusal_of_preemption(state, event)
    elif isinstance(event, EntryLeft):
        refusal = "a run started from that entry" if event.entry == state.run.entry else ""
    elif isinstance(event, RunProgressed):
        refusal = "" if event.run == state.run.number and not state.run.ended else "the run is not under way"
    return refusal


def _refusal_of_start(state: TaskState, event: RunStarted) -> str:
    if event.run < 1:
        return "runs are numbered from 1"
    if event.run == state.run.number:
        return "the run has ended" if state.run.ended else "the run has been started"
    if _has_left(state, event.run, event.entry):
        return "its entry has left the queue"
    runs_already = state.run.started and not state.run.ended
    return "another run is under way" if runs_already and not event.entry and not event.force else ""


def _refusal_of_end(state: TaskState, event: End) -> str:
    if event.force:
        return ""
    if event.run > state.run.number:
        return "the run has not been started" if isinstance(event, RunCompleted) else ""
    if state.run.ended:
        return _how_it_ended(state.run)
    return "" if state.run.started else "the run has not been started"


def _refusal_of_loss(state: TaskState, event: RunLost) -> str:
    if event.run < 1:
        return "runs are numbered from 1"
    if _has_left(state, event.run, event.entry):
        return "its entry has left the queue"
    return "" if event.run > state.run.number else _refusal_of_taking_away(state.run, event)


def _refusal_of_preemption(state: TaskState, event: RunPreempted) -> str:
    if event.run > state.run.number or not (state.run.started or state.run.ended):
        return "the run has not been started"
    return _refusal_of_taking_away(state.run, event)


def _refusal_of_taking_away(run: RunState, event: TakenAway) -> str:
    if run.ended:
        return _how_it_ended(run)
    return "" if run.worker == event.worker else "another worker started the run"


def _how_it_ended(run: RunState) -> str:
    return "the run was reset" if run.reset else f"the run has ended: {run.status}"


def _has_left(state: TaskState, run: int, entry: str) -> bool:
    return bool(entry) and (run, entry) in state.left


def _after(state: TaskState, event: TasksEvent) -> TaskState:
    """Return the state after a legal event."""
    if isinstance(event, RunEvent):
        return _after_run_event(state, event)
    if isinstance(event, TaskCreated):
        return _with(state, spec=event.spec, created_at=event.meta.occurred_at)
    if isinstance(event, TaskEdited | ParametersSet | ConfigurationSet):
        return _with(state, spec=spec_fold.changed(state.spec, event)) if state.spec else state
    if isinstance(event, TaskPublished):
        return _with(state, published=True, publish_message=event.message)
    if isinstance(event, TaskArchived | TaskUnarchived):
        return _with(state, archived=isinstance(event, TaskArchived))
    return _with(state, deleted=True) if isinstance(event, TaskDeleted) else state


def _after_run_event(state: TaskState, event: RunEvent) -> TaskState:
    if isinstance(event, RunStarted):
        return _started(state, event)
    if isinstance(event, End | TakenAway):
        return _in_run(state, _ended(_run(state, event.run), event))
    if isinstance(event, TaskReset):
        return _reset(state, event)
    if isinstance(event, RunProgressed):
        return _with(state, run=state.run.model_copy(update={"progress": event.progress}))
    if isinstance(event, EntryLeft):
        return _with(state, left=tuple(sorted({*state.left, (event.run, event.entry)})))
    return state


def _run(state: TaskState, number: int) -> RunState:
    """Return the run an event speaks of: the current one or a new one."""
    return state.run if number == state.run.number else RunState(number=number)


def _started(state: TaskState, event: RunStarted) -> TaskState:
    run = RunState(
        number=event.run,
        status=IN_PROGRESS,
        started=True,
        worker=event.worker,
        entry=event.entry,
        continues=event.continues,
        initial_iteration=event.initial_iteration,
        machine=event.machine,
        started_at=event.meta.occurred_at,
    )
    visible_from = state.visible_from if event.continues else event.run
    return _with(_in_run(state, run), visible_from=visible_from)


def _ended(run: RunState, event: End | TakenAway) -> RunState:
    changes: dict[str, object] = {
        "status": FINAL_STATUS[type(event)],
        "ended": True,
        "reset": False,
        "ended_at": event.meta.occurred_at,
        "reason": _reason(event),
        "message": event.reason if isinstance(event, TakenAway) else event.message,
        "traceback": getattr(event, "traceback", ""),
        "exit_code": getattr(event, "exit_code", None),
    }
    if isinstance(event, RunLost):
        changes |= {"worker": event.worker, "entry": event.entry or run.entry}
    return run.model_copy(update=changes)


def _reason(event: End | TakenAway) -> str:
    if isinstance(event, TakenAway):
        return LOST if isinstance(event, RunLost) else PREEMPTED
    return getattr(event, "reason", "")


def _reset(state: TaskState, event: TaskReset) -> TaskState:
    before = _run(state, event.run)
    status = STOPPED if before.status == IN_PROGRESS else before.status
    run = before.model_copy(update={"status": status, "ended": True, "reset": True})
    return _with(_in_run(state, run), visible_from=event.run + 1, resets=state.resets + 1, published=False)


def _in_run(state: TaskState, run: RunState) -> TaskState:
    """Return the state with that run as its furthest; entries of runs before it can start nothing any more."""
    return _with(state, run=run, left=tuple(left for left in state.left if left[0] >= run.number))


def _with(state: TaskState, **changes: object) -> TaskState:
    return state.model_copy(update=changes)
