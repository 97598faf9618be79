"""A world in memory for scalers' minds: a log, a clock, a provider, and agents that boot, work, leave and die.

The scalers are the real `Core`; all else is told in as few words as will do. Time goes in ticks, and what a provider
answers is heard a tick later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from tasktape.agent.appends import Tombstone, message_id
from tasktape.agent.follow import Reading
from tasktape.agent.inventory import Inventory
from tasktape.events.base import Event, Stamper
from tasktape.events.hardware import NOTHING, Hardware
from tasktape.events.instance_events import FailureKind, InstanceEvent
from tasktape.events.log.port import LogRecord
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import EntryClaimed, EntryEnqueued, EntryEvent, EntryTaken, entry_id
from tasktape.events.worker_events import (
    DrainRequested,
    HeldRun,
    WorkerEvent,
    WorkerHeartbeat,
    WorkerStarted,
    WorkerStopped,
)
from tasktape.projections.instance_fold import InstanceState
from tasktape.projections.queue_fold import QueueFold
from tasktape.scaler.core import Core
from tasktape.scaler.provider import Described, Launched, Order, Refused
from tasktape.scaler.settings import ScalerSettings

TICK = 0.5
EPOCH_US = 1_700_000_000_000_000
NEVER = inf


@dataclass
class FakeMachine:
    """What the provider has: its own view of a machine, when its agent comes, and that agent."""

    described: Described
    boots_at: float
    agent: FakeAgent | None = None

    @property
    def is_up(self) -> bool:
        return self.described.status in {"pending", "running"}


@dataclass
class FakeAgent:
    """A worker: `runs` are entries it holds and when each ends. A dead one says and does nothing, nor does a deaf one
    leave when it is told to.
    """

    name: str
    instance: str
    queues: Sequence[str]
    slots: int
    stamp: Stamper
    hardware: Hardware = NOTHING
    runs: dict[str, float] = field(default_factory=dict)
    beat_at: float = 0.0
    dead: bool = False
    deaf: bool = False
    draining: bool = False
    left: bool = False


class FakeProvider:
    """Machines by the provider's name. `refuse` says why an order is not fulfilled; they may not end (at once)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.machines: dict[str, FakeMachine] = {}
        self.refuse: Callable[[Order], FailureKind | None] = lambda _order: None
        self.calls: Counter[str] = Counter()
        self.ended_busy: list[str] = []
        self.is_down = False
        self.ends_at_once = True
        self.hidden: set[str] = set()

    def launch(self, orders: Sequence[Order]) -> list[Launched | Refused]:
        self.calls["launch"] += 1
        return [self._launch(order) for order in orders]

    def describe(self) -> list[Described]:
        self.calls["describe"] += 1
        return [machine.described for name, machine in self.machines.items() if name not in self.hidden]

    def terminate(self, machines: Sequence[str]) -> None:
        self.calls["terminate"] += 1
        for name in machines if self.ends_at_once else ():
            machine = self.machines[name]
            if machine.is_up and machine.agent is not None and machine.agent.runs and not machine.agent.dead:
                self.ended_busy.append(name)
            self.end(name)

    def end(self, name: str) -> None:
        """Take a machine away, with what runs on it."""
        machine = self.machines[name]
        machine.described = replace(machine.described, status="gone")
        if machine.agent is not None:
            machine.agent.dead = True

    def interrupt(self, name: str) -> None:
        self.machines[name].described = replace(self.machines[name].described, interrupted=True)

    def up(self) -> list[FakeMachine]:
        return [machine for machine in self.machines.values() if machine.is_up]

    def _launch(self, order: Order) -> Launched | Refused:
        known = [name for name, machine in self.machines.items() if machine.described.instance == order.instance]
        if kind := None if known else self.refuse(order):
            return Refused(order.instance, kind, f"the provider says {kind}")
        return Launched(order.instance, known[0] if known else self.add(order), order.placement.zone or "zone")

    def add(self, order: Order) -> str:
        """Have a machine, whoever asked for it."""
        name = f"machine-{len(self.machines)}"
        described = Described(
            name, order.instance, order.resource, order.queues, order.placement, "running", order.kind.slots
        )
        self.machines[name] = FakeMachine(described, self.world.now + self.world.boot)
        return name


