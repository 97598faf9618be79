"""Where the next machine of a resource goes: the best group of placements with room, and there the emptiest one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from ..events.instance_events import Placement
from .settings import Resource
from .situation import Failed

FIRST_BACKOFF: Final = 30.0
LONGEST_BACKOFF: Final = 900.0
_OF_ALL: Final = frozenset({"throttled", "provider"})
"""Failures that say nothing of the placement: the provider is not to be asked for anything for a moment."""
_OF_RESOURCE: Final = frozenset({"settings"})

Where = tuple[str, str, str, bool]


class Placing:
    """Offers placements for one machine after the other, each with those before it in mind."""

    def __init__(self, live: Iterable[Placement], failures: Iterable[Failed]) -> None:
        self._live = Counter(where(placement) for placement in live)
        blocked = [failed for failed in failures if failed.ago < backoff(failed.count)]
        self._none = any(failed.kind in _OF_ALL for failed in blocked)
        self._resources = {failed.resource for failed in blocked if failed.kind in _OF_RESOURCE}
        self._places = {(failed.resource, where(failed.placement)) for failed in blocked}
        self._tiers: dict[str, list[list[Placement]]] = {}

    def offers(self, name: str, resource: Resource) -> Iterator[Placement]:
        """The best placement of each group, the best group first; none while all have just failed."""
        for tier in self._open(name, resource):
            yield min(tier, key=lambda place: self._live[where(place)])

    def take(self, placement: Placement) -> None:
        """Learn that a machine goes there."""
        self._live[where(placement)] += 1

    def _open(self, name: str, resource: Resource) -> list[list[Placement]]:
        if self._none or name in self._resources:
            return []
        if name not in self._tiers:
            tiers = ([p for p in tier if (name, where(p)) not in self._places] for tier in resource.tiers())
            self._tiers[name] = [tier for tier in tiers if tier]
        return self._tiers[name]


def where(placement: Placement) -> Where:
    """The place without its cost, which may have been another once; a subnet lies in one zone."""
    zone = "" if placement.subnet else placement.zone
    return placement.instance_type, zone, placement.subnet, placement.spot


def backoff(count: int) -> float:
    """Seconds during which a placement is left alone after so many failures in a row."""
    return min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(count - 1, 10))
