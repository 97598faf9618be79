"""Folds queues into tables: entries with the ids judged about them, and what befell each queue as a whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ..events.hardware import Hardware
from ..events.queue_events import EntryEvent, QueueEvent, queue_of_topic
from .queue_fold import Entry, PartitionFold, Place
from .verdict import ACCEPTED, Verdict, rejected

if TYPE_CHECKING:
    from .arrival import Arrival
    from .tables import Row, Tables

Source = tuple[str, int]

_FIELDS: Final = (
    "id",
    "task",
    "run",
    "hop",
    "origin",
    "failures",
    "losses",
    "not_before_us",
    "offset",
    "rank",
    "priority",
    "enqueued_us",
    "state",
    "changed_us",
    "changed_by",
    "worker",
    "claim",
    "claim_offset",
    "moved_to",
    "moved_rank",
)
"""Fields of an entry in the order of its row, after queue and partition, but for what it needs.

The spec stays on the log.
"""
_HARDWARE: Final = tuple(Hardware.model_fields)


class EntryTables:
    """Entries of one batch, of all queues. `lease` is the claim lease in seconds."""

    def __init__(self, lease: float) -> None:
        self._lease_us = round(lease * 1e6)
        self._folds: dict[Source, PartitionFold] = {}
        self._touched: set[tuple[str, int, str]] = set()

    def load(self, tables: Tables, arrivals: Sequence[Arrival]) -> None:
        """Read the entries these events are about."""
        events = [(a, a.event) for a in arrivals if isinstance(a.event, EntryEvent)]
        self._touched = {(queue_of_topic(a.topic), a.partition, event.entry) for a, event in events}
        self._folds = defaultdict(PartitionFold)
        for queue, partition, *fields in tables.select("entry_states", self._touched):
            entry = _entry(partition, fields)
            self._folds[queue, partition].entries[entry.id] = entry
        for queue, partition, entry_id, ids in tables.select("judged", self._touched):
            self._folds[queue, partition].judged[entry_id] = set(ids)

    def apply(self, arrival: Arrival) -> Verdict:
        """Fold one event of a queue's topic."""
        event = arrival.event
        if not isinstance(event, EntryEvent):
            return rejected("no event of an entry")
        fold = self._folds[queue_of_topic(arrival.topic), arrival.partition]
        return fold.apply(event, Place(arrival.partition, arrival.offset, arrival.us), self._lease_us)

    def save(self, tables: Tables) -> None:
        """Write the entries and what was judged."""
        keys = sorted(self._touched)
        found = [(queue, self._folds[queue, partition].entries.get(entry)) for queue, partition, entry in keys]
        tables.replace("entry_states", [_row(queue, entry) for queue, entry in found if entry is not None])
        judged = [(*key, self._folds[key[0], key[1]].judged.get(key[2])) for key in keys]
        tables.delete("judged", keys)
        tables.insert("judged", [(*key, sorted(ids)) for *key, ids in judged if ids])


class QueueTables:
    """What befell queues as a whole in one batch."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def load(self, tables: Tables, arrivals: Sequence[Arrival]) -> None:  # noqa: ARG002  rows are only added
        """Forget the last batch."""
        self._rows = []

    def apply(self, arrival: Arrival) -> Verdict:
        """Take in one event of `tasktape.queues`."""
        if not isinstance(arrival.event, QueueEvent):
            return rejected("no event of a queue")
        reason = getattr(arrival.event, "reason", "")
        self._rows.append((arrival.event.queue, arrival.offset, arrival.type, reason, arrival.at))
        return ACCEPTED

    def save(self, tables: Tables) -> None:
        """Write the rows."""
        tables.insert("queue_changes", self._rows)


def _entry(partition: int, fields: Sequence[object]) -> Entry:
    values: dict[str, Any] = dict(zip((*_FIELDS, *_HARDWARE), fields, strict=True))
    hardware = Hardware(**{name: values.pop(name) for name in _HARDWARE})
    return Entry(partition=partition, spec=None, hardware=hardware, **values)


def _row(queue: str, entry: Entry) -> Row:
    needs = (getattr(entry.hardware, name) for name in _HARDWARE)
    return (queue, entry.partition, *(getattr(entry, name) for name in _FIELDS), *needs)
