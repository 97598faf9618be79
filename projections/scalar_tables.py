"""Folds scalars into tables: the points as they are, and a summary of each series of each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ..events.scalars import Floats, Ints, ScalarColumns
from .arrival import FIRST_US, LAST_US
from .scalar_summary import Points, Summary, summarise
from .verdict import ACCEPTED, Verdict, rejected

if TYPE_CHECKING:
    from .arrival import Arrival
    from .tables import Row, Tables

SeriesKey = tuple[int, str, str]
_POINTS: Final = ("group", "steps", "times", "values")


@dataclass(slots=True)
class _Series:
    """One series of one run of a task; `number` counts a task's series in the order of the log."""

    task: str
    number: int
    key: SeriesKey
    summary: Summary

    def row(self) -> Row:
        return (self.task, self.number, *self.key, *astuple(self.summary))


class ScalarTables:
    """Scalars of one batch. `_groups` numbers the series that got points in it."""

    def __init__(self) -> None:
        self._known: dict[str, dict[SeriesKey, _Series]] = {}
        self._groups: dict[tuple[str, int], int] = {}
        self._touched: list[_Series] = []
        self._parts: list[Points] = []

    def load(self, tables: Tables, arrivals: Sequence[Arrival]) -> None:
        """Read the series of these events' tasks."""
        tasks = {arrival.key for arrival in arrivals}
        self._known = {task: {} for task in tasks}
        self._groups, self._touched, self._parts = {}, [], []
        for task, number, run, title, series, *summary in tables.select("series", [(t,) for t in tasks], by=("task",)):
            key = (run, title, series)
            self._known[task][key] = _Series(task, number, key, Summary(*summary))

    def apply(self, arrival: Arrival) -> Verdict:
        """Fold one event's points."""
        columns = arrival.event
        if not isinstance(columns, ScalarColumns):
            return rejected("no scalars")
        used = np.bincount(columns.index, minlength=len(columns.series)) > 0
        groups = [
            self._group(columns.task, (columns.run, *names)) if has_points else -1
            for names, has_points in zip(columns.series, used, strict=True)
        ]
        times = np.clip(columns.times, FIRST_US, LAST_US)
        self._parts.append(Points(np.array(groups, np.int64)[columns.index], columns.steps, times, columns.values))
        return ACCEPTED

    def save(self, tables: Tables) -> None:
        """Write the points, and the summaries they change."""
        if not self._touched:
            return
        points = Points(*(np.concatenate([getattr(part, name) for part in self._parts]) for name in _POINTS))
        later = summarise(points, [series.summary.total for series in self._touched])
        for series, summary in zip(self._touched, later, strict=True):
            series.summary.add(summary)
        tables.replace("series", [series.row() for series in self._touched])
        self._insert(tables, points)

    def _insert(self, tables: Tables, points: Points) -> None:
        tasks = list(self._known)
        places = {task: place for place, task in enumerate(tasks)}
        of_group: Ints = np.array([places[series.task] for series in self._touched], np.int64)
        numbers: Ints = np.array([series.number for series in self._touched], np.int64)
        columns: dict[str, Ints | Floats] = {
            "task": of_group[points.group],
            "number": numbers[points.group],
            "step": points.steps,
            "time": points.times,
            "value": points.values,
        }
        tables.insert_points(columns, tasks)

    def _group(self, task: str, key: SeriesKey) -> int:
        """Number of the series within this batch."""
        known = self._known[task]
        series = known.get(key)
        if series is None:
            series = known[key] = _Series(task, len(known), key, Summary())
        group = self._groups.setdefault((task, series.number), len(self._touched))
        if group == len(self._touched):
            self._touched.append(series)
        return group
