"""What the trials of a search have reported of its objectives, from their events as they come. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from ...events.base import TaskEvent
from ...events.report_events import ScalarsReported, SingleValueReported
from ...events.scalars import columns_of
from ...events.search_events import Objective

SUMMARY: Final = "Summary"
"""Title under which ClearML shows single values: an objective may be one."""

_LISTED: Final = 8
Name = tuple[str, str]


class Point(NamedTuple):
    """A value that a trial's task has reported."""

    task: str
    iteration: int
    value: float


@dataclass(slots=True)
class Seen:
    """One series of one trial: its last value by iteration, and the extremes of all. NaNs do not count."""

    iteration: int
    last: float
    least: float
    most: float

    def add(self, iteration: int, value: float) -> None:
        """Take in another value."""
        if iteration >= self.iteration:
            self.iteration, self.last = iteration, value
        self.least, self.most = min(self.least, value), max(self.most, value)

    def value(self, sign: str) -> float:
        """The value that counts for an objective of this sign."""
        return {"min_global": self.least, "max_global": self.most}.get(sign, self.last)


class Board:
    """Values of the objectives by trial's task."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._objectives = list(objectives)
        self._wanted = {(one.title, one.series) for one in objectives}
        self._seen: dict[tuple[str, str, str], Seen] = {}
        self._reported: dict[Name, None] = {}
        self._first: list[Point] = []

    def apply(self, event: TaskEvent) -> None:
        """Take in what a trial has reported."""
        for name, iteration, value in _points(event):
            self._reported[name] = None
            if name in self._wanted and not math.isnan(value):
                self._add(event.task, name, iteration, value)

    def _add(self, task: str, name: Name, iteration: int, value: float) -> None:
        known = self._seen.get((task, *name))
        if known is None:
            self._seen[task, *name] = Seen(iteration, value, value, value)
        else:
            known.add(iteration, value)
        if name == (self._objectives[0].title, self._objectives[0].series):
            self._first.append(Point(task, iteration, value))

    @property
    def points(self) -> Sequence[Point]:
        """Values of the first objective that were not taken yet, as they came."""
        return self._first

    def take(self) -> Sequence[Point]:
        """Return those values, each once: pruners compare trials at the same iteration, so that all of them count."""
        taken, self._first = self._first, []
        return taken

    def values(self, task: str) -> list[float]:
        """Values of all objectives; empty where one is missing."""
        found = [self._seen.get((task, one.title, one.series)) for one in self._objectives]
        return (
            [seen.value(one.sign) for seen, one in zip(found, self._objectives, strict=True) if seen]
            if all(found)
            else []
        )

    def iteration(self, task: str) -> int:
        """The last iteration of any objective; 0 where there is none."""
        found = (self._seen.get((task, *name)) for name in self._wanted)
        return max((seen.iteration for seen in found if seen), default=0)

    @property
    def missing(self) -> str:
        """Which objectives nobody has ever reported, be it as NaN, and what was reported; empty where all were."""
        lacking = [
            f"{one.title}/{one.series}" for one in self._objectives if (one.title, one.series) not in self._reported
        ]
        if not lacking:
            return ""
        found = sorted(f"{title}/{series}" for title, series in self._reported if not title.startswith(":monitor:"))
        listed = ", ".join(found[:_LISTED]) + (" …" if len(found) > _LISTED else "") or "nothing"
        return f"no trial has reported {' and '.join(lacking)}; they reported {listed}"


def _points(event: TaskEvent) -> Iterator[tuple[Name, int, float]]:
    if isinstance(event, SingleValueReported):
        yield (SUMMARY, event.name), 0, event.value
    elif isinstance(event, ScalarsReported):
        columns = columns_of(event)
        for place, number in enumerate(columns.index):
            yield columns.series[number], int(columns.steps[place]), float(columns.values[place])
