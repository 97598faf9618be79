"""Events of what a task reports: scalars and single values."""

from __future__ import annotations

from datetime import UTC, datetime

from tasktape.events.base import Meta
from tasktape.events.report_events import ScalarsReported, Series, SingleValueReported

_META = Meta(event_id="e", occurred_at=datetime(2026, 1, 1, tzinfo=UTC), actor="a", session="s", seq=0)


def scalars(task: str, *values: float, first: int = 0, title: str = "loss", series: str = "test") -> ScalarsReported:
    """Values of one series, one for each iteration from `first` on."""
    return ScalarsReported(
        meta=_META,
        task=task,
        run=1,
        series=[Series(title=title, series=series)],
        index=[0] * len(values),
        steps=[first, *[1] * (len(values) - 1)],
        times=[0] * len(values),
        values32=[],
        values64=list(values),
    )


def single(task: str, name: str, value: float) -> SingleValueReported:
    """A single value."""
    return SingleValueReported(meta=_META, task=task, run=1, name=name, value=value)
