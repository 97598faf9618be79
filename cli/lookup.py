"""Tasks, queues and statuses by what people type: ids, unique beginnings of ids, names; near matches when unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ..dashboard.columns import ChosenColumn, column_named, known_names
from ..dashboard.formatting import STATUSES, status_named
from ..projections.rows import TaskFilter, TaskRow
from .errors import AmbiguousError, NotFoundError, near_matches

if TYPE_CHECKING:
    from ..projections.query import Queries
    from ..projections.search_rows import SearchRow

CONTROLLER: Final = "controller"
"""The type of tasks that control a pipeline."""
_WHERE_PIPELINES: Final = "`tasktape pipelines list` shows what there is."
_WHERE_SEARCHES: Final = "`tasktape search list` shows what there is."
_ID_START: Final = re.compile(r"[0-9a-f]{1,32}")
_NAME_START: Final = 200


def find_task(queries: Queries, text: str) -> TaskRow:
    """The task whose id is or begins with `text`, or whose name it is.

    Raises `NotFoundError` with near matches, `AmbiguousError` where it fits more than one task.
    """
    matches = _by_id(queries, text) or _by_name(queries, text)
    if not matches:
        recent = [task.name for task in queries.tasks(TaskFilter(limit=1000))]
        raise NotFoundError("task", text, near_matches(text, recent), "`tasktape tasks list` shows what there is.")
    if len(matches) > 1:
        raise AmbiguousError(text, [task.id for task in matches])
    return matches[0]


def find_pipeline(queries: Queries, text: str) -> TaskRow:
    """The controller of the newest pipeline of this name, or the one whose id is or begins with `text`.

    Raises `NotFoundError` with near matches, also for a task that controls no pipeline, and `AmbiguousError`.
    """
    if named := queries.pipelines(text, limit=1):
        return find_task(queries, named[0].task)
    if not _by_id(queries, text):
        near = near_matches(text, [pipeline.name for pipeline in queries.pipelines(limit=1000)])
        raise NotFoundError("pipeline", text, near, _WHERE_PIPELINES)
    task = find_task(queries, text)
    if task.task_type != CONTROLLER and not queries.pipelines(task=task.id, archived=True):
        raise NotFoundError("pipeline", text, hint=f"The task of this id controls none. {_WHERE_PIPELINES}")
    return task


def find_search(queries: Queries, text: str) -> SearchRow:
    """The newest search of this name, or the one whose controller's id is or begins with `text`.

    Raises `NotFoundError` with near matches, also for a task that controls no search, and `AmbiguousError`.
    """
    if named := queries.searches(text, limit=1):
        return named[0]
    if not _by_id(queries, text):
        near = near_matches(text, [search.name for search in queries.searches(limit=1000)])
        raise NotFoundError("search", text, near, _WHERE_SEARCHES)
    if found := queries.searches(task=find_task(queries, text).id, archived=True):
        return found[0]
    raise NotFoundError("search", text, hint=f"The task of this id controls none. {_WHERE_SEARCHES}")


def _by_id(queries: Queries, text: str) -> list[TaskRow]:
    start = text.strip().lower()
    if not _ID_START.fullmatch(start):
        return []
    exact = queries.task(start)
    return [exact] if exact else queries.tasks(TaskFilter(patterns=((("id",), f"^{start}"),), limit=20))


def _by_name(queries: Queries, text: str) -> list[TaskRow]:
    pattern = "^" + re.escape(text[:_NAME_START])
    return [task for task in queries.tasks(TaskFilter(name=pattern)) if task.name == text]


def find_queue(queries: Queries, name: str) -> str:
    """The queue of this name; some are always there. Raises `NotFoundError` with near matches."""
    from ..producers.queues import ALWAYS_THERE  # noqa: PLC0415  the SDK is for those who need it

    names = {*ALWAYS_THERE, *(queue.name for queue in queries.queues())}
    if name not in names:
        raise NotFoundError("queue", name, near_matches(name, names), "`tasktape queues create` makes one.")
    return name


def find_statuses(texts: Iterable[str]) -> tuple[str, ...]:
    """Statuses by name or label. Raises `NotFoundError` for others."""
    return tuple(_status(text) for text in texts)


def _status(text: str) -> str:
    status = status_named(text)
    if status is None:
        raise NotFoundError("status", text, near_matches(text, STATUSES), f"Known are {', '.join(STATUSES)}.")
    return status


def find_columns(queries: Queries, texts: Iterable[str]) -> list[ChosenColumn]:
    """Columns by name. Raises `NotFoundError` with near matches for what is no field, parameter or metric."""
    wanted = [text.strip() for text in texts if text.strip()]
    if not wanted:
        return []
    parameters, metrics = queries.parameter_names(), queries.metric_names()
    found = [column_named(text, parameters, metrics) for text in wanted]
    for text, column in zip(wanted, found, strict=True):
        if column is None:
            near = near_matches(text.partition(":")[0], known_names(parameters, metrics))
            raise NotFoundError("column", text, near, "Columns are fields, parameters and metrics (loss/train:min).")
    return [column for column in found if column is not None]
