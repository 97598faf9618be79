"""Queues that no living worker serves: nobody owns their partitions, so watchers complete their moves and notes.

Which watcher does so for a queue follows from the partitions of the topic of workers, as for workers themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from math import inf
from typing import Final

from ..events.base import Meta
from ..events.log.port import partition_of
from .appends import Appends
from .custody import Custody
from .view import View

_LOOK_SECONDS: Final = 1.0


@dataclass(slots=True)
class Orphans:
    """The queues one worker looks after although it does not serve them. `adopt` makes their topic be read."""

    served: Collection[str]
    partitions: int
    stamp: Callable[[], Meta]
    appends: Appends
    view: View
    adopt: Callable[[str], None]
    _custodies: dict[str, Custody] = field(default_factory=dict)
    _looked_at: float = -inf

    def step(self, owned: Collection[int], now: float) -> None:
        """Do what is due, as the owner of these partitions of the topic of workers."""
        if now < min(self._looked_at + _LOOK_SECONDS, self.next_due()):
            return
        self._looked_at = now
        for queue in self._mine(owned, now):
            if queue not in self._custodies:
                self._custodies[queue] = Custody(self.stamp, self.appends)
                self.view.add_queue(queue)
                self.adopt(queue)
            known = self.view.queues[queue]
            self._custodies[queue].step(known.fold, known.request, lambda _partition: True, now)

    def next_due(self) -> float:
        """Moment at which to call `step` even if nothing changes."""
        return min((custody.next_due() for custody in self._custodies.values()), default=inf)

    def _mine(self, owned: Collection[int], now: float) -> list[str]:
        others = sorted(self.view.existing - set(self.served))
        mine = [queue for queue in others if partition_of(queue, self.partitions) in owned]
        return [queue for queue in mine if not self.view.peers.serve(queue, now)]
