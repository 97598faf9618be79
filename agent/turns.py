"""Whose turn it is to do what nobody owns: see to a dead worker's runs, give its permits back, look after a queue.

Every agent reads who lives from the same topic and comes to the same order of all, which begins at another one for each
duty. The first does it at once, the next ones some time later in case it is not done by then. That is a guess which
shares work out: what is done twice counts once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import inf
from zlib import crc32

from .peers import Peers


@dataclass(slots=True)
class Turns:
    """The turns of one worker. `restricted` says that the access rules keep it to the queues it serves."""

    worker: str
    served: Collection[str]
    peers: Peers
    restricted: bool = False

    def of(self, duty: str, now: float, queues: Collection[str] = ()) -> float:
        """How many living workers it falls to before this one; infinite where this one can't do it.

        Whoever serves all the `queues` that a duty is about comes before all others.
        """
        serving = {peer.worker for peer in self.peers.living(now) if peer.serves_all(queues)}
        if set(queues) <= set(self.served):
            return self._place(duty, serving)
        return inf if self.restricted else len(serving) + self._place(duty, self._unrestricted(now) - serving)

    def of_all(self, duties: Collection[str], now: float) -> list[str]:
        """Return those duties that fall to this worker first, among all that may touch any queue."""
        if self.restricted:
            return []
        able = self._unrestricted(now)
        return [duty for duty in duties if not self._place(duty, able)]

    def _unrestricted(self, now: float) -> set[str]:
        return {peer.worker for peer in self.peers.living(now) if not peer.restricted}

    def _place(self, duty: str, able: set[str]) -> int:
        order = sorted(able | {self.worker})
        return (order.index(self.worker) - crc32(duty.encode())) % len(order)
