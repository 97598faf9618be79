"""What is there to take waiting entries: free slots now, and those of machines that boot. Each is given out once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ..events.hardware import NOTHING, Hardware
from .situation import Machine, Offer

Offers = Counter[Offer]


class Supply:
    """Free slots of machines and of other agents, alike ones counted together, for queues in the order they ask in."""

    def __init__(self, machines: Iterable[Machine], others: Mapping[Offer, int]) -> None:
        self._free: Offers = Counter(others)
        self._booting: Offers = Counter()
        for machine in machines:
            if machine.status == "booting":
                self._booting[Offer(tuple(machine.queues), machine.slots, machine.spare)] += 1
            elif machine.free:
                self._free[Offer(tuple(machine.queues), machine.free, machine.spare)] += 1

    def add(self, offer: Offer, count: int = 0, needed: Hardware = NOTHING) -> int:
        """Count an agent that is to come; returns how many of so many entries it will take that need so much each."""
        taken = min(count, offer.room(needed))
        self._booting[offer.less(taken, needed)] += 1
        return taken

    def take_free(self, queue: str, count: int, needed: Hardware = NOTHING) -> int:
        """Take free slots for entries of a queue that need so much each; returns how many there were, up to `count`."""
        return _take(self._free, queue, count, needed)

    def take_booting(self, queue: str, count: int, needed: Hardware = NOTHING) -> int:
        """The same with slots that will be there."""
        return _take(self._booting, queue, count, needed)


def _take(supply: Offers, queue: str, count: int, needed: Hardware) -> int:
    """Those that serve the fewest queues, and have the least, go first: others may help what asks later."""
    left = count
    for offer in sorted(supply, key=_worth):
        if left and queue in offer.queues and (room := offer.room(needed)):
            left -= _take_of(supply, offer, room, left, needed)
    return count - left


def _take_of(supply: Offers, offer: Offer, room: int, count: int, needed: Hardware) -> int:
    """Fill agents alike, with room for so many entries each, one by one; returns how many entries they take."""
    used = min(supply[offer] * room, count)
    filled, rest = divmod(used, room)
    for agents, each in ((filled, room), (1, rest)):
        if agents and each:
            supply[offer] -= agents
            supply[offer.less(each, needed)] += agents
    return used


def _worth(offer: Offer) -> tuple[int, int, float, float]:
    return len(offer.queues), *offer.spare.size
