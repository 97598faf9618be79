"""Entries that free agents leave alone: they wait for something else than a machine, and call for none.

An entry is stuck once it has waited beside a free agent for too long. After a while it counts as work again, in case
the agents that left it alone are gone; twice as long after each time that nobody took it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ..projections.queue_fold import Entry

AGAIN_SECONDS: Final = 1800.0
_MOST_DOUBLINGS: Final = 8


@dataclass(slots=True)
class _Mark:
    until_us: int
    times: int


class Stuck:
    """What is stuck, by entry. `patience` is in seconds; the times of calls are the log's, in µs."""

    def __init__(self, patience: float) -> None:
        self._patience_us = round(patience * 1e6)
        self._marks: dict[str, dict[str, _Mark]] = {}

    def among(self, queue: str, entries: Sequence[Entry], free_since_us: int | None, now_us: int) -> int:
        """How many of a queue's waiting entries are stuck now; `free_since_us` is when its longest free agent was."""
        marks = self._marks[queue] = self._kept(queue, (entry.id for entry in entries))
        if free_since_us is not None:
            for entry in entries:
                if now_us - max(entry.enqueued_us, free_since_us) >= self._patience_us:
                    self._mark(marks, entry.id, now_us)
        return sum(mark.until_us > now_us for mark in marks.values())

    def entries(self) -> list[str]:
        """Ids of all that are marked."""
        return sorted(entry for marks in self._marks.values() for entry in marks)

    def _kept(self, queue: str, waiting: Iterable[str]) -> dict[str, _Mark]:
        known = self._marks.get(queue, {})
        return {entry: known[entry] for entry in waiting if entry in known} if known else {}

    def _mark(self, marks: dict[str, _Mark], entry: str, now_us: int) -> None:
        mark = marks.get(entry)
        if mark is None or mark.until_us <= now_us:
            times = mark.times + 1 if mark is not None else 0
            again = AGAIN_SECONDS * 2.0 ** min(times, _MOST_DOUBLINGS)
            marks[entry] = _Mark(now_us + round(again * 1e6), times)
