"""Which workers have nothing to do, and since when by the log's time: the order in which they take what waits.

Every agent reads the same, so that free agents share out what waits between them without asking each other: who has
been free for longest goes for the best entry, the next one for the second best. It is a guess: nobody's claim counts
for less because of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

Run = tuple[str, int]


class Idler(NamedTuple):
    """A worker that holds no run, and since when; the first of them goes first."""

    since_us: int
    worker: str


class Idlers:
    """Fed with what heartbeats name and how runs end. Not thread-safe."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}
        self._held: dict[str, set[Run]] = {}
        self._holders: dict[Run, str] = {}

    def heard(self, worker: str, runs: Collection[Run], us: int) -> None:
        """A worker has said which runs it holds, those that are over left out."""
        self._let_go(worker)
        if runs:
            self._since.pop(worker, None)
            self._held[worker] = set(runs)
            self._holders |= dict.fromkeys(runs, worker)
        else:
            self._since.setdefault(worker, us)

    def over(self, run: Run, us: int) -> None:
        """A run is over."""
        worker = self._holders.pop(run, None)
        if worker is not None:
            self._held[worker].discard(run)
            if not self._held[worker]:
                self._since[worker] = us

    def gone(self, worker: str) -> None:
        """Nothing is known of a worker any more."""
        self._let_go(worker)
        self._since.pop(worker, None)

    def ahead_of(self, worker: str) -> Iterator[Idler]:
        """Those that have been free for longer than this worker, in no order; all of them where it is not free."""
        own = (self._since[worker], worker) if worker in self._since else None
        return (Idler(us, other) for other, us in self._since.items() if own is None or (us, other) < own)

    def _let_go(self, worker: str) -> None:
        for run in self._held.pop(worker, ()):
            if self._holders.get(run) == worker:
                del self._holders[run]
