"""Permits of workers that are gone: nobody else would give them back, so one of the living does.

A dead worker keeps its record on the topic of workers until its runs are declared lost, so a permit never goes before
its run does. A worker that seems gone and is not has lost its lease, and begins nothing with that permit any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from ..events.base import Meta
from ..events.limit_events import PermitReleased
from ..projections.limit_fold import LimitFold, Permit
from .appends import Appends
from .heartbeat import LOST_AFTER_INTERVALS
from .turns import Turns


@dataclass(slots=True)
class Permits:
    """What one worker does about them. `read_on` has the topic of workers read to its end; `confirm` is called then."""

    turns: Turns
    interval: float
    stamp: Callable[[], Meta]
    appends: Appends
    limits: LimitFold
    read_on: Callable[[], None]
    _due_at: dict[str, float] = field(default_factory=dict)
    _confirming: set[str] = field(default_factory=set)
    _released: dict[str, str] = field(default_factory=dict)

    def step(self, now: float) -> None:
        """Look for permits nobody answers for."""
        found = {permit.id: permit for permit in self._orphaned()}
        self._due_at = {key: self._due_at.get(key) or self._turn(permit, now) for key, permit in found.items()}
        self._released = {key: event for key, event in self._released.items() if key in found}
        if not self._confirming and (due := self._due(now)):
            self._confirming = due
            self.read_on()

    def next_due(self) -> float:
        """Moment at which to call `step` even if nothing changes."""
        waiting = self._due_at.keys() - self._released.keys() - self._confirming
        return min((self._due_at[key] for key in waiting), default=inf)

    def confirm(self) -> None:
        """The topic of workers was read to its end: the permits of those that still have no record are free."""
        for permit in self._orphaned():
            if permit.id in self._confirming and permit.id not in self._released:
                self._released[permit.id] = self.appends.owe(self._release(permit), "delivered")
        self._confirming = set()

    def _orphaned(self) -> list[Permit]:
        return [permit for permit in self.limits.permits.values() if self.turns.peers.get(permit.worker) is None]

    def _due(self, now: float) -> set[str]:
        waiting = self._due_at.keys() - self._released.keys()
        return {key for key in waiting if self._due_at[key] < now}

    def _turn(self, permit: Permit, now: float) -> float:
        """Moment from which on the permit of a worker without a record is this one's to give back."""
        return now + self.interval * (LOST_AFTER_INTERVALS + self.turns.of(permit.worker, now))

    def _release(self, permit: Permit) -> PermitReleased:
        return PermitReleased(
            meta=self.stamp(),
            task=permit.task,
            run=permit.run,
            worker=permit.worker,
            permit=permit.id,
            reason=f"nothing is known of worker {permit.worker} any more",
        )
