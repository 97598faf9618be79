"""Finding tasks: by id, by project and name, by tags and ClearML's filters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, overload

from .errors import InvalidArgumentError, UnknownTaskError
from .session import current_session, process
from .tag_filter import TagFilter, tag_filter
from .task_data import FIELDS, TaskData, field_of
from .task_waiting import WaitingMixin
from .warn import LOGGER

if TYPE_CHECKING:
    from ..events.parts import TaskSpec
    from ..projections.rows import TaskFilter, TaskRow

Pattern = tuple[tuple[str, ...], str]
"""Fields, one of which has to match a regular expression."""

MOST_TASKS: Final = 500
_NOT_ARCHIVED: Final = "-archived"
_KNOWN: Final = frozenset(
    {
        *("_all_", "_any_", "id", "name", "only_fields", "order_by", "page", "page_size", "parent", "project"),
        *("search_hidden", "search_text", "status", "system_tags", "tags", "type", "user"),
    }
)


class QueriesMixin(WaitingMixin):
    """Tasks are found in the projection, with all that this process has said in it."""

    @overload
    @classmethod
    def get_task(
        cls,
        task_id: str,
        project_name: str | None = None,
        task_name: str | None = None,
        tags: Sequence[str] | None = None,
        allow_archived: bool = True,
        task_filter: Mapping[str, Any] | None = None,
    ) -> Self: ...

    @overload
    @classmethod
    def get_task(
        cls,
        task_id: None = None,
        project_name: str | None = None,
        task_name: str | None = None,
        tags: Sequence[str] | None = None,
        allow_archived: bool = True,
        task_filter: Mapping[str, Any] | None = None,
    ) -> Self | None: ...

    @classmethod
    def get_task(
        cls,
        task_id: str | None = None,
        project_name: str | None = None,
        task_name: str | None = None,
        tags: Sequence[str] | None = None,
        allow_archived: bool = True,
        task_filter: Mapping[str, Any] | None = None,
    ) -> Self | None:
        """Return a task by its id, or the latest that has this project and name; None where there is none.

        Args:
            task_id: The id; with it nothing else counts.
            project_name: The project's exact name.
            task_name: The task's exact name.
            tags: See `get_tasks`.
            allow_archived: Whether archived tasks count, where there are no others.
            task_filter: See `get_tasks`.

        Raises:
            UnknownTaskError: There is no task with this id; also a `ValueError`.

        """
        if task_id:
            return cls._by_id(task_id)
        wanted = _wanted(project_name, f"^{re.escape(task_name)}$" if task_name else None, task_filter)
        wanted = replace(wanted, include_archived=allow_archived and wanted.include_archived)
        rows = _find(wanted, wanted_tags(tags, task_filter), task_filter)
        rows = [row for row in rows if task_name is None or row.name == task_name]
        best = next((row for row in rows if not row.archived), rows[0] if rows else None)
        return cls._of(best) if best else None

    @classmethod
    def get_tasks(
        cls,
        task_ids: Sequence[str] | None = None,
        project_name: Sequence[str] | str | None = None,
        task_name: str | None = None,
        tags: Sequence[str] | None = None,
        allow_archived: bool = True,
        task_filter: Mapping[str, Any] | None = None,
    ) -> list[Self]:
        """Return tasks, the latest changed first, 500 at the most (`query_tasks` returns all ids).

        Args:
            task_ids: Ids; with them nothing else counts.
            project_name: Exact name of a project, or several.
            task_name: A regular expression searched for in the name.
            tags: Tags joined by *or*, `"-tag"` excludes; `"__$all"`, `"__$any"`, `"__$not"` group those that follow.
            allow_archived: Whether archived tasks count.
            task_filter: Further conditions by ClearML's names: `status`, `type`, `user`, `parent`, `system_tags`,
                `search_text`, `order_by`, `page`, `page_size`, and `_all_` and `_any_` with `fields` and `pattern`.

        Raises:
            UnknownTaskError: There is no task with one of these ids; also a `ValueError`.
            InvalidArgumentError: `task_filter` has a key that means nothing.

        """
        if task_ids:
            return [cls._by_id(task_id) for task_id in ([task_ids] if isinstance(task_ids, str) else task_ids)]
        wanted = _wanted(project_name, task_name, task_filter)
        wanted = replace(wanted, include_archived=allow_archived and wanted.include_archived)
        rows = _find(wanted, wanted_tags(tags, task_filter), task_filter)
        if len(rows) > MOST_TASKS:
            LOGGER.warning(
                "%d tasks match, the first %d are returned: query_tasks gives all.",
                len(rows),
                MOST_TASKS,
                extra={"action": "tasks_cut_short"},
            )
        return [cls._of(row) for row in rows[:MOST_TASKS]]

    @classmethod
    def query_tasks(
        cls,
        project_name: Sequence[str] | str | None = None,
        task_name: str | None = None,
        tags: Sequence[str] | None = None,
        additional_return_fields: Sequence[str] | None = None,
        task_filter: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        """Return the ids of all tasks that match, as for `get_tasks`.

        Args:
            project_name: See `get_tasks`.
            task_name: See `get_tasks`.
            tags: See `get_tasks`.
            additional_return_fields: Return dicts with these fields and `id` instead.
            task_filter: See `get_tasks`.

        """
        wanted = _wanted(project_name, task_name, task_filter)
        rows = _find(wanted, wanted_tags(tags, task_filter), task_filter)
        if not additional_return_fields:
            return [row.id for row in rows]
        fields = ("id", *additional_return_fields)
        return [{field: field_of(data, field) for field in fields} for data in _data(rows).values()]

    @classmethod
    def get_by_name(cls, task_name: str) -> Self | None:
        """Return the latest task of this name in any project."""
        return cls.get_task(task_name=task_name)

    @classmethod
    def current_task(cls) -> Self | None:
        """Return the task that `Task.init` began in this process or the one that started it; None without one."""
        if process.task is None:
            cls._join_parent()
        return process.task if isinstance(process.task, cls) else None

    @classmethod
    def get_projects(cls, **kwargs: Any) -> list[Any]:
        """Return all projects by name: rows with `name`, `id`, number of `tasks` by status."""
        del kwargs
        with current_session().queries() as queries:
            return list(queries.projects())

    @classmethod
    def get_project_id(cls, project_name: str, search_hidden: bool = True) -> str | None:
        """Return the id of a project, which is its name; None where no task is in it."""
        del search_hidden
        return next((row.name for row in cls.get_projects() if row.name == project_name), None)

    @classmethod
    def _by_id(cls, task_id: str) -> Self:
        if isinstance(process.task, cls) and process.task.id == task_id:
            return process.task
        with current_session().queries() as queries:
            row = queries.task(task_id)
        if row is None:
            raise UnknownTaskError(task_id)
        return cls._of(row)

    @classmethod
    def _of(cls, row: TaskRow) -> Self:
        if isinstance(process.task, cls) and process.task.id == row.id:
            return process.task
        return cls(row.id, row=row)

    @classmethod
    def _join_parent(cls, timeout: float = 0.0) -> None:
        raise NotImplementedError


def wanted_tags(tags: Sequence[str] | None, conditions: Mapping[str, Any] | None) -> TagFilter:
    """The condition on tags of both arguments that may have one."""
    return tag_filter([*(tags or ()), *((conditions or {}).get("tags") or ())])


def _wanted(
    projects: Sequence[str] | str | None,
    name: str | None,
    conditions: Mapping[str, Any] | None,
) -> TaskFilter:
    from ..projections.rows import TaskFilter  # noqa: PLC0415  for those who ask

    given = dict(conditions or {})
    if unknown := sorted(given.keys() - _KNOWN):
        raise InvalidArgumentError(f"task_filter has no {unknown[0]!r}; known are {', '.join(sorted(_KNOWN))}.")
    system = _listed(given.get("system_tags"))
    size = int(given["page_size"]) if given.get("page_size") else None
    return TaskFilter(
        ids=tuple(_listed(given.get("id"))),
        projects=tuple(_listed(projects) or _listed(given.get("project"))),
        name=name or given.get("name") or "",
        text=given.get("search_text") or "",
        patterns=tuple(pattern for pattern in _patterns(given) if not _is_of_script(pattern)),
        statuses=tuple(str(status) for status in _listed(given.get("status"))),
        types=tuple(str(kind) for kind in _listed(given.get("type"))),
        users=tuple(_listed(given.get("user"))),
        parents=tuple(_listed(given.get("parent"))),
        any_system_tags=tuple(tag for tag in system if not tag.startswith(("-", "__$"))),
        no_system_tags=tuple(tag[1:] for tag in system if tag.startswith("-") and tag != _NOT_ARCHIVED),
        include_archived=_NOT_ARCHIVED not in system,
        order_by=tuple(_ours(name) for name in _listed(given.get("order_by"))) or ("-updated_at",),
        limit=size,
        offset=(size or 0) * int(given.get("page") or 0),
    )


def _patterns(given: Mapping[str, Any]) -> Iterable[Pattern]:
    """Pairs of fields and pattern: one of the fields must match; `_all_` gives a pair for each of its fields."""
    if found := given.get("_all_"):
        yield from (((_ours(name),), found["pattern"]) for name in found["fields"])
    if found := given.get("_any_"):
        yield tuple(_ours(name) for name in found["fields"]), found["pattern"]


def _ours(name: str) -> str:
    sign = "-" if name.startswith("-") else ""
    bare = name.removeprefix("-")
    return sign + FIELDS.get(bare, bare)


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _is_of_script(pattern: Pattern) -> bool:
    return any(field.startswith("script.") for field in pattern[0])


def _find(wanted: TaskFilter, tags: TagFilter, conditions: Mapping[str, Any] | None) -> list[TaskRow]:
    """Tasks that match; the projection does not know what to make of tags in groups, nor of fields of the script."""
    patterns = [pattern for pattern in _patterns(conditions or {}) if _is_of_script(pattern)]
    everything = bool(tags.groups or patterns)
    with current_session().queries() as queries:
        rows = queries.tasks(replace(wanted, limit=None, offset=0) if everything else wanted)
    if not everything:
        return rows
    rows = [row for row in rows if tags.matches(row.tags)]
    if patterns:
        found = _data(rows)
        rows = [row for row in rows if all(_matches(found[row.id], pattern) for pattern in patterns)]
    return rows[wanted.offset :][: wanted.limit]


def _matches(data: TaskData, pattern: Pattern) -> bool:
    fields, regex = pattern
    try:
        return any(re.search(regex, str(field_of(data, field) or ""), re.IGNORECASE) for field in fields)
    except re.error as error:
        raise InvalidArgumentError(f"{regex!r} is no regular expression: {error}.") from error


def _data(rows: Iterable[TaskRow]) -> dict[str, TaskData]:
    with current_session().queries() as queries:
        found = {row.id: (row, queries.spec(row.id)) for row in rows}
    return {task: TaskData(row, partial(_there, task, spec)) for task, (row, spec) in found.items()}


def _there(task: str, spec: TaskSpec | None) -> TaskSpec:
    if spec is None:
        raise UnknownTaskError(task)
    return spec
