"""`task.data`: a task as the projection has it, under the names that ClearML's server gives its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .parameters import text_of, value_of

if TYPE_CHECKING:
    from ..events.parts import Script, TaskSpec
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


class ScriptData:
    """Fields of `Script` by our names and by ClearML's, for which a script that travels whole is its own `diff`."""

    def __init__(self, script: Script) -> None:
        self._script = script

    @property
    def version_num(self) -> str:
        """The commit."""
        return self._script.commit

    @property
    def diff(self) -> str:
        """What is not committed: of a repository the changes, else the whole script."""
        return self._script.diff or self._script.source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._script, name)

    def __repr__(self) -> str:
        return repr(self._script)


class HyperParameter(NamedTuple):
    """A parameter as ClearML's server has it: its value is a text."""

    section: str
    name: str
    value: str
    type: str
    description: str


class TaskData:
    """Fields of `TaskRow` and of `TaskSpec`, by our names and by ClearML's; as they were when it was made."""

    def __init__(self, row: TaskRow, spec: Callable[[], TaskSpec]) -> None:
        self._row = row
        self._spec = spec

    @property
    def script(self) -> ScriptData:
        """What is run."""
        return ScriptData(self._spec().script)

    @property
    def hyperparams(self) -> dict[str, dict[str, HyperParameter]]:
        """Parameters by section and name."""
        found: dict[str, dict[str, HyperParameter]] = {}
        for held in self._spec().parameters:
            section, _, name = held.name.partition("/")
            shown = HyperParameter(section, name, text_of(value_of(held)), held.type, held.description)
            found.setdefault(section, {})[name] = shown
        return found

    @property
    def configuration(self) -> dict[str, Any]:
        """Configuration objects by name, each with its `text`, `type` and `description`."""
        return {held.name: held for held in self._spec().configurations}

    def __getattr__(self, name: str) -> Any:
        ours = FIELDS.get(name, name)
        return getattr(self._row, ours) if hasattr(self._row, ours) else getattr(self._spec(), ours)

    def __repr__(self) -> str:
        return repr(self._row)


def field_of(data: TaskData, path: str) -> Any:
    """A field by ClearML's dotted name; None for one there is not."""
    value: Any = data
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return value


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
