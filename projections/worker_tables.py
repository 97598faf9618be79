"""Folds `tasktape.workers` into one row per worker; a tombstone removes the row of one that left in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ..events.hardware import NOTHING, Hardware
from ..events.worker_events import WorkerEvent, WorkerHeartbeat, WorkerStarted, WorkerStopped
from .task_tables import json_text
from .verdict import ACCEPTED, Verdict, rejected

if TYPE_CHECKING:
    from .arrival import Arrival
    from .tables import Tables

TOPIC: Final = WorkerEvent.topic


def _amounts(hardware: Hardware, prefix: str = "") -> dict[str, Any]:
    return {f"{prefix}{name}": amount for name, amount in hardware}


_NO_HARDWARE: Final = {**_amounts(NOTHING), **_amounts(NOTHING, "spare_")}
_COLUMNS: Final = (
    "id",
    "host",
    "pid",
    "queues",
    "slots",
    "version",
    "tags",
    "runs",
    "load",
    "interval",
    "started_at",
    "seen_at",
    "stopped_at",
    *_NO_HARDWARE,
)
_UNKNOWN: Final[dict[str, Any]] = {
    "host": "",
    "pid": 0,
    "queues": [],
    "slots": 1,
    "version": "",
    "tags": [],
    "runs": "[]",
    "load": "{}",
    "interval": 5.0,
    "started_at": None,
    "stopped_at": None,
    **_NO_HARDWARE,
}


class WorkerTables:
    """Workers of one batch. A heartbeat alone is enough: compaction keeps no more."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any] | None] = {}

    def load(self, tables: Tables, arrivals: Sequence[Arrival]) -> None:
        """Read these workers."""
        rows = tables.select("worker_states", {(arrival.key,) for arrival in arrivals})
        self._rows = {row[0]: dict(zip(_COLUMNS, row, strict=True)) for row in rows}

    def apply(self, arrival: Arrival) -> Verdict:
        """Take in what a worker says of itself."""
        event = arrival.event
        if not isinstance(event, WorkerEvent):
            return rejected("no event of a worker")
        row = self._rows.get(event.worker) or {"id": event.worker, **_UNKNOWN}
        self._rows[event.worker] = row | {"seen_at": arrival.us} | _said(event, arrival)
        return ACCEPTED

    def bury(self, worker: str) -> None:
        """Take in a tombstone."""
        self._rows[worker] = None

    def save(self, tables: Tables) -> None:
        """Write the workers that spoke, drop those that left."""
        tables.delete("worker_states", [(worker,) for worker in self._rows])
        found = [row for row in self._rows.values() if row is not None]
        tables.insert("worker_states", [tuple(row[column] for column in _COLUMNS) for row in found])


def _said(event: WorkerEvent, arrival: Arrival) -> dict[str, Any]:
    if isinstance(event, WorkerStarted):
        said = event.model_dump(include={"host", "pid", "queues", "slots", "version", "tags"})
        return said | {"started_at": arrival.at, "stopped_at": None, **_amounts(event.hardware)}
    if isinstance(event, WorkerHeartbeat):
        runs = json_text([held.model_dump() for held in event.runs])
        told = {"queues": event.queues, "runs": runs, "load": json_text(event.load), "interval": event.interval}
        return told | _amounts(event.spare, "spare_")
    return {"stopped_at": arrival.at, "runs": "[]"} if isinstance(event, WorkerStopped) else {}
