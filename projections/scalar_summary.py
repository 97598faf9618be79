"""Summaries of many points at once: per group count, sum, first, last, least and greatest, with NumPy.

The same points give the same numbers however they are cut into batches: sums go on one by one from where they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events.scalars import Floats, Ints


@dataclass(slots=True)
class Summary:
    """A series of one run so far. NaNs count, but are no `valid` ones; without those there is no `min` or `max`.

    `first` is the earliest report at the smallest step, `last` the latest at the largest; `min_step` and `max_step` are
    those of the earliest report of the value.
    """

    count: int = 0
    valid: int = 0
    total: float = 0.0
    first: float = np.nan
    first_step: int = 0
    last: float = np.nan
    last_step: int = 0
    min: float | None = None
    min_step: int | None = None
    max: float | None = None
    max_step: int | None = None
    last_us: int = 0

    def add(self, later: Summary) -> None:
        """Take in the summary of later points, whose `total` goes on from this one's."""
        if not self.count or later.first_step < self.first_step:
            self.first, self.first_step = later.first, later.first_step
        if not self.count or later.last_step >= self.last_step:
            self.last, self.last_step, self.last_us = later.last, later.last_step, later.last_us
        if later.min is not None and (self.min is None or later.min < self.min):
            self.min, self.min_step = later.min, later.min_step
        if later.max is not None and (self.max is None or later.max > self.max):
            self.max, self.max_step = later.max, later.max_step
        self.count += later.count
        self.valid += later.valid
        self.total = later.total


@dataclass(frozen=True, slots=True)
class Points:
    """Points in the order of the log; `group` numbers their series from 0 without gaps. Times in µs."""

    group: Ints
    steps: Ints
    times: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.group)


class _Sorted:
    """Points by group, in the order of the log within each."""

    def __init__(self, points: Points, groups: int) -> None:
        order = np.argsort(points.group, kind="stable")
        self.group = points.group[order]
        self.steps = points.steps[order]
        self.times = points.times[order]
        self.values = points.values[order]
        self.numbers = np.arange(groups)
        self.starts = np.searchsorted(self.group, self.numbers)

    def earliest_least(self, key: npt.NDArray[np.generic], among: npt.NDArray[np.bool_] | None = None) -> Ints:
        """Place of each group's earliest point with the least key; any place for a group with no point `among` them."""
        least = np.minimum.reduceat(key, self.starts)
        hits = np.flatnonzero((key == least[self.group]) & (True if among is None else among))
        places = np.searchsorted(self.group[hits], self.numbers)
        return hits[np.minimum(places, len(hits) - 1)] if len(hits) else np.zeros_like(self.starts)

    def latest_greatest_step(self) -> Ints:
        greatest = np.maximum.reduceat(self.steps, self.starts)
        hits = np.flatnonzero(self.steps == greatest[self.group])
        places = np.searchsorted(self.group[hits], self.numbers, side="right")
        return hits[places - 1]


def summarise(points: Points, totals: Sequence[float]) -> list[Summary]:
    """Return each group's summary; sums start from `totals`. Every group must have a point."""
    groups = len(totals)
    by_group = _Sorted(points, groups)
    known = ~np.isnan(by_group.values)
    counts = np.bincount(by_group.group, minlength=groups)
    valid = np.bincount(by_group.group[known], minlength=groups)
    first, last = by_group.earliest_least(by_group.steps), by_group.latest_greatest_step()
    least = by_group.earliest_least(np.where(known, by_group.values, np.inf), known)
    greatest = by_group.earliest_least(-np.where(known, by_group.values, -np.inf), known)
    columns = (
        counts,
        valid,
        _sums(points, totals),
        by_group.values[first],
        by_group.steps[first],
        by_group.values[last],
        by_group.steps[last],
        by_group.values[least],
        by_group.steps[least],
        by_group.values[greatest],
        by_group.steps[greatest],
        by_group.times[last],
    )
    return [_summary(row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _sums(points: Points, totals: Sequence[float]) -> Floats:
    """Sums per group that go on from `totals`: `bincount` adds its weights one by one, in order."""
    values = np.where(np.isnan(points.values), 0.0, points.values)
    groups = np.concatenate((np.arange(len(totals)), points.group))
    return np.bincount(groups, weights=np.concatenate((np.asarray(totals, np.float64), values))).astype(np.float64)


def _summary(row: tuple[int | float, ...]) -> Summary:
    count, valid, total, first, first_step, last, last_step, *extremes, last_us = row
    least, min_step, greatest, max_step = extremes if valid else (None, None, None, None)
    return Summary(
        int(count),
        int(valid),
        total,
        first,
        int(first_step),
        last,
        int(last_step),
        least,
        None if min_step is None else int(min_step),
        greatest,
        None if max_step is None else int(max_step),
        int(last_us),
    )
