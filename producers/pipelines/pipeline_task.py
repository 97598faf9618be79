"""The task that controls a pipeline: where it is kept, what it is called, which version it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...events.errors import LogUnavailableError
from ..types import TaskTypes

if TYPE_CHECKING:
    from ..task import Task

SECTION: Final = ".pipelines"
TAG: Final = "pipeline"
FIRST_VERSION: Final = "1.0.0"
_VERSION: Final = "version"


@dataclass(frozen=True)
class Identity:
    """What a pipeline was named. All runs of one are in one project, which lies below that of the user's choice."""

    name: str
    project: str
    version: str | None = None
    bumps_version: bool = False
    counts_runs: bool = True

    @property
    def folder(self) -> str:
        """The project of its runs and, if not told otherwise, of its steps."""
        return f"{self.project}/{SECTION}/{self.name}"


def pipeline_task(identity: Identity) -> Task:
    """Return this process's task as the controller of a pipeline; a new one unless there is one already."""
    from ..task import Task  # noqa: PLC0415  the pipeline is a part of what that offers

    current = Task.current_task()
    if current is not None:
        _mark(current)
        return current
    task = Task.init(
        identity.folder,
        identity.name,
        task_type=TaskTypes.controller,
        reuse_last_task_id=False,
        auto_resource_monitoring=False,
    )
    if Task.running_locally():
        _name(task, identity)
    return task


def version_of(task: Task) -> str:
    """The version noted with a pipeline's task; empty where there is none."""
    return str(task.get_user_properties(value_only=True).get(_VERSION, ""))


def set_version(task: Task, version: str) -> None:
    """Note the version with a pipeline's task."""
    task.set_user_properties(**{_VERSION: version})


def is_pipeline(task: Task) -> bool:
    """Whether a task controls a pipeline."""
    return TAG in task.get_system_tags()


def _mark(task: Task) -> None:
    if not is_pipeline(task):
        task.set_system_tags([*task.get_system_tags(), TAG])


def _name(task: Task, identity: Identity) -> None:
    """Mark the task as a pipeline, number the run, and note the version."""
    _mark(task)
    earlier = _earlier(task, identity)
    if identity.counts_runs:
        task.rename(f"{identity.name} #{len(earlier) + 1}")
    version = identity.version or (version_of(earlier[0]) if earlier else "") or FIRST_VERSION
    if identity.bumps_version and any(version_of(other) == version for other in earlier):
        version = bumped(max((version_of(other) for other in earlier), key=_order))
    set_version(task, version)


def _earlier(task: Task, identity: Identity) -> list[Task]:
    """Earlier runs of the pipeline, the latest first; none where the log does not answer."""
    newest_first: dict[str, Any] = {"order_by": ["-created"], "system_tags": [TAG]}
    try:
        found = type(task).get_tasks(project_name=identity.folder, task_filter=newest_first)
    except LogUnavailableError:
        return []
    return [other for other in found if other.id != task.id]


def bumped(version: str) -> str:
    """The version that follows: its last number is one larger."""
    head, number = re.fullmatch(r"(.*?)(\d*)", version, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{head}{int(number) + 1}" if number else f"{version}.1"


def _order(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
