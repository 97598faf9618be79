"""Tells copies of a record: by its emitter's session and sequence number, within one partition.

An emitter's numbers grow, so that a number at or below the mark was seen; but an append in doubt is repeated, and may
land after a later one. So the last `WINDOW` numbers are known exactly, and only what lies below all of them is taken
for a copy unseen.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .arrival import Arrival
    from .tables import Tables

WINDOW: Final = 64
SessionKey = tuple[str, int, str]


def seen(window: list[int], seq: int) -> bool:
    """Whether the number was seen before; if not it is added to the window, which stays sorted."""
    place = bisect_left(window, seq)
    if place < len(window) and window[place] == seq:
        return True
    if place == 0 and len(window) == WINDOW:
        return True
    window.insert(place, seq)
    del window[:-WINDOW]
    return False


class Sessions:
    """The windows of the sessions that speak in one batch."""

    def __init__(self) -> None:
        self._windows: dict[SessionKey, list[int]] = {}

    def load(self, tables: Tables, arrivals: Iterable[Arrival]) -> None:
        """Read the windows of these records' sessions."""
        keys = {_key(arrival) for arrival in arrivals}
        self._windows = {key: [] for key in keys}
        for topic, partition, session, seqs in tables.select("sessions", keys):
            self._windows[topic, partition, session] = seqs

    def is_copy(self, arrival: Arrival) -> bool:
        """Whether the record is a copy of an earlier one."""
        return seen(self._windows[_key(arrival)], arrival.meta.seq)

    def save(self, tables: Tables) -> None:
        """Write the windows."""
        tables.replace("sessions", [(*key, window) for key, window in self._windows.items()])


def _key(arrival: Arrival) -> SessionKey:
    return arrival.topic, arrival.partition, arrival.meta.session
