"""Queues that no living worker serves: nobody owns their partitions, so another one completes their moves and notes.

Which worker does so for a queue is a matter of turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from ..events.base import Meta
from .appends import Appends
from .custody import Custody
from .turns import Turns
from .view import View

_LOOK_SECONDS: Final = 1.0


@dataclass(slots=True)
class Orphans:
    """The queues one worker looks after although it does not serve them. `adopt` makes their topic be read."""

    turns: Turns
    stamp: Callable[[], Meta]
    appends: Appends
    view: View
    adopt: Callable[[str], None]
    _custodies: dict[str, Custody] = field(default_factory=dict)
    _looked_at: float = -inf
    _look_due: float = inf
    _existed: int = 0
    _mine: list[str] = field(default_factory=list)

    def step(self, now: float) -> None:
        """Do what is due."""
        if now >= self._looked_at + _LOOK_SECONDS:
            self._look(now)
        elif len(self.view.existing) != self._existed:
            self._look_due = self._looked_at + _LOOK_SECONDS
        for queue in self._mine:
            known = self.view.queues[queue]
            self._custodies[queue].step(known.fold, known.request, now)

    def next_due(self) -> float:
        """Moment at which to call `step` even if nothing changes."""
        return min((self._look_due, *(self._custodies[queue].next_due() for queue in self._mine)))

    def _look(self, now: float) -> None:
        """Find out which queues are this worker's to look after now, and begin to read those that are new to it."""
        self._looked_at, self._look_due, self._existed = now, inf, len(self.view.existing)
        mine = self.turns.of_all(sorted(self.view.existing - set(self.turns.served)), now)
        self._mine = [queue for queue in mine if not self.view.peers.serve(queue, now)]
        for queue in self._mine:
            if queue not in self._custodies:
                self._custodies[queue] = Custody(self.stamp, self.appends)
                self.view.add_queue(queue)
                self.adopt(queue)
