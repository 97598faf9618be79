"""Permits of workers that are gone: nobody else would give them back, so watchers do.

A dead worker keeps its record on the topic of workers until its runs are declared lost, so a permit never goes before
its run does. A worker that seems gone and is not has lost its lease, and begins nothing with that permit any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from math import inf

from ..events.base import Meta
from ..events.limit_events import PermitReleased
from ..events.log.port import partition_of
from ..projections.limit_fold import LimitFold, Permit
from .appends import Appends
from .heartbeat import LOST_AFTER_INTERVALS
from .peers import Peers


@dataclass(slots=True)
class Permits:
    """What one watcher does about them. `partitions` is the number of partitions of the topic of workers.

    `read_on` has that topic read to its end; then `confirm` is to be called.
    """

    partitions: int
    interval: float
    stamp: Callable[[], Meta]
    appends: Appends
    limits: LimitFold
    peers: Peers
    read_on: Callable[[], None]
    _unknown_since: dict[str, float] = field(default_factory=dict)
    _confirming: set[str] = field(default_factory=set)
    _released: dict[str, str] = field(default_factory=dict)

    def step(self, owned: Collection[int], now: float) -> None:
        """Look for permits nobody answers for, as the owner of these partitions of the topic of workers."""
        found = {permit.id for permit in self._orphaned(owned)}
        self._unknown_since = {key: self._unknown_since.get(key, now) for key in found}
        self._released = {key: event for key, event in self._released.items() if key in found}
        if not self._confirming and (due := self._due(now)):
            self._confirming = due
            self.read_on()

    def next_due(self) -> float:
        """Moment at which to call `step` even if nothing changes."""
        waiting = self._unknown_since.keys() - self._released.keys() - self._confirming
        return min((self._since_when_gone(key) for key in waiting), default=inf)

    def confirm(self, owned: Collection[int]) -> None:
        """The topic of workers was read to its end: the permits of those that still have no record are free."""
        for permit in self._orphaned(owned):
            if permit.id in self._confirming and permit.id not in self._released:
                self._released[permit.id] = self.appends.owe(self._release(permit), "delivered")
        self._confirming = set()

    def _orphaned(self, owned: Collection[int]) -> list[Permit]:
        permits = self.limits.permits.values()
        unknown = [permit for permit in permits if self.peers.get(permit.worker) is None]
        return [permit for permit in unknown if partition_of(permit.worker, self.partitions) in owned]

    def _due(self, now: float) -> set[str]:
        waiting = self._unknown_since.keys() - self._released.keys()
        return {key for key in waiting if self._since_when_gone(key) < now}

    def _since_when_gone(self, permit: str) -> float:
        return self._unknown_since[permit] + LOST_AFTER_INTERVALS * self.interval

    def _release(self, permit: Permit) -> PermitReleased:
        return PermitReleased(
            meta=self.stamp(),
            task=permit.task,
            run=permit.run,
            worker=permit.worker,
            permit=permit.id,
            reason=f"nothing is known of worker {permit.worker} any more",
        )
