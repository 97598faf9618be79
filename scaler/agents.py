"""The fold of workers as a scaler needs it: which machine each is on, how much room it has, and since when it is idle.

Idle times come from the log's own append times, so that they outlive the scaler; silence is measured by its clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..agent.peers import Peers
from ..events.worker_events import WorkerEvent, WorkerHeartbeat, WorkerStarted


@dataclass(slots=True)
class Agent:
    """A worker. `held` are the runs it holds, `free_since_us` when it was first seen without any."""

    worker: str
    instance: str = ""
    slots: int = 1
    held: int = 0
    free_since_us: int = 0


class Agents:
    """All workers the log tells of. Not thread-safe."""

    def __init__(self) -> None:
        self._peers = Peers()
        self._agents: dict[str, Agent] = {}
        self._on_instance: dict[str, str] = {}

    def apply(self, event: WorkerEvent, partition: int, timestamp_us: int, now: float) -> None:
        """Take note of an event that was read at this moment.

        A first heartbeat may be on the log before what the worker said at its start: that is older, and counts still.
        """
        is_news = self._peers.apply(event, partition, now)
        agent = self._agents.setdefault(event.worker, Agent(event.worker, free_since_us=timestamp_us))
        if isinstance(event, WorkerStarted):
            agent.slots, agent.instance = event.slots, event.instance
            self._on_instance[event.instance] = event.worker
        elif is_news and isinstance(event, WorkerHeartbeat):
            if agent.held or event.runs:
                agent.free_since_us = timestamp_us
            agent.held = len(event.runs)

    def bury(self, worker: str, last_known: tuple[str, int] | None) -> None:
        """Take note of a worker's tombstone."""
        self._peers.bury(worker, last_known)
        if self._peers.get(worker) is None:
            self._agents.pop(worker, None)

    def on(self, instance: str) -> str:
        """The latest worker that said it is on this machine; empty where none did."""
        return self._on_instance.get(instance, "")

    def get(self, worker: str) -> Agent | None:
        """What is known of a worker that has not left."""
        peer = self._peers.get(worker)
        return None if peer is None or peer.stopped else self._agents.get(worker)

    def silent_since(self, worker: str, now: float) -> float:
        """Seconds since the worker is to be taken for dead; 0 while it lives."""
        peer = self._peers.get(worker)
        return 0.0 if peer is None else max(0.0, now - peer.silent_from)

    def serving(self, queue: str, now: float) -> Iterator[Agent]:
        """Workers that seem to live and serve the queue."""
        return (agent for agent in self._agents.values() if self._peers.serves(agent.worker, queue, now))
