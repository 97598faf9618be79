"""Events of the topic `tasktape.tasks`: the life of a task and of its runs, its artifacts and models.

Each execution is a run, numbered from 1; run 0 is the draft before the first. An event of a run says which.
`force` marks a change a person asked for against the usual order of states.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from .base import TaskEvent
from .parts import Artifact, Configuration, Model, Parameter, TaskSpec


class TasksEvent(TaskEvent):
    """An event in the task's own partition."""

    topic: ClassVar[str] = "tasktape.tasks"


class RunEvent(TasksEvent):
    """An event of one run of a task."""

    run: int


class TaskCreated(TasksEvent):
    """A task exists, as a draft."""

    spec: TaskSpec


class TaskEdited(TasksEvent):
    """One field of the task's spec changed; `field` is a dotted path in `TaskSpec`, old and new are JSON text."""

    field: str
    old: str
    new: str
    reason: str = ""
    force: bool = False


class ParametersSet(TasksEvent):
    """Hyper-parameters were set; `replace` drops all others of the sections named, `removed` names single ones.

    `old` holds the values these had before, for audit.
    """

    parameters: list[Parameter]
    old: list[Parameter] = Field(default_factory=list)
    removed: list[str] = Field(default_factory=list)
    replace: bool = False
    reason: str = ""


class ConfigurationSet(TasksEvent):
    """A configuration object was set whole."""

    configuration: Configuration
    old_text: str | None = None
    reason: str = ""


class RunStarted(RunEvent):
    """A run begins. `worker` is empty for a local start; `entry` names the queue entry it came from.

    `continues` keeps the outputs of earlier runs visible; otherwise a new run starts from a clean page.
    """

    worker: str = ""
    entry: str = ""
    continues: bool = False
    initial_iteration: int = 0
    machine: dict[str, str] = Field(default_factory=dict)
    force: bool = False


class RunProgressed(RunEvent):
    """How far the run says it is, in percent."""

    progress: int


class RunCompleted(RunEvent):
    """The run ended well."""

    message: str = ""
    force: bool = False


class RunFailed(RunEvent):
    """The run ended badly; `cause` tells the task's own failures from the infrastructure's."""

    reason: str
    message: str = ""
    traceback: str = ""
    exit_code: int | None = None
    cause: Literal["task", "infrastructure"] = "task"
    force: bool = False


class RunStopped(RunEvent):
    """The run was aborted, by a person or by itself."""

    reason: str = ""
    message: str = ""
    force: bool = False


class RunLost(RunEvent):
    """A watcher found the run's worker dead. Counts only while no other worker has started the run."""

    worker: str
    entry: str = ""
    reason: str = ""


class RunPreempted(RunEvent):
    """The run's worker had to go: the run goes back to its queue, neither completed nor failed."""

    worker: str
    reason: str = ""


class EntryLeft(RunEvent):
    """The queue entry is out of its queue without having been taken: a start that names it is void from now on."""

    entry: str
    reason: str = ""


class TaskReset(RunEvent):
    """Back to a draft: outputs of `run` and of all before it are hidden."""

    force: bool = False


class TaskPublished(TasksEvent):
    """The task is final and read-only."""

    message: str = ""


class TaskArchived(TasksEvent):
    """The task is out of sight."""


class TaskUnarchived(TasksEvent):
    """The task is back in sight."""


class TaskDeleted(TasksEvent):
    """The task is gone from every view but the audit."""

    reason: str = ""


class ArtifactUploaded(RunEvent):
    """An artifact is in the blob store; the same name again replaces it."""

    artifact: Artifact


class ArtifactDeleted(RunEvent):
    """An artifact is no longer listed."""

    name: str


class ModelSaved(RunEvent):
    """A model was written, registered or changed: the whole record; the same id again replaces it.

    `task` is the model's own id where no task stands behind it (an imported model).
    """

    model: Model


class ModelAttached(RunEvent):
    """The run uses a model that exists elsewhere as input, under a name of its own."""

    model_id: str
    name: str


class ModelDeleted(RunEvent):
    """A model is no longer listed."""

    model_id: str
