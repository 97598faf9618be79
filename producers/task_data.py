"""`task.data`: a task as the projection has it, under the names that ClearML's server gives its fields."""

from __future__ import annotations

from collections.abc import Callable
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
