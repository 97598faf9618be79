"""The fold of workers as a scaler needs it: which machine each is on, how much room it has, and since when it is idle.

Idle times come from the log's own append times, so that they outlive the scaler; silence is measured by its clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..agent.peers import Peers
from ..events.hardware import NOTHING, Hardware
from ..events.worker_events import WorkerEvent, WorkerHeartbeat, WorkerStarted


@dataclass(slots=True)
class Agent:
    """A worker. `held` are the runs it holds, `free_since_us` when it was first seen without any.

    `slots` is 0 where its start is so long past that the log has forgotten it. `astray` says that the fold of machines
    takes the one it is on for gone. `spare` is what it has left beside the runs it holds, None until it has said so.
    """

    worker: str
    instance: str = ""
    slots: int = 0
    held: int = 0
    free_since_us: int = 0
    left: bool = False
    astray: bool = False
    spare: Hardware | None = None

    def free(self, slots: int) -> int:
        """How many more runs it will take, if it has so many slots unless it says otherwise."""
        return max(0, (self.slots or slots) - self.held)

    def left_over(self, unless_it_says: Hardware = NOTHING) -> Hardware:
        """What it has left for further runs."""
        return unless_it_says if self.spare is None else self.spare


class Agents:
    """All workers the log tells of. Not thread-safe."""

    def __init__(self) -> None:
        self._peers = Peers()
        self._agents: dict[str, Agent] = {}
        self._on_instance: dict[str, str] = {}
        self._expected: dict[str, float] = {}

    def apply(self, event: WorkerEvent, timestamp_us: int, now: float) -> None:
        """Take note of an event that was read at this moment.

        A first heartbeat may be on the log before what the worker said at its start: that is older, and counts still.
        """
        is_news = self._peers.apply(event, now)
        agent = self._agents.setdefault(event.worker, Agent(event.worker, free_since_us=timestamp_us))
        agent.left = self._peers.has_stopped(event.worker)
        if isinstance(event, WorkerStarted):
            agent.slots, agent.instance = event.slots, event.instance
            agent.spare = agent.left_over(event.hardware)
            self._settle(agent)
        elif is_news and isinstance(event, WorkerHeartbeat):
            if agent.held or event.runs:
                agent.free_since_us = timestamp_us
            agent.held, agent.spare = len(event.runs), event.spare

    def bury(self, worker: str, last_known: tuple[str, int] | None) -> None:
        """Take note of a worker's tombstone; that it has left is remembered for as long as its machine is there."""
        self._peers.bury(worker, last_known)
        agent = self._agents.get(worker)
        if agent is None or self._peers.get(worker) is not None:
            return
        agent.left = True
        if agent.astray or self.on(agent.instance) != worker:
            self._drop(agent)

    def expect(self, instance: str, worker: str, now: float) -> None:
        """Learn from the fold of machines, at this moment, which agent one has: its own record may come later."""
        self._on_instance.setdefault(instance, worker)
        self._expected[worker] = now
        if worker in self._agents:
            self._agents[worker].astray = False

    def forget(self, instance: str) -> None:
        """Learn that a machine is over; whoever was on it is forgotten when it has left."""
        agent = self._agents.get(self.on(instance))
        if agent is None:
            self._expected.pop(self._on_instance.pop(instance, ""), None)
        elif agent.left:
            self._drop(agent)
        else:
            agent.astray = True

    def _settle(self, agent: Agent) -> None:
        """Note which machine an agent is on; one that was there before it and has left is forgotten."""
        if agent.instance:
            former = self._agents.get(self.on(agent.instance))
            self._on_instance[agent.instance] = agent.worker
            if former is not None and former.left:
                self._drop(former)

    def _drop(self, agent: Agent) -> None:
        del self._agents[agent.worker]
        self._expected.pop(agent.worker, None)
        if self.on(agent.instance) == agent.worker:
            del self._on_instance[agent.instance]

    def on(self, instance: str) -> str:
        """The latest worker that is known to be on this machine; empty where none is."""
        return self._on_instance.get(instance, "")

    def get(self, worker: str) -> Agent | None:
        """What is known of a worker that has not left."""
        agent = self._agents.get(worker)
        return None if agent is None or agent.left else agent

    def has_left(self, worker: str) -> bool:
        """Whether a worker went in order, or was declared dead."""
        return worker in self._agents and self._agents[worker].left

    def silent_since(self, worker: str, now: float) -> float:
        """Seconds since the worker is to be taken for dead; 0 while it lives."""
        peer = self._peers.get(worker)
        heard = self._expected.get(worker, now) if peer is None else peer.silent_from
        return max(0.0, now - heard)

    def living(self, now: float) -> Iterator[tuple[Agent, tuple[str, ...]]]:
        """Workers that seem to live, each with the queues that it serves."""
        for agent in self._agents.values():
            peer = self._peers.get(agent.worker)
            if peer is not None and not peer.stopped and peer.silent_from >= now:
                yield agent, peer.queues
