"""Folds what each run has reported into its last iteration and the time of its last report, whatever the topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..events.base import Event
from ..events.report_events import ReportEvent
from .verdict import ACCEPTED, Verdict

if TYPE_CHECKING:
    from ..events.scalars import ScalarColumns
    from .arrival import Arrival
    from .tables import Tables

MONITOR_PREFIX: Final = ":monitor:"
"""Titles of the machine's load: reported by the clock, they say nothing of the training's progress."""


class OutputTables:
    """Runs that reported in one batch. Greatest values alone are kept, so the order of topics does not matter."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[int | None, int]] = {}
        self._changed: set[tuple[str, int]] = set()

    def load(self, tables: Tables, arrivals: Sequence[Arrival]) -> None:
        """Read the runs of these events' tasks."""
        tasks = {(arrival.key,) for arrival in arrivals}
        rows = tables.select("outputs", tasks, by=("task",))
        self._known = {(task, run): (iteration, at) for task, run, iteration, at in rows}
        self._changed = set()

    def apply(self, arrival: Arrival) -> Verdict:
        """Take in one report."""
        run = getattr(arrival.event, "run", None)
        if run is not None:
            key = (arrival.key, run)
            before, at = self._known.get(key, (None, arrival.at))
            iterations = [known for known in (before, _iteration(arrival.event)) if known is not None]
            self._known[key] = (max(iterations, default=None), max(at, arrival.at))
            self._changed.add(key)
        return ACCEPTED

    def save(self, tables: Tables) -> None:
        """Write the runs that reported."""
        tables.replace("outputs", [(*key, *self._known[key]) for key in sorted(self._changed)])


def _iteration(event: Event | ScalarColumns) -> int | None:
    """Return the largest iteration an event speaks of."""
    if isinstance(event, Event):
        return event.iteration if isinstance(event, ReportEvent) else None
    counting = [place for place, (title, _) in enumerate(event.series) if not title.startswith(MONITOR_PREFIX)]
    if len(counting) == len(event.series):
        return int(event.steps.max()) if len(event) else None
    steps = [event.steps[event.index == place] for place in counting]
    return max((int(found.max()) for found in steps if len(found)), default=None)
