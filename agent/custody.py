"""What those who serve a queue owe it: completing moves whose mover died, and noting with the task what left.

Whoever dequeues an entry notes `EntryLeft`; whoever moves one enqueues its next hop and *then* notes it, so that the
note says that the move is complete. A worker whose turn it is does what is undone after a moment; twice does no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

from ..events.base import Meta
from ..events.queue_events import EntryEnqueued
from ..projections.queue_fold import Entry, QueueFold
from ..projections.queue_moves import left, next_hop
from .appends import Appends

PATIENCE: Final = 1.0


def at_once(_duty: str, _now: float) -> float:
    """Wait for nobody."""
    return 0.0


@dataclass(slots=True)
class _Duty:
    due: float
    has_turn: bool = False
    hop: str = ""
    note: str = ""


class Custody:
    """The duties of one worker towards one queue. Pure; what it owes goes to `appends`.

    `wait` gives the seconds that it leaves a duty to others first, at a moment.
    """

    def __init__(
        self, stamp: Callable[[], Meta], appends: Appends, wait: Callable[[str, float], float] = at_once
    ) -> None:
        self._wait = wait
        self._stamp = stamp
        self._appends = appends
        self._duties: dict[str, _Duty] = {}
        self._next_due = inf

    def step(self, fold: QueueFold, request: Callable[[str], EntryEnqueued | None], now: float) -> None:
        """Do what is due. `request` gives the event that enqueued an entry that is not settled."""
        entries = {entry.id: entry for entry in fold.unsettled()}
        self._duties = {key: self._duties.get(key) or _Duty(now + PATIENCE) for key in entries}
        self._next_due = inf
        for key, duty in self._duties.items():
            self._take_turn(duty, key, now)
            if duty.due > now:
                self._next_due = min(self._next_due, duty.due)
            elif (enqueued := request(key)) is not None:
                self._fulfil(duty, entries[key], enqueued)

    def _take_turn(self, duty: _Duty, key: str, now: float) -> None:
        """Find out whose turn it is only once somebody has to do something: mostly nobody has."""
        if duty.due <= now and not duty.has_turn:
            duty.has_turn, duty.due = True, duty.due + self._wait(key, now)

    def next_due(self) -> float:
        """Moment at which to call `step` even if nothing changes."""
        return self._next_due

    def _fulfil(self, duty: _Duty, entry: Entry, request: EntryEnqueued) -> None:
        if entry.state == "moved" and not duty.hop:
            duty.hop = self._appends.owe(next_hop(entry, request, self._stamp), "delivered")
        if not duty.note and not self._appends.is_open(duty.hop):
            duty.note = self._appends.owe(left(entry, self._stamp), "delivered")
