"""What is there to take waiting entries: free slots now, and those of machines that boot. Each is given out once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .situation import Machine

Slots = Counter[tuple[str, ...]]


class Supply:
    """Slots of machines and of other agents by the queues they serve, for queues in the order in which they ask."""

    def __init__(self, machines: Iterable[Machine], others: Mapping[tuple[str, ...], int]) -> None:
        self._free: Slots = Counter(others)
        self._booting: Slots = Counter()
        for machine in machines:
            if machine.status == "booting":
                self._booting[tuple(machine.queues)] += machine.slots
            elif machine.free:
                self._free[tuple(machine.queues)] += machine.free

    def add(self, queues: Sequence[str], slots: int) -> None:
        """Count a machine that is to come."""
        self._booting[tuple(queues)] += slots

    def take_free(self, queue: str, count: int) -> int:
        """Take free slots for entries of a queue; returns how many there were, at most `count`."""
        return _take(self._free, queue, count)

    def take_booting(self, queue: str, count: int) -> int:
        """The same with slots that will be there."""
        return _take(self._booting, queue, count)


def _take(supply: Slots, queue: str, count: int) -> int:
    """Those that serve the fewest queues go first: others may help queues that ask later."""
    left = count
    for queues in sorted(supply, key=len):
        if queue in queues:
            used = min(supply[queues], left)
            supply[queues] -= used
            left -= used
    return count - left
