"""Chosen columns of a task table by the names people give them: fields, `General/lr`, `validation/accuracy:max`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Sequence
from typing import Any, Final

from ..projections.rows import AGGREGATES, MetricColumn, ParameterColumn, TaskRow
from .formatting import number

FIELDS: Final = tuple(field.name for field in dataclasses.fields(TaskRow))

ChosenColumn = str | ParameterColumn | MetricColumn
"""A field of `TaskRow` by name, a parameter, or a metric."""
Task = dict[str, Any]
"""Fields of a `TaskRow` by name, and chosen columns as `c0`, `c1` and so on, or by their names."""


def column_named(text: str, parameters: Collection[str], metrics: Collection[tuple[str, str]]) -> ChosenColumn | None:
    """Column a text names, None if there is no such field, parameter or metric.

    A metric is `title/series`, or `title/series:min` for another summary than the last value. Fields win over
    parameters, parameters over metrics; titles may hold slashes and colons.
    """
    if text in FIELDS:
        return text
    if text in parameters:
        return ParameterColumn(text)
    by_name = {f"{title}/{series}": (title, series) for title, series in metrics}
    if text in by_name:
        return MetricColumn(*by_name[text])
    name, _, suffix = text.rpartition(":")
    aggregate = next((known for known in AGGREGATES if known == suffix), None)
    return MetricColumn(*by_name[name], aggregate) if aggregate and name in by_name else None


def column_name(column: ChosenColumn) -> str:
    """Name of a column, which `column_named` understands."""
    if isinstance(column, str):
        return column
    if isinstance(column, ParameterColumn):
        return column.name
    suffix = "" if column.aggregate == "last" else f":{column.aggregate}"
    return f"{column.title}/{column.series}{suffix}"


def known_names(parameters: Sequence[str], metrics: Sequence[tuple[str, str]]) -> list[str]:
    """All names that `column_named` understands, without those of other summaries."""
    return [*FIELDS, *parameters, *(f"{title}/{series}" for title, series in metrics)]


def parameter_value(value: str) -> object:
    """Value of a parameter's JSON text; a text that is no JSON stands for itself."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def shown_parameter(value: str) -> str:
    """A parameter's JSON text as people read it: strings without quotes, unless they look like something else."""
    decoded = parameter_value(value)
    if not isinstance(decoded, str):
        return value
    looks_typed = not isinstance(parameter_value(decoded), str) or not decoded.strip()
    return value if looks_typed else decoded


def shown_cell(column: ChosenColumn, value: object) -> str:
    """A cell of a parameter's or metric's column."""
    if value is None:
        return ""
    return shown_parameter(str(value)) if isinstance(column, ParameterColumn) else number(float(str(value)))
