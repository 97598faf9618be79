"""`task.data`: a task as the projection has it, under the names that ClearML's server gives its fields."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..events.parts import TaskSpec
    from ..projections.rows import TaskRow

FIELDS: Final = {
    "type": "task_type",
    "created": "created_at",
    "started": "started_at",
    "completed": "ended_at",
    "last_update": "updated_at",
    "last_change": "updated_at",
    "status_changed": "updated_at",
    "last_worker": "worker",
}
"""ClearML's names of fields, where ours differ."""


class TaskData:
    """Fields of `TaskRow` and of `TaskSpec`, by our names and by ClearML's; as they were when it was made."""

    def __init__(self, row: TaskRow, spec: Callable[[], TaskSpec]) -> None:
        self._row = row
        self._spec = spec

    def __getattr__(self, name: str) -> Any:
        ours = FIELDS.get(name, name)
        return getattr(self._row, ours) if hasattr(self._row, ours) else getattr(self._spec(), ours)

    def __repr__(self) -> str:
        return repr(self._row)


def remembered(task: str, run: int, spec: TaskSpec, status: str, progress: int, last_iteration: int) -> TaskRow:
    """A task's row as the process that runs it knows it; what only the log knows, such as times, is as of now."""
    from ..projections.rows import TaskRow  # noqa: PLC0415  for those who ask

    now = datetime.now(UTC)
    return TaskRow(
        id=task,
        project=spec.project,
        name=spec.name,
        task_type=spec.task_type,
        status=status,
        status_reason="",
        status_message="",
        run=run,
        last_run=run,
        user=spec.user,
        tags=tuple(spec.tags),
        system_tags=tuple(spec.system_tags),
        parent=spec.parent,
        comment=spec.comment,
        progress=progress,
        last_iteration=last_iteration,
        created_at=now,
        started_at=now,
        ended_at=None,
        updated_at=now,
        worker="",
        queue="",
        archived=False,
        published=False,
        output_uri=spec.output_uri,
    )
