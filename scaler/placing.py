"""Where the next machine of a resource goes: the best group of placements with room, and there the emptiest one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from ..events.instance_events import Placement
from .settings import Resource
from .situation import Failed

FIRST_BACKOFF: Final = 30.0
LONGEST_BACKOFF: Final = 900.0
_OF_ALL: Final = frozenset({"throttled", "provider"})
"""Failures that say nothing of the placement: the provider is not to be asked for anything for a moment."""
_OF_RESOURCE: Final = frozenset({"settings"})


class Placing:
    """Chooses placements one after the other, each with those before it in mind."""

    def __init__(self, live: Iterable[Placement], failures: Iterable[Failed]) -> None:
        self._live = Counter(where(placement) for placement in live)
        blocked = [failed for failed in failures if failed.ago < backoff(failed.count)]
        self._all = next((failed for failed in blocked if failed.kind in _OF_ALL), None)
        self._resources = {failed.resource for failed in blocked if failed.kind in _OF_RESOURCE}
        self._places = {(failed.resource, where(failed.placement)) for failed in blocked}

    def choose(self, name: str, resource: Resource) -> Placement | None:
        """Take the next placement for a resource; None while all that it could have have just failed."""
        if self._all is not None or name in self._resources:
            return None
        for tier in resource.tiers():
            open_ones = [place for place in tier if (name, where(place)) not in self._places]
            if open_ones:
                chosen = min(open_ones, key=lambda place: self._live[where(place)])
                self._live[where(chosen)] += 1
                return chosen
        return None


def where(placement: Placement) -> Placement:
    """The placement without its cost, which may have been another when a machine was asked for."""
    return placement.model_copy(update={"hourly_cost": 0.0})


def backoff(count: int) -> float:
    """Seconds during which a placement is left alone after so many failures in a row."""
    return min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(count - 1, 10))
