"""What is there to take waiting entries: free slots now, and those of machines that boot. Each is given out once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .situation import Machine

Slots = list[tuple[Sequence[str], int]]


class Supply:
    """Slots of machines and of other agents, for the queues in the order in which they ask."""

    def __init__(self, machines: Iterable[Machine], others: Mapping[str, int]) -> None:
        machines = list(machines)
        self._free: Slots = [([queue], slots) for queue, slots in others.items()]
        self._free += [(machine.queues, machine.free) for machine in machines if machine.free]
        self._booting: Slots = [(machine.queues, machine.slots) for machine in machines if machine.status == "booting"]

    def add(self, queues: Sequence[str], slots: int) -> None:
        """Count a machine that is to come."""
        self._booting.append((queues, slots))

    def take_free(self, queue: str, count: int) -> int:
        """Take free slots for entries of a queue; returns how many there were, at most `count`."""
        return _take(self._free, queue, count)

    def take_booting(self, queue: str, count: int) -> int:
        """The same with slots that will be there."""
        return _take(self._booting, queue, count)


def _take(supply: Slots, queue: str, count: int) -> int:
    taken = 0
    for place, (queues, slots) in enumerate(supply):
        if taken == count:
            break
        if queue in queues:
            used = min(slots, count - taken)
            supply[place] = (queues, slots - used)
            taken += used
    supply[:] = [(queues, slots) for queues, slots in supply if slots]
    return taken
