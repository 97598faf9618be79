"""Entries of a queue that wait for want of agents, counted as they come and go: a long queue costs no more to look at.

An entry that has just come is being taken by whoever is free, and so is one that was just claimed; one that waits for a
pause to pass needs nobody yet. Entries are grouped by the scopes that limits may be set on and the hardware they need.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import Final, NamedTuple

from ..events.hardware import Hardware
from ..events.queue_events import EntryEnqueued
from ..projections.limit_fold import LimitFold, scopes_of
from ..projections.queue_fold import CLAIM_LEASE, Entry

TAKING_US: Final = 300_000
"""A free agent claims within some 50 ms, and says that it holds the run before the entry is out of the queue."""


class Group(NamedTuple):
    """What entries alike have in common."""

    scopes: tuple[str, ...]
    hardware: Hardware


class Waiting(NamedTuple):
    """An entry, since when it is in the queue, and what it needs."""

    id: str
    enqueued_us: int
    hardware: Hardware


class Backlog:
    """One queue's entries. A claim counts for `lease` seconds; times are the log's, in µs. Not thread-safe."""

    def __init__(self, queue: str, lease: float = CLAIM_LEASE) -> None:
        self._queue = queue
        self._lease_us = round(lease * 1e6)
        self._of: dict[str, Group] = {}
        self._due: dict[str, tuple[int, int]] = {}
        self._soon: list[tuple[int, str]] = []
        self._groups: dict[Group, dict[str, int]] = {}

    def __len__(self) -> int:
        """All that are in the queue, those too that need nobody yet."""
        return len(self._of)

    def note(self, entry: Entry, request: EntryEnqueued | None) -> None:
        """Learn what became of an entry; `request` is what enqueued it, for one that is not gone."""
        if entry.id in self._of:
            self._drop(entry.id)
        if not entry.gone and request is not None:
            self._of[entry.id] = Group(tuple(scopes_of(self._queue, request)), entry.hardware)
            due = self._due_us(entry)
            self._due[entry.id] = (due, entry.enqueued_us)
            heappush(self._soon, (due, entry.id))

    def waits(self, entry: str) -> bool:
        """Whether an entry is among those counted last."""
        return entry in self._of and entry not in self._due

    def hardware(self, entry: str) -> Hardware:
        """What an entry needs that is in the queue."""
        return self._of[entry].hardware

    def count(self, limits: LimitFold, us: int) -> Counter[Hardware]:
        """How many wait now that limits leave room for, by what they need: no machine helps the others."""
        self._advance(us)
        counts: Counter[Hardware] = Counter()
        for group, count in self._allowed(limits):
            counts[group.hardware] += count
        return counts

    def allowed(self, limits: LimitFold) -> Iterator[Waiting]:
        """Those counted last, as many of each group as there is room for."""
        for group, count in self._allowed(limits):
            for entry, enqueued_us in islice(self._groups[group].items(), count):
                yield Waiting(entry, enqueued_us, group.hardware)

    def _allowed(self, limits: LimitFold) -> Iterator[tuple[Group, int]]:
        pursued = Counter(self._of[p.entry] for p in limits.permits.values() if self.waits(p.entry))
        coming: Counter[str] = Counter()
        for group, entries in self._groups.items():
            limited = limits.limited(group.scopes)
            room = min((limits.limits[s] - limits.held(s) - coming[s] for s in limited), default=len(entries))
            count = min(len(entries), max(0, room) + pursued[group])
            coming.update(dict.fromkeys(limited, max(0, count - pursued[group])))
            yield group, count

    def _advance(self, us: int) -> None:
        while self._soon and self._soon[0][0] <= us:
            due, entry = heappop(self._soon)
            if self._due.get(entry, (0, 0))[0] == due:
                _, enqueued_us = self._due.pop(entry)
                self._groups.setdefault(self._of[entry], {})[entry] = enqueued_us

    def _drop(self, entry: str) -> None:
        group = self._of.pop(entry)
        if self._due.pop(entry, None) is None:
            del self._groups[group][entry]
            if not self._groups[group]:
                del self._groups[group]

    def _due_us(self, entry: Entry) -> int:
        """From when on an entry waits for want of agents."""
        claimed_us = entry.changed_us + self._lease_us + 1 if entry.state == "claimed" else 0
        return max(entry.not_before_us, entry.enqueued_us + TAKING_US, claimed_us)
