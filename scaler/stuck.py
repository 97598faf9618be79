"""Entries that free agents leave alone: they wait for something else than a machine, and call for none.

An entry is stuck once it has waited for too long beside a free agent that has all it needs. After a while it counts as
work again, in case the agents that left it alone are gone; twice as long after each time that nobody took it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ..events.hardware import Hardware
from .backlog import Waiting

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

    def mark(
        self, queue: str, entries: Callable[[], Iterable[Waiting]], free_us: Mapping[Hardware, int], now_us: int
    ) -> None:
        """Mark those of a queue's entries that have waited for too long beside a free agent that could run them.

        `free_us` says by what free agents have left since when the longest free one of them is free.
        """
        patient = [spare for spare, since_us in free_us.items() if now_us - since_us >= self._patience_us]
        if patient:
            marks = self._marks.setdefault(queue, {})
            for entry in entries():
                is_old = now_us - entry.enqueued_us >= self._patience_us
                if is_old and any(entry.hardware.fits(spare) for spare in patient):
                    _mark(marks, entry.id, now_us)

    def of(self, queue: str, waits: Callable[[str], bool], now_us: int) -> list[str]:
        """Those of a queue's waiting entries that are stuck now; those that wait no longer are forgotten."""
        marks = self._marks.get(queue, {})
        for entry in [entry for entry in marks if not waits(entry)]:
            del marks[entry]
        return [entry for entry, mark in marks.items() if mark.until_us > now_us]

    def entries(self, most: int) -> list[str]:
        """Ids of those that are marked, at most so many of them."""
        return sorted(entry for marks in self._marks.values() for entry in marks)[:most]


def _mark(marks: dict[str, _Mark], entry: str, now_us: int) -> None:
    mark = marks.get(entry)
    if mark is None or mark.until_us <= now_us:
        times = mark.times + 1 if mark is not None else 0
        again = AGAIN_SECONDS * 2.0 ** min(times, _MOST_DOUBLINGS)
        marks[entry] = _Mark(now_us + round(again * 1e6), times)
