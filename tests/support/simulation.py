"""Agents, watchers and a user over one log with a virtual clock, under a seeded scheduler that delays, loses and kills.

The real minds of the agents run (`Core`); only log, clocks and machines are simulated. A failing seed fails again.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from random import Random

from tasktape.agent.appends import Message, Tombstone
from tasktape.agent.follow import Reading, is_wanted
from tasktape.events.base import Event, Stamper
from tasktape.events.codec import header
from tasktape.events.hardware import NOTHING, Hardware
from tasktape.events.limit_events import LimitSet
from tasktape.events.log.memory import MemoryLog
from tasktape.events.log.port import TopicPartition
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import (
    EntryDequeued,
    EntryEnqueued,
    EntryMoved,
    QueueCreated,
    entry_id,
    queue_topic,
)
from tasktape.events.task_events import EntryLeft, RunStarted, TaskCreated, TasksEvent
from tasktape.events.topics import TopicSpec
from tasktape.projections.limit_fold import scopes_of
from tasktape.projections.task_state import Rejection, TaskState, apply

from .simulated_agent import CODEC, PARTITIONS, Agent, Shape

TICK = 0.1
QUEUES = ("first", "second")
TOPICS = (
    "tasktape.tasks",
    "tasktape.workers",
    "tasktape.queues",
    "tasktape.control",
    *map(queue_topic, (*QUEUES, "elsewhere")),
)


class World:
    """The log, the time, and what really happened: which worker started user code of which run, and until when."""

    def __init__(self, seed: int, *, agents: int, faults: bool, shape: Shape | None = None) -> None:
        self.random = Random(seed)
        self.faults = faults
        self.shape = shape or Shape()
        self.now = 1000.0
        self.log = MemoryLog(clock=self.now_us)
        self.log.create_topics(TopicSpec(topic, 1 if topic == "tasktape.queues" else PARTITIONS) for topic in TOPICS)
        self._reader = self.log.read(self.log.start_positions(TOPICS))
        self.readings: dict[TopicPartition, list[Reading]] = {one: [] for one in self.log.start_positions(TOPICS)}
        self._ids = (f"{number:08x}" for number in itertools.count())
        self.stamp = self.stamper("user@host")
        self.launched: list[tuple[str, int, str]] = []
        self.happened: Counter[str] = Counter()
        self.names = (f"w{number}" for number in itertools.count())
        self.known = Known()
        self.late: list[tuple[float, Message]] = []
        self.limits: dict[str, int] = {}
        self.agents: list[Agent] = []
        self._shares: dict[tuple[Agent, str], frozenset[int]] = {}
        for _ in range(agents):
            self.add_agent()
        for queue in QUEUES:
            self.append(QueueCreated(meta=self.stamp(), queue=queue))

    def now_us(self) -> int:
        return round(self.now * 1e6)

    def stamper(self, actor: str) -> Stamper:
        return Stamper(actor, clock=self.now_us, ids=lambda: next(self._ids))

    # Who there is.

    def add_agent(self, *queues: str) -> Agent:
        self.agents.append(Agent(self, queues or QUEUES, self.shape))
        self.regroup()
        return self.agents[-1]

    def regroup(self) -> None:
        """Somebody came or died: partitions are shared out anew."""
        self._shares.clear()

    def share(self, agent: Agent, what: str) -> frozenset[int]:
        """Partitions of a group by living member; who is stalled keeps its own, so that for a while nobody acts."""
        key = (agent, what)
        if key not in self._shares:
            living = [other for other in self.agents if not other.dead]
            start = sum(map(ord, what))
            owners = {number: living[(number + start) % len(living)] for number in range(PARTITIONS)}
            self._shares[key] = frozenset(number for number, owner in owners.items() if owner is agent)
        return self._shares[key]

    # What is said.

    def append(self, event: Event) -> None:
        self.log.append(event.topic_name, event.key, CODEC.encode(event), headers=header(event))
        self._mirror()

    def write(self, message: Message) -> None:
        if isinstance(message, Tombstone):
            self.log.append("tasktape.workers", message.worker, None, headers=message.headers)
            self._mirror()
        else:
            self.append(message)

    def _mirror(self) -> None:
        """Decode once for all what was just written."""
        for record in self._reader.poll(limit=1_000_000):
            event = CODEC.decode(record.value) if record.value is not None else None
            reading = Reading(record, event if is_wanted(record) else None)
            self.readings[TopicPartition(record.topic, record.partition)].append(reading)
            self.known.read(reading._replace(event=event))

    def events(self, topic: str) -> list[Event]:
        return self.known.events[topic]

    def create(self, task: str, *tags: str) -> None:
        self.append(TaskCreated(meta=self.stamp(), task=task, spec=TaskSpec(project="p", name=task, tags=list(tags))))

    def enqueue(self, task: str, queue: str, run: int = 1, tags: Iterable[str] = (), needs: Hardware = NOTHING) -> None:
        about = {"task": task, "queue": queue, "run": run, "entry": entry_id(queue, task, run)}
        spec = TaskSpec(project="p", name=task, tags=list(tags), hardware=needs)
        self.append(EntryEnqueued(meta=self.stamp(), spec=spec, **about))

    def dequeue(self, task: str, queue: str, *, note: bool) -> None:
        entry = entry_id(queue, task, 1)
        self.append(EntryDequeued(meta=self.stamp(), task=task, queue=queue, run=1, entry=entry))
        if note:
            self.append(EntryLeft(meta=self.stamp(), task=task, run=1, entry=entry))

    def move(self, task: str, queue: str, target: str) -> None:
        """A mover that dies as soon as it has said so."""
        entry = entry_id(queue, task, 1)
        self.append(EntryMoved(meta=self.stamp(), task=task, queue=queue, run=1, entry=entry, to_queue=target))

    def limit(self, scope: str, running: int) -> None:
        self.append(LimitSet(meta=self.stamp(), scope=scope, running=running))
        self.limits[scope] = running

    def rerank(self, task: str, queue: str) -> None:
        entry = entry_id(queue, task, 1)
        self.append(EntryMoved(meta=self.stamp(), task=task, queue=queue, run=1, entry=entry, rank=0.0))

    def delay(self, message: Message) -> None:
        """The message is on its way, and arrives some time, whatever becomes of its sender."""
        self.late.append((self.now + self.random.choice([1.0, 5.0, 20.0, 60.0]), message))

    def deliver_late(self) -> None:
        arrived = [message for moment, message in self.late if moment <= self.now]
        if arrived:
            self.late = [(moment, message) for moment, message in self.late if moment > self.now]
            for message in arrived:
                self.write(message)

    # What really happens.

    def launch(self, agent: Agent, task: str, run: int) -> None:
        """User code starts: only where the log says that it is this worker's."""
        self.launched.append((task, run, agent.name))
        state = self.known.states[task].run
        assert (state.number, state.worker, state.ended) == (run, agent.name, False), self.happened

    def check_limits(self) -> None:
        """No more programs run at this moment than the limits allow."""
        for scope, running in self.limits.items():
            assert self.under_way(scope) <= running, (scope, self.launched, self.happened)

    def under_way(self, scope: str) -> int:
        """How many programs of a scope run at this moment, whatever the log and the agents know of it."""
        programs = [program for agent in self.agents for program in agent.running()]
        return sum(scope in scopes_of(program.pursuit.queue, program.pursuit.request) for program in programs)

    def run_until(self, condition: Callable[[], bool], *, seconds: float, chaos: bool = False) -> bool:
        """Let everything happen in random order until the condition holds; False where it does not in time."""
        deadline = self.now + seconds
        while self.now < deadline:
            self.deliver_late()
            acting = [agent for agent in self.agents if agent.is_awake()]
            for _ in range(self.random.randint(1, 12) if acting else 0):
                self.random.choice(acting).act(chaos=chaos)
            self.now += self.random.expovariate(1 / TICK)
            if condition():
                return True
            self._skip(deadline)
        return False

    def _skip(self, deadline: float) -> None:
        """Nobody can do anything for a while: go to the moment when somebody can."""
        moments = [agent.idle_until() for agent in self.agents]
        moment = min([deadline, *moments, *(moment for moment, _ in self.late)])
        self.now = max(self.now, moment)