class Scaler:
    """One scaler's process, as ports of its mind. `chosen` is what the group says; `is_cut_off` parts it from the log,
    `is_stopped` is SIGSTOP, and a `mute` one never hears what its provider did.
    """

    def __init__(self, world: World, settings: ScalerSettings) -> None:
        self.world = world
        self.core = Core(settings, self, lambda: Stamper("scaler", clock=world.log_us))
        self.chosen = True
        self.is_cut_off = False
        self.is_stopped = False
        self.mute = False
        self.heard: list[Callable[[Core], None]] = []
        self._read = 0
        self.appended: list[Event] = []

    def tick(self) -> None:
        if self.is_stopped:
            return
        heard, self.heard = self.heard, []
        for tell in heard:
            tell(self.core)
        if not self.is_cut_off:
            news, self._read = self.world.log[self._read :], len(self.world.log)
            self.core.on_readings(news, self.world.now)
            self.core.on_read_to_end()
        self.core.step(self.world.now)

    def owns(self) -> bool:
        return self.chosen

    def append(self, event: Event) -> None:
        self.appended.append(event)
        if self.is_cut_off:
            self.heard.append(lambda core: core.appends.failed(message_id(event), self.world.now))
        else:
            self.world.put(event)
            self.heard.append(lambda core: core.appends.delivered(message_id(event)))

    def launch(self, orders: Sequence[Order]) -> None:
        outcomes = self.world.provider.launch(orders)
        if not self.mute:
            self.heard.append(lambda core: core.on_launched(outcomes))

    def terminate(self, machines: Sequence[str]) -> None:
        self.world.provider.terminate(machines)
        self.heard.append(lambda core: core.on_terminated(self.world.now))

    def describe(self) -> None:
        if self.world.provider.is_down:
            self.heard.append(lambda core: core.on_not_described(self.world.now))
            return
        described = self.world.provider.describe()
        self.heard.append(lambda core: core.on_described(described, self.world.now))


