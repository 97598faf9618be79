"""Rows for the audit: every event with what was made of it, and every record that could not be read."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from ..events.base import Event
from ..events.report_events import ConsoleWritten, PlotReported, TextReported

if TYPE_CHECKING:
    from ..events.errors import DecodeError
    from ..events.log.port import LogRecord
    from ..events.scalars import ScalarColumns
    from .arrival import Arrival
    from .tables import Row
    from .verdict import Verdict

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
"""Where an object of the decoder's lay in memory: the one part of an error that is not a function of the record."""


def event_row(arrival: Arrival, verdict: Verdict) -> Row:
    """Return the row of an event."""
    meta = arrival.meta
    return (
        arrival.topic,
        arrival.partition,
        arrival.offset,
        arrival.us,
        arrival.at,
        arrival.type,
        arrival.key,
        meta.actor,
        meta.session,
        meta.seq,
        verdict.kind,
        verdict.reason,
        body(arrival.event),
    )


def dead_letter_row(record: LogRecord, error: DecodeError) -> Row:
    """Return the row of a record that could not be read."""
    value = b"" if record.value is None else record.value
    return (*record.source, record.offset, record.timestamp, record.key, _ADDRESS.sub("", str(error)), value)


def body(event: Event | ScalarColumns) -> str:
    """Return an event as JSON; what has a table of its own is replaced by its size."""
    if not isinstance(event, Event):
        return json.dumps({"task": event.task, "run": event.run, "series": len(event.series), "points": len(event)})
    if isinstance(event, ConsoleWritten):
        return json.dumps({"task": event.task, "run": event.run, "lines": len(event.lines)})
    if isinstance(event, PlotReported):
        return _without(event, "figure", len(event.figure))
    if isinstance(event, TextReported):
        return _without(event, "text", len(event.text))
    return event.model_dump_json(exclude={"meta"})


def _without(event: Event, field: str, size: int) -> str:
    rest = event.model_dump(mode="json", exclude={"meta", field})
    return json.dumps(rest | {f"{field}_length": size}, ensure_ascii=False)