class Known:
    """What any reader knows who has read all: events by topic, tasks' states, whose starts count, who has no record."""

    def __init__(self) -> None:
        self.events: defaultdict[str, list[Event]] = defaultdict(list)
        self.states: dict[str, TaskState] = {}
        self.starts: dict[tuple[str, int], str] = {}
        self.buried: set[str] = set()

    def read(self, reading: Reading) -> None:
        record, event = reading
        if event is None:
            self.buried.add(record.key or "")
            return
        self.events[record.topic].append(event)
        if isinstance(event, TasksEvent):
            self._apply(event)

    def _apply(self, event: TasksEvent) -> None:
        after = apply(self.states.get(event.task, TaskState()), event)
        if isinstance(after, Rejection):
            return
        self.states[event.task] = after
        if isinstance(event, RunStarted):
            self.starts[event.task, event.run] = event.worker


def started_runs(world: World) -> Counter[tuple[str, int]]:
    return Counter((task, run) for task, run, _ in world.launched)


def all_ended(world: World, tasks: Iterable[str]) -> bool:
    runs = [world.known.states[task].run for task in tasks]
    return all(run.ended and run.status != "failed" for run in runs)


def gave_up(world: World) -> bool:
    """A run that was lost again and again is not retried for ever."""
    return max((run for _, run, _ in world.launched), default=0) > 3


def check_starts(world: World) -> None:
    """User code of a run started once at most, and only on the worker whose start counts."""
    assert all(times == 1 for times in started_runs(world).values()), world.launched
    winners = world.known.starts
    assert all(winners.get((task, run)) == worker for task, run, worker in world.launched)