class World:
    """All of it. `boot` is how long machines take, `durations` how long entries run, by task."""

    def __init__(self, settings: ScalerSettings, *, boot: float = 60.0) -> None:
        self.now = 1000.0
        self.boot = boot
        self.settings = settings
        self.log: list[Reading] = []
        self.provider = FakeProvider(self)
        self.agents: list[FakeAgent] = []
        self.durations: dict[str, float] = {}
        self.needs: dict[str, Hardware] = {}
        self.refused: set[str] = set()
        self.user = Stamper("ada@desk", clock=self.log_us)
        self._queues = {queue: QueueFold(queue) for queue in settings.queues}
        self._drained: set[str] = set()
        self.scalers = [Scaler(self, settings)]

    @property
    def scaler(self) -> Scaler:
        return self.scalers[-1]

    def log_us(self) -> int:
        return EPOCH_US + round(self.now * 1e6)

    # What happens.

    def put(self, event: Event) -> None:
        """Append an event to the log."""
        record = LogRecord(event.topic_name, 0, len(self.log), self.log_us(), event.key, b"")
        self.log.append(Reading(record, event))
        if isinstance(event, EntryEvent):
            self._queues[event.queue].apply(event, partition=0, offset=record.offset, timestamp_us=record.timestamp)
        elif isinstance(event, DrainRequested):
            self._drained.add(event.worker)

    def enqueue(
        self, count: int = 1, queue: str = "q", seconds: float = 60.0, needs: Hardware = NOTHING, **fields: Any
    ) -> list[str]:
        """Have entries wait; returns their ids. They run for so long once they are taken."""
        return [self._enqueue(queue, seconds, needs, fields) for _ in range(count)]

    def _enqueue(self, queue: str, seconds: float, needs: Hardware, fields: dict[str, Any]) -> str:
        task = f"t{len(self.durations)}"
        self.durations[task] = seconds
        entry = entry_id(queue, task, 1)
        self.needs[entry] = needs
        spec = TaskSpec(project="p", name="n", hardware=needs)
        self.put(EntryEnqueued(meta=self.user(), task=task, queue=queue, entry=entry, run=1, spec=spec, **fields))
        return entry

    def restart(self) -> Scaler:
        """End the scaler as `kill -9` does, and start another one."""
        self.scalers[-1].is_stopped, self.scalers[-1].chosen = True, False
        return self.start()

    def start(self) -> Scaler:
        """Start one more scaler."""
        self.scalers.append(Scaler(self, self.settings))
        return self.scalers[-1]

    def agent(
        self, instance: str = "", queues: Sequence[str] = ("q",), slots: int = 1, hardware: Hardware = NOTHING
    ) -> FakeAgent:
        """Start an agent, on a machine of the scaler's or elsewhere."""
        name = f"worker-{len(self.agents)}"
        agent = FakeAgent(name, instance, list(queues), slots, Stamper(f"agent/{name}", clock=self.log_us), hardware)
        self.agents.append(agent)
        fields = {"host": "h", "pid": 1, "queues": list(queues), "slots": slots, "instance": instance}
        fields |= {"hardware": hardware}
        self.put(WorkerStarted(meta=agent.stamp(), worker=name, **fields))
        return agent

    def bury(self, agent: FakeAgent) -> None:
        """Declare an agent dead, as those who watch it do."""
        tombstone = Tombstone("id", agent.name, agent.stamp.session, 10**9)
        headers = tombstone.headers
        record = LogRecord(WorkerEvent.topic, 0, len(self.log), self.log_us(), agent.name, None, headers)
        self.log.append(Reading(record, None))

    # Time.

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.tick()

    def until(self, told: Callable[[], bool], seconds: float = 3600.0) -> None:
        """Let time pass until something is so."""
        end = self.now + seconds
        while not told():
            assert self.now < end, "it never came to be"
            self.tick()

    def tick(self) -> None:
        self.now += TICK
        for machine in self.provider.up():
            if machine.agent is None and self.now >= machine.boots_at:
                seen = machine.described
                hardware = self.settings.resources[seen.resource].hardware
                machine.agent = self.agent(seen.instance, seen.queues, seen.slots, hardware)
        for agent in self.agents:
            if not agent.dead and not agent.left:
                self._work(agent)
        for scaler in self.scalers:
            scaler.tick()

    def _work(self, agent: FakeAgent) -> None:
        over = [entry for entry, ends_at in agent.runs.items() if ends_at <= self.now]
        for entry in over:
            del agent.runs[entry]
        agent.draining = agent.draining or (agent.name in self._drained and not agent.deaf)
        taken = 0 if agent.draining else sum(1 for _ in self._take(agent))
        if over or taken or self.now >= agent.beat_at:
            self._beat(agent)
        if agent.draining and not agent.runs:
            agent.left = True
            self.put(WorkerStopped(meta=agent.stamp(), worker=agent.name))
            self.bury(agent)

    def _take(self, agent: FakeAgent) -> Iterator[str]:
        for queue in agent.queues:
            for entry in list(self._queues[queue].waiting()):
                is_able = len(agent.runs) < agent.slots and entry.hardware.fits(self._spare(agent))
                if is_able and entry.id not in self.refused:
                    about = {"task": entry.task, "queue": queue, "entry": entry.id, "run": entry.run}
                    claimed = EntryClaimed(meta=agent.stamp(), worker=agent.name, **about)
                    self.put(claimed)
                    agent.runs[entry.id] = self.now + self.durations[entry.task]
                    self._beat(agent)
                    claim = claimed.meta.event_id
                    self.put(EntryTaken(meta=agent.stamp(), worker=agent.name, claim=claim, **about))
                    yield entry.id

    def _beat(self, agent: FakeAgent) -> None:
        agent.beat_at = self.now + 5.0
        places = {"partition": 0, "enqueued_offset": 0, "claim_offset": 0}
        runs = [HeldRun(task="t", run=1, queue="q", entry=entry, **places) for entry in agent.runs]
        about = {"worker": agent.name, "queues": list(agent.queues), "spare": self._spare(agent)}
        self.put(WorkerHeartbeat(meta=agent.stamp(), runs=runs, **about))

    def _spare(self, agent: FakeAgent) -> Hardware:
        return Inventory(agent.hardware).spare(self.needs[entry] for entry in agent.runs)

    # What is to be seen.

    def states(self) -> list[InstanceState]:
        """Machines that ever were, as the latest scaler's fold has them."""
        return list(self.scaler.core.seen.scaler.instances.values())

    def statuses(self) -> Counter[str]:
        return Counter(state.status for state in self.states())

    def said(self, kind: type[Event]) -> list[Any]:
        """Events of a kind on the log, in order."""
        return [event for _, event in self.log if isinstance(event, kind)]

    def waiting(self, queue: str = "q") -> int:
        return sum(1 for _ in self._queues[queue].waiting())

    def busy(self) -> list[FakeAgent]:
        return [agent for agent in self.agents if agent.runs and not agent.dead]


def instances_of(events: Iterable[InstanceEvent]) -> list[str]:
    """Which machines events are about."""
    return [event.instance for event in events]
