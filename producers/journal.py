"""The process's journal of scalars: a chain of rings that grows while the drain is behind.

A full ring is retired and a new one follows, up to 16 (65,536 points and 2.5 MiB of disk each: 40 MiB, a million
points). Then the reporting thread waits, as long as the drain makes progress. When there is none for a second (the disk
is full *and* the log away), points are dropped, counted and warned about until there is room again: training goes on.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

from .ring import VOID, Ring, RingError, RingIdentity, SeriesName
from .warn import LOGGER, forget, warn_once


class Sizes(NamedTuple):
    """How large a journal may grow: records and bytes for names of each ring, and how many rings there may be.

    `patience` is how long, in seconds, a reporting thread waits for a drain that makes no progress.
    """

    capacity: int = 1 << 16
    names_bytes: int = 508 << 10
    most_rings: int = 16
    patience: float = 1.0


class Journal:
    """The rings of one process, oldest first. Writers fill the last one; the drain empties them from the first.

    `folder` gives the folder for a new ring, None where the disk has no room for one: then the ring is in memory.
    `wake` tells the drain to come at once. Thread-safe. The lock is taken by itself, not through its condition: that
    would be Python code, in which Control-C may strike between the lock's being taken and the block's being entered.
    """

    def __init__(
        self,
        identity: RingIdentity,
        folder: Callable[[], Path | None],
        wake: Callable[[], object],
        sizes: Sizes | None = None,
    ) -> None:
        self.rings: list[Ring] = []
        self._identity = identity
        self._folder = folder
        self._wake = wake
        self._sizes = sizes or Sizes()
        self._unheard = self._sizes.capacity // 4
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._current: Ring | None = None
        self._made = 0
        self._starved = False
        self._dropped = 0

    def current(self) -> Ring | None:
        """The ring to write to, made where there is none; None when there is no room for one."""
        with self._lock:
            if self._current is None and self._has_room():
                self._current = self._new_ring()
                self.rings.append(self._current)
                self._allow_some(self._current)
            return self._current

    def _has_room(self) -> bool:
        while len(self.rings) >= self._sizes.most_rings:
            if self._starved or not self._waited_for_progress():
                self._starved = True
                return False
        return True

    def _waited_for_progress(self) -> bool:
        seen = self._progress()
        self._wake()
        return self._changed.wait_for(lambda: self._progress() != seen, self._sizes.patience)

    def _progress(self) -> tuple[int, int]:
        return self._made - len(self.rings), self.rings[0].state.tail if self.rings else 0

    def _new_ring(self) -> Ring:
        self._made += 1
        identity = self._identity._replace(session=f"{self._identity.session}/{self._made}")
        folder = self._folder()
        try:
            return self._create(None if folder is None else folder / f"{self._made:08}.ring", identity)
        except OSError as error:
            warn_once(
                "ring_in_memory",
                f"no room for a journal of scalars in {folder} ({error}). Training goes on with one in memory; what is "
                "in it when the process is killed is lost. Free some space, or set TASKTAPE_HOME to another disk.",
            )
            return self._create(None, identity)

    def _create(self, path: Path | None, identity: RingIdentity) -> Ring:
        sizes = self._sizes
        return Ring.create(path, identity, capacity=sizes.capacity, names_bytes=sizes.names_bytes)

    def hasten(self) -> None:
        """Have the drain woken by the first point that it has not seen, not by so many: somebody waits for each."""
        with self._lock:
            self._unheard = 0
            if self._current is not None:
                self._allow_some(self._current)

    def _allow_some(self, ring: Ring) -> None:
        """Let writers go on for a quarter of the ring; who comes to its end wakes the drain (`widen`)."""
        ring.allow(ring.state.tail + self._unheard)

    def widen(self, ring: Ring, position: int) -> bool:
        """Whether a position beyond the ring's limit may be used after all. If not, the ring is full, and retired."""
        self._wake()
        with self._lock:
            if ring is self._current:
                ring.allow(ring.state.tail + ring.capacity)
                if position >= ring.limit:
                    self._retire(ring)
            return position < ring.limit

    def _retire(self, ring: Ring) -> None:
        ring.retire()
        self._current = None

    def number(self, ring: Ring, name: SeriesName) -> int | None:
        """Number of a series in this ring; None when the ring is retired, as it is when it has no room for the name.

        Raises `RingError` for a name that no ring has room for.
        """
        with self._lock:
            if ring is not self._current:
                return None
            number = ring.number(name)
            if number is None and not ring.names:
                raise RingError(f"no ring has room for the name of a series of {len(name.title)} characters.")
            if number is None:
                self._retire(ring)
            return number

    def drop(self) -> None:
        """Count a point that there was no room for."""
        self._dropped += 1
        warn_once(
            "scalars_dropped",
            "scalars are being dropped: the log does not answer, and neither disk nor memory has room for more. "
            "Free some disk space, or set TASKTAPE_HOME to another disk.",
        )

    def drained(self, ring: Ring) -> None:
        """Take note of how far the drain is with this ring: slots are free; a retired ring that is empty goes."""
        with self._lock:
            if ring is self._current:
                self._allow_some(ring)
            elif ring.state.tail == ring.final and ring in self.rings:
                self.rings.remove(ring)
                ring.remove()
            self._starved = False
            self._changed.notify_all()
        if self._dropped:
            LOGGER.warning(
                "there is room again: %d scalars were dropped meanwhile.",
                self._dropped,
                extra={"action": "scalars_dropped", "scalars": self._dropped},
            )
            self._dropped = 0
            forget("scalars_dropped")

    def close_hole(self, ring: Ring, position: int, writing: frozenset[CodeType]) -> bool:
        """Void a position that nobody will write: an exception came between taking and writing it (Control-C does).

        `writing` is the code that holds taken positions in a local `position`. False when a thread may still write it.
        """
        if ring.committed(position):
            return True
        frames = list(sys._current_frames().values())  # noqa: SLF001  the one way to know that no thread is at it
        if any(_may_hold(frame, position, writing) for frame in frames) or ring.committed(position):
            return False
        ring.put(position, 0, 0.0, 0.0, VOID)
        return True

    def retire_all(self) -> None:
        """Retire the current ring: what is reported later goes to a new one."""
        with self._lock:
            if self._current is not None:
                self._retire(self._current)


def _may_hold(frame: FrameType | None, position: int, writing: frozenset[CodeType]) -> bool:
    while frame is not None:
        if frame.f_code in writing and frame.f_locals.get("position", position) == position:
            return True
        frame = frame.f_back
    return False
