"""Folds what only adds rows: single values, plots, texts, media, console lines, requests to abort and to drain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..events.queue_events import AbortRequested
from ..events.report_events import (
    ConsoleWritten,
    MediaReported,
    PlotReported,
    ReportEvent,
    SingleValueReported,
    TextReported,
)
from ..events.worker_events import DrainRequested
from .arrival import clipped
from .verdict import ACCEPTED, Verdict, rejected

if TYPE_CHECKING:
    from ..events.parts import BlobRef
    from .arrival import Arrival
    from .tables import Row, Tables

PLOTLY = "application/vnd.plotly.v1+json"


class ReportTables:
    """Rows of one batch, by table."""

    def __init__(self) -> None:
        self._rows: defaultdict[str, list[Row]] = defaultdict(list)

    def load(self, tables: Tables, arrivals: Sequence[Arrival]) -> None:  # noqa: ARG002  rows are only added
        """Forget the last batch."""
        self._rows.clear()

    def apply(self, arrival: Arrival) -> Verdict:
        """Take in one report."""
        event = arrival.event
        if isinstance(event, ReportEvent):
            self._rows["reports"].append(_report(event, arrival))
        elif isinstance(event, ConsoleWritten):
            self._rows["console_lines"] += _lines(event, arrival)
        elif isinstance(event, SingleValueReported):
            row = (event.task, event.run, arrival.offset, event.name, event.value, arrival.at)
            self._rows["single_value_reports"].append(row)
        elif isinstance(event, AbortRequested):
            self._rows["abort_requests"].append((event.task, event.run, arrival.offset, event.reason, arrival.at))
        elif isinstance(event, DrainRequested):
            self._rows["drain_requests"].append((event.worker, arrival.offset, event.reason, arrival.at))
        else:
            return rejected("no report")
        return ACCEPTED

    def save(self, tables: Tables) -> None:
        """Write the rows."""
        for table, rows in self._rows.items():
            tables.insert(table, rows)


def _lines(event: ConsoleWritten, arrival: Arrival) -> list[Row]:
    return [
        (event.task, event.run, arrival.offset, index, clipped(line.at), line.stream, line.text)
        for index, line in enumerate(event.lines)
    ]


def _report(event: ReportEvent, arrival: Arrival) -> Row:
    place = (event.task, event.run, arrival.offset)
    heading = (event.title, event.series, event.iteration, arrival.at)
    if isinstance(event, PlotReported):
        return (*place, "plot", *heading, event.figure, PLOTLY, *_blob(event.blob))
    if isinstance(event, TextReported):
        return (*place, "text", *heading, event.text, "text/plain", "", 0, "")
    if isinstance(event, MediaReported):
        uri, size, sha256 = _blob(event.blob)
        return (*place, event.kind, *heading, "", event.content_type, uri or event.url, size, sha256)
    return (*place, type(event).__name__, *heading, "", "", "", 0, "")


def _blob(blob: BlobRef | None) -> tuple[str, int, str]:
    return ("", 0, "") if blob is None else (blob.uri, blob.size, blob.sha256)
