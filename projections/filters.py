"""From filters to what queries bind: nothing of a user's ever becomes part of a statement."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from ..events.base import to_us
from .errors import QueryError
from .rows import Column, MetricColumn, ModelFilter, ParameterColumn, TaskFilter, TaskRow

ORDER_FIELDS: Final = frozenset(field.name for field in fields(TaskRow))
PATTERN_FIELDS: Final = frozenset({"id", "name", "project", "comment", "user", "tags"})
COLUMN_ORDER: Final = ("sort_number", "sort_text")
_LISTS: Final = (
    "ids",
    "projects",
    "any_tags",
    "all_tags",
    "no_tags",
    "any_system_tags",
    "no_system_tags",
    "statuses",
    "types",
    "users",
    "parents",
)


def task_values(wanted: TaskFilter | None, *, paged: bool = False) -> dict[str, Any]:
    """Return the values of the block `matching`; `paged` adds those of order, limit and offset."""
    wanted = wanted or TaskFilter()
    values: dict[str, Any] = {name: list(getattr(wanted, name)) for name in _LISTS}
    values |= {name: getattr(wanted, name) for name in ("name", "text", "subprojects", "include_archived")}
    values["updated_after"] = None if wanted.updated_after is None else to_us(wanted.updated_after)
    values["patterns"] = [_pattern(names, regex) for names, regex in wanted.patterns]
    if paged:
        values |= {"limit": wanted.limit, "offset": wanted.offset, **_sort_values(wanted.order_column)}
    return values


def _pattern(names: tuple[str, ...], regex: str) -> dict[str, Any]:
    if unknown := set(names) - PATTERN_FIELDS:
        known = ", ".join(sorted(PATTERN_FIELDS))
        raise QueryError(f"{min(unknown)!r} is no field to search in. Use one of {known}.")
    return {"fields": list(names), "regex": regex}


def _sort_values(column: Column | None) -> dict[str, str]:
    if isinstance(column, ParameterColumn):
        return {"sort_kind": "parameter", "sort_name": column.name, "sort_series": "", "sort_aggregate": ""}
    if isinstance(column, MetricColumn):
        return {
            "sort_kind": "metric",
            "sort_name": column.title,
            "sort_series": column.series,
            "sort_aggregate": column.aggregate,
        }
    return {"sort_kind": "", "sort_name": "", "sort_series": "", "sort_aggregate": ""}


def order_of(wanted: TaskFilter) -> list[str]:
    """Return the columns to sort by, a leading `-` for descending. Raises `QueryError` for an unknown one."""
    sign = "-" if wanted.descending else ""
    by_column = [sign + name for name in COLUMN_ORDER] if wanted.order_column is not None else []
    for name in wanted.order_by:
        if name.removeprefix("-") not in ORDER_FIELDS:
            raise QueryError(f"tasks have no {name.removeprefix('-')!r} to sort by.")
    return [*by_column, *wanted.order_by, "id"]


def model_values(wanted: ModelFilter) -> dict[str, Any]:
    """Return the values of the query `models`."""
    lists = ("ids", "projects", "any_tags", "all_tags", "no_tags")
    plain = ("task", "direction", "name", "only_published", "include_archived", "limit")
    values: dict[str, Any] = {name: list(getattr(wanted, name)) for name in lists}
    values |= {name: getattr(wanted, name) for name in plain}
    values["metadata"] = [{"key": key, "value": value} for key, value in wanted.metadata]
    return values
