"""The fold of the topic of workers: who lives, what each serves and holds, and since when nothing was heard of whom.

Silence is measured on the reader's own monotonic clock from the moment it read the last sign of life.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import inf

from ..events.worker_events import HeldRun, WorkerEvent, WorkerHeartbeat, WorkerStarted, WorkerStopped
from .heartbeat import LOST_AFTER_INTERVALS

_UNKNOWN_INTERVAL = 5.0


@dataclass(slots=True)
class Peer:
    """What the log says of one worker. `seq` orders its events, so that a late one does not count."""

    worker: str
    heard_at: float
    session: str = ""
    seq: int = -1
    interval: float = _UNKNOWN_INTERVAL
    queues: tuple[str, ...] = ()
    runs: tuple[HeldRun, ...] = ()
    restricted: bool = False
    stopped: bool = False

    @property
    def silent_from(self) -> float:
        """Moment from which the worker is taken for dead if nothing is heard of it before."""
        return self.heard_at + LOST_AFTER_INTERVALS * self.interval

    def lives(self, now: float) -> bool:
        """Whether it seems to live, and has not said that it leaves."""
        return not self.stopped and self.silent_from >= now

    def serves_all(self, queues: Collection[str]) -> bool:
        """Whether it serves these queues."""
        return set(queues) <= set(self.queues)

    def serves(self, queue: str, now: float) -> bool:
        """Whether it seems to live and serves the queue."""
        return queue in self.queues and self.lives(now)


class Peers:
    """All workers the log has a record of. Not thread-safe."""

    def __init__(self) -> None:
        self._peers: dict[str, Peer] = {}

    def apply(self, event: WorkerEvent, now: float) -> bool:
        """Take note of an event of a worker, read at this moment; whether it is news."""
        peer = self._peers.setdefault(event.worker, Peer(event.worker, now))
        meta = event.meta
        if meta.session == peer.session and meta.seq <= peer.seq:
            return False
        peer.session, peer.seq, peer.heard_at = meta.session, meta.seq, now
        if isinstance(event, WorkerStarted):
            peer.queues = tuple(event.queues)
        elif isinstance(event, WorkerHeartbeat):
            peer.queues, peer.runs, peer.interval = tuple(event.queues), tuple(event.runs), event.interval
            peer.restricted = event.restricted
        elif isinstance(event, WorkerStopped):
            peer.stopped = True
        return True

    def bury(self, worker: str, last_known: tuple[str, int] | None = None) -> None:
        """Take note of a worker's tombstone, unless the worker has spoken after all that the tombstone knows of."""
        peer = self._peers.get(worker)
        if peer is not None and (last_known is None or peer.session != last_known[0] or peer.seq <= last_known[1]):
            del self._peers[worker]

    def get(self, worker: str) -> Peer | None:
        """Return what is known of a worker."""
        return self._peers.get(worker)

    def has_stopped(self, worker: str) -> bool:
        """Whether the worker said that it leaves."""
        peer = self._peers.get(worker)
        return peer is not None and peer.stopped

    def living(self, now: float) -> Iterator[Peer]:
        """Workers that seem to live, and have not said that they leave."""
        return (peer for peer in self._peers.values() if peer.lives(now))

    def silent(self, now: float) -> list[Peer]:
        """Workers that have been silent for too long."""
        return [peer for peer in self._peers.values() if peer.silent_from < now]

    def next_silence(self, now: float) -> float:
        """Moment at which the next one will be, if it stays silent."""
        return min((peer.silent_from for peer in self._peers.values() if peer.silent_from >= now), default=inf)

    def serves(self, worker: str, queue: str, now: float) -> bool:
        """Whether this worker seems to live and serves the queue."""
        peer = self._peers.get(worker)
        return peer is not None and peer.serves(queue, now)

    def serve(self, queue: str, now: float) -> bool:
        """Whether some worker that seems to live serves the queue."""
        return any(peer.serves(queue, now) for peer in self._peers.values())
