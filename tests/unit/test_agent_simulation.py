"""Agents, watchers and a user over one log with a virtual clock, under a seeded scheduler that delays, loses and kills.

The real minds of the agents run (`Core`); only log, clocks and machines are simulated. A failing seed fails again.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.agent.appends import Message, Tombstone, message_id
from tasktape.agent.claiming import Pursuit
from tasktape.agent.core import MAIN, ORPHANS, START, Core, Plan
from tasktape.agent.follow import Batch, decode
from tasktape.agent.run_control import FinalEvent, Trouble
from tasktape.agent.view import QueueView
from tasktape.events.base import Event, Stamper
from tasktape.events.codec import Codec, header
from tasktape.events.errors import AppendError
from tasktape.events.log.memory import MemoryLog
from tasktape.events.log.port import Positions, Reader, TopicPartition
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import (
    EntryClaimed,
    EntryDequeued,
    EntryEnqueued,
    EntryEvent,
    EntryMoved,
    EntryTaken,
    QueueCreated,
    entry_id,
    queue_topic,
)
from tasktape.events.task_events import EntryLeft, RunEvent, RunLost, RunStarted, TaskCreated, TasksEvent
from tasktape.events.topics import TopicSpec
from tasktape.events.worker_events import WorkerHeartbeat
from tasktape.projections.task_state import Rejection, TaskState, apply

PARTITIONS = 2
LEASE = 10.0
INTERVAL = 5.0
TICK = 0.1
STALLS = {"stalled for less than a lease": 6.0, "stalled for more": 12.0, "stalled for long": 40.0, "asleep": 40.0}
QUEUES = ("first", "second")
TOPICS = (
    "tasktape.tasks",
    "tasktape.workers",
    "tasktape.queues",
    "tasktape.control",
    *map(queue_topic, (*QUEUES, "elsewhere")),
)
CODEC = Codec()


class World:
    """The log, the time, and what really happened: which worker started user code of which run, and until when."""

    def __init__(self, seed: int, *, agents: int, faults: bool) -> None:
        self.random = Random(seed)
        self.faults = faults
        self.now = 1000.0
        self.log = MemoryLog(clock=lambda: round(self.now * 1e6))
        self.log.create_topics(TopicSpec(topic, PARTITIONS) for topic in TOPICS)
        self.stamp = Stamper("user@host")
        self.launched: list[tuple[str, int, str]] = []
        self.happened: Counter[str] = Counter()
        self.names = (f"w{number}" for number in itertools.count())
        self._shares: dict[tuple[Agent, str, int, int], frozenset[int]] = {}
        self.agents: list[Agent] = []
        for _ in range(agents):
            self.add_agent()
        self.known = Known(self.log)
        self.late: list[tuple[float, Message]] = []
        for queue in QUEUES:
            self.append(QueueCreated(meta=self.stamp(), queue=queue))

    def add_agent(self, *queues: str) -> Agent:
        self.agents.append(Agent(self, queues or QUEUES))
        return self.agents[-1]

    def share(self, agent: Agent, what: str) -> frozenset[int]:
        """Partitions of a group by living member; who is stalled keeps its own, so that for a while nobody acts."""
        living = sum(not other.dead for other in self.agents)
        key = (agent, what, len(self.agents), living)
        if key not in self._shares:
            place = [other for other in self.agents if not other.dead].index(agent)
            owned = (number for number in range(PARTITIONS) if (number + sum(map(ord, what))) % living == place)
            self._shares[key] = frozenset(owned)
        return self._shares[key]

    def append(self, event: Event) -> None:
        self.log.append(event.topic_name, event.key, CODEC.encode(event), headers=header(event))

    def events(self, topic: str) -> list[Event]:
        return self.known.events(topic)

    def enqueue(self, task: str, queue: str, run: int = 1) -> None:
        about = {"task": task, "queue": queue, "run": run, "entry": entry_id(queue, task, run)}
        self.append(EntryEnqueued(meta=self.stamp(), spec=TaskSpec(project="p", name=task), priority=3, **about))

    def create(self, task: str) -> None:
        self.append(TaskCreated(meta=self.stamp(), task=task, spec=TaskSpec(project="p", name=task)))

    def dequeue(self, task: str, queue: str, *, note: bool) -> None:
        entry = entry_id(queue, task, 1)
        self.append(EntryDequeued(meta=self.stamp(), task=task, queue=queue, run=1, entry=entry))
        if note:
            self.append(EntryLeft(meta=self.stamp(), task=task, run=1, entry=entry))

    def move(self, task: str, queue: str, target: str) -> None:
        """A mover that dies as soon as it has said so."""
        entry = entry_id(queue, task, 1)
        self.append(EntryMoved(meta=self.stamp(), task=task, queue=queue, run=1, entry=entry, to_queue=target))

    def rerank(self, task: str, queue: str) -> None:
        entry = entry_id(queue, task, 1)
        self.append(EntryMoved(meta=self.stamp(), task=task, queue=queue, run=1, entry=entry, rank=0.0))

    def delay(self, message: Message) -> None:
        """The message is on its way, and arrives some time, whatever becomes of its sender."""
        self.late.append((self.now + self.random.choice([1.0, 5.0, 20.0, 60.0]), message))

    def deliver_late(self) -> None:
        arrived = [message for moment, message in self.late if moment <= self.now]
        self.late = [(moment, message) for moment, message in self.late if moment > self.now]
        for message in arrived:
            self.write(message)

    def write(self, message: Message) -> None:
        if isinstance(message, Tombstone):
            self.log.append("tasktape.workers", message.worker, None, headers=message.headers)
        else:
            self.append(message)

    def run_until(self, condition: Callable[[], bool], *, seconds: float, chaos: bool = False) -> bool:
        """Let everything happen in random order until the condition holds; False where it does not in time."""
        deadline = self.now + seconds
        while self.now < deadline:
            self.deliver_late()
            for _ in range(self.random.randint(1, 12)):
                self.random.choice(self.agents).act(chaos=chaos)
            self.now += self.random.expovariate(1 / TICK)
            if condition():
                return True
        return False


class Known:
    """What any reader knows who has read all: events by topic, tasks' states, whose starts count, who has no record."""

    def __init__(self, log: MemoryLog) -> None:
        self._reader = log.read(log.start_positions(TOPICS))
        self._events: defaultdict[str, list[Event]] = defaultdict(list)
        self._states: dict[str, TaskState] = {}
        self._starts: dict[tuple[str, int], str] = {}
        self._buried: set[str] = set()

    def events(self, topic: str) -> list[Event]:
        self._read()
        return self._events[topic]

    def states(self) -> dict[str, TaskState]:
        self._read()
        return self._states

    def valid_starts(self) -> dict[tuple[str, int], str]:
        self._read()
        return self._starts

    def buried(self) -> set[str]:
        self._read()
        return self._buried

    def _read(self) -> None:
        for record in self._reader.poll(limit=1_000_000):
            if record.value is None:
                self._buried.add(record.key or "")
                continue
            event = CODEC.decode(record.value)
            self._events[record.topic].append(event)
            if isinstance(event, TasksEvent):
                self._apply(event)

    def _apply(self, event: TasksEvent) -> None:
        after = apply(self._states.get(event.task, TaskState()), event)
        if isinstance(after, Rejection):
            return
        self._states[event.task] = after
        if isinstance(event, RunStarted):
            self._starts[event.task, event.run] = event.worker


@dataclass
class Program:
    """User code of one run on a simulated machine."""

    pursuit: Pursuit
    ends_at: float = float("inf")
    is_running: bool = False


@dataclass(eq=False)
class Agent:
    """One agent process: its mind, its place in each partition, what it has on the wire, and its programs."""

    world: World
    queues: tuple[str, ...]
    name: str = ""
    core: Core = field(init=False)
    wire: deque[Message] = field(default_factory=deque)
    acks: deque[tuple[str, AppendError | None]] = field(default_factory=deque)
    news: deque[Callable[[], None]] = field(default_factory=deque)
    programs: dict[str, Program] = field(default_factory=dict)
    readers: dict[str, dict[TopicPartition, Reader]] = field(default_factory=dict)
    marks: list[tuple[str, str, Positions]] = field(default_factory=list)
    committed: Positions = field(default_factory=dict)
    stalled_until: float = 0.0
    asleep: float = 0.0
    dead: bool = False

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        world = self.world
        self.name = next(world.names)
        plan = Plan(self.name, "host", 1, self.queues, 1, LEASE, INTERVAL, PARTITIONS)
        self.core = Core(plan, self, self, lambda: Stamper(f"agent/{self.name}"), Random(world.random.random()))
        positions = world.log.start_positions(["tasktape.tasks", "tasktape.workers", "tasktape.queues"])
        positions |= world.log.end_positions(["tasktape.control"])
        positions |= world.log.start_positions([queue_topic(queue) for queue in self.queues])
        self.follow(MAIN, positions)
        self.mark(MAIN, START, TOPICS)

    # Clocks and ports of the core.

    def monotonic(self) -> float:
        return self.world.now - self.asleep

    def boottime(self) -> float:
        return self.world.now

    def append(self, message: Message) -> None:
        self.wire.append(message)

    def owned(self, queue: str) -> frozenset[int]:
        return self.world.share(self, queue)

    def watched(self) -> frozenset[int]:
        return self.world.share(self, "workers")

    def commit(self, queue: str, positions: Positions) -> None:  # noqa: ARG002  a port's signature
        self.committed |= positions

    def load(self) -> dict[str, float]:
        return {}

    def adopt(self, queue: str) -> None:
        self.follow(ORPHANS, self.world.log.start_positions([queue_topic(queue)]))

    def read_workers_to_end(self, mark: str) -> None:
        self.mark(MAIN, mark, ["tasktape.workers"])

    def open_case(self, worker: str, positions: Positions) -> None:
        self.follow(worker, positions)
        self.mark(worker, "case", {source.topic for source in positions})

    def close_case(self, worker: str) -> None:
        self.readers.pop(worker, None)
        self.marks = [mark for mark in self.marks if mark[0] != worker]

    def prepare(self, pursuit: Pursuit) -> None:
        attempt = pursuit.attempt
        self.programs[attempt] = Program(pursuit)
        self.news.append(lambda: self.core.on_prepared(attempt, None))

    def launch(self, attempt: str) -> Trouble | None:
        program = self.programs[attempt]
        about = program.pursuit.entry
        self.world.launched.append((about.task, about.run, self.name))
        state = self.world.known.states()[about.task].run
        assert (state.number, state.worker, state.ended) == (about.run, self.name, False), self.world.happened
        program.is_running = True
        program.ends_at = self.world.now + self.world.random.choice([0.1, 1.0, 8.0])
        return None

    def stop(self, attempt: str, *, patient: bool, grace: float) -> None:  # noqa: ARG002  a program that obeys at once
        self.programs[attempt].ends_at = self.world.now

    def finish(self, attempt: str, event: FinalEvent | None) -> None:
        self.programs.pop(attempt, None)

        def finished() -> None:
            if event is not None:
                self.world.append(event)
            self.core.on_finished(attempt)

        self.news.append(finished)

    # What the scheduler does.

    def follow(self, name: str, positions: Positions) -> None:
        readers = self.readers.setdefault(name, {})
        readers |= {source: self.world.log.read({source: offset}) for source, offset in positions.items()}

    def mark(self, name: str, mark: str, topics: object) -> None:
        ends = self.world.log.end_positions(topics)  # type: ignore[arg-type]
        self.marks.append((name, mark, ends))

    def act(self, *, chaos: bool) -> None:
        """Do one random thing that this agent could do now."""
        if self.dead or self.core.gone or self.world.now < self.stalled_until:
            return
        if chaos and self.world.random.random() < 0.02:
            self.suffer()
            return
        self.world.random.choice([self.read, self.read, self.send, self.acknowledge, self.hear, self.end_programs])()
        self.core.step()

    def read(self) -> None:
        name = self.world.random.choice(list(self.readers))
        readers = self.readers[name]
        reader = self.world.random.choice(list(readers.values()))
        records = reader.poll(limit=self.world.random.choice([1, 2, 100]))
        positions = {source: reader.positions()[source] for source, reader in readers.items()}
        passed = [mark for mark in self.marks if mark[0] == name and is_reached(positions, mark[2])]
        self.marks = [mark for mark in self.marks if mark not in passed]
        readings = [decode(record, CODEC) for record in records]
        self.core.on_batch(Batch(name, readings, tuple(mark for _, mark, _ in passed), lambda: None))

    def send(self) -> None:
        """The first message on the wire reaches the log or is lost, and so does its acknowledgement."""
        if not self.wire:
            return
        message = self.wire.popleft()
        fate = self.world.random.random() if self.world.faults else 0.5
        if fate < 0.05:
            self.world.happened["append lost"] += 1
        else:
            self.world.write(message)
        if fate > 0.97 and self.world.faults:
            self.world.happened["duplicate"] += 1
            self.world.delay(message)
        in_doubt = AppendError("in doubt") if fate < 0.1 else None
        self.world.happened["acknowledgement lost"] += int(0.05 <= fate < 0.1)
        self.acks.append((message_id(message), in_doubt))

    def acknowledge(self) -> None:
        if self.acks:
            self.core.on_delivered(*self.acks.popleft())

    def hear(self) -> None:
        if self.news:
            self.news.popleft()()

    def end_programs(self) -> None:
        for attempt, program in self.programs.items():
            if program.is_running and program.ends_at <= self.world.now:
                program.is_running, program.ends_at = False, float("inf")
                self.news.append(lambda attempt=attempt: self.core.on_exited(attempt, 0))  # type: ignore[misc]

    def suffer(self) -> None:
        """Die and be replaced, or stall for long, or for so long that others take it for dead, or sleep."""
        kind = self.world.random.choice(["killed", *STALLS])
        self.world.happened[kind] += 1
        if kind == "killed":
            self.dead = True
            for message in self.wire:
                self.world.delay(message)
            self.world.add_agent()
        else:
            self.stalled_until = self.world.now + STALLS[kind]
            self.asleep += STALLS[kind] if kind == "asleep" else 0.0


def is_reached(positions: Positions, ends: Positions) -> bool:
    return all(positions[source] >= end for source, end in ends.items() if source in positions)


def started_runs(world: World) -> Counter[tuple[str, int]]:
    return Counter((task, run) for task, run, _ in world.launched)


def all_ended(world: World, tasks: list[str]) -> bool:
    states = world.known.states()
    waiting = [task for task in tasks if not states[task].run.ended or states[task].run.status == "failed"]
    return not waiting


def check_starts(world: World) -> None:
    """User code of a run started once at most, and only on the worker whose start counts."""
    assert all(times == 1 for times in started_runs(world).values()), world.launched
    winners = world.known.valid_starts()
    assert all(winners.get((task, run)) == worker for task, run, worker in world.launched)


@given(st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_every_entry_is_run_once_when_all_goes_well(seed: int) -> None:
    world = World(seed, agents=3, faults=False)
    tasks = [f"task{number}" for number in range(4)]
    for task in tasks:
        world.create(task)
        world.enqueue(task, world.random.choice(QUEUES))
    assert world.run_until(lambda: all_ended(world, tasks), seconds=200)
    check_starts(world)
    assert started_runs(world) == Counter({(task, 1): 1 for task in tasks})


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_no_run_starts_twice_and_none_is_forgotten_whatever_fails(seed: int) -> None:
    world = World(seed, agents=3, faults=True)
    tasks = [f"task{number}" for number in range(3)]
    for task in tasks:
        world.create(task)
        world.enqueue(task, "first")
        if world.random.random() < 0.3:
            world.enqueue(task, "second")
    world.run_until(lambda: False, seconds=60, chaos=True)
    assert world.run_until(lambda: all_ended(world, tasks) or gave_up(world), seconds=600), world.happened
    check_starts(world)


def gave_up(world: World) -> bool:
    """A run that was lost again and again is not retried for ever."""
    return any(state.run.number > 3 and state.run.ended for state in world.known.states().values())


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_what_was_dequeued_never_starts_and_what_was_moved_starts_once(seed: int) -> None:
    world = World(seed, agents=2, faults=True)
    for task in ("stays", "goes", "moves"):
        world.create(task)
        world.enqueue(task, "first")
    world.run_until(lambda: False, seconds=world.random.choice([0.0, 0.5, 2.0, 15.0]), chaos=True)
    world.dequeue("goes", "first", note=world.random.random() < 0.5)
    world.move("moves", "first", "second")
    world.run_until(lambda: False, seconds=20, chaos=True)
    tasks = ["stays", "moves"]
    assert world.run_until(lambda: all_ended(world, tasks) or gave_up(world), seconds=600), world.happened
    check_starts(world)
    if was_dequeued(world, "goes"):
        assert ("goes", 1) not in started_runs(world)


def was_dequeued(world: World, task: str) -> bool:
    """Whether the queue's log says so: it was not taken before."""
    entry = QueueView("first", LEASE)
    with world.log.read(world.log.start_positions([queue_topic("first")])) as reader:
        for record in reader.poll(limit=1_000_000):
            event = CODEC.decode(record.value or b"")
            assert isinstance(event, EntryEvent)
            entry.apply(event, record, 0.0)
    found = entry.fold.entry(entry_id("first", task, 1))
    return found is not None and found.state == "dequeued"


def test_a_move_to_a_queue_nobody_serves_is_completed_by_those_who_serve_the_first() -> None:
    world = World(1, agents=2, faults=False)
    world.create("task")
    world.agents[0].dead = world.agents[1].dead = True
    world.enqueue("task", "first")
    world.move("task", "first", "elsewhere")
    world.add_agent()
    assert world.run_until(lambda: bool(notes(world)), seconds=60)
    arrived = [event for event in world.events(queue_topic("elsewhere")) if isinstance(event, EntryEnqueued)]
    assert [event.origin for event in arrived] == [entry_id("first", "task", 1)]


def test_a_queue_nobody_serves_is_looked_after_by_the_watchers() -> None:
    world = World(2, agents=2, faults=False)
    world.append(QueueCreated(meta=world.stamp(), queue="elsewhere"))
    world.create("task")
    world.enqueue("task", "elsewhere")
    world.move("task", "elsewhere", "first")
    assert world.run_until(lambda: bool(started_runs(world)), seconds=60)
    assert notes(world) == [entry_id("elsewhere", "task", 1)]


def notes(world: World) -> list[str]:
    return [event.entry for event in world.events("tasktape.tasks") if isinstance(event, EntryLeft)]


def test_a_dead_worker_s_run_is_lost_and_runs_again_and_its_record_goes() -> None:
    world = World(3, agents=2, faults=False)
    world.create("task")
    world.enqueue("task", "first")
    assert world.run_until(lambda: bool(world.launched), seconds=60)
    victim = next(agent for agent in world.agents if agent.name == world.launched[0][2])
    victim.dead = True
    assert world.run_until(lambda: all_ended(world, ["task"]), seconds=200)
    assert [(run, worker == victim.name) for _, run, worker in world.launched] == [(1, True), (2, False)]
    lost = [event for event in world.events("tasktape.tasks") if isinstance(event, RunLost)]
    assert lost[0].worker == victim.name
    assert world.run_until(lambda: victim.name in world.known.buried(), seconds=60)


def test_a_run_whose_taking_arrives_long_after_its_worker_died_is_lost_then_and_runs_again() -> None:
    world = World(7, agents=0, faults=False)
    claimer, watcher = world.add_agent("first"), world.add_agent("second")
    world.create("task")
    world.enqueue("task", "first")

    def taking() -> list[EntryTaken]:
        return [message for message in claimer.wire if isinstance(message, EntryTaken)]

    assert world.run_until(lambda: bool(taking()), seconds=60)
    claimer.dead = True
    world.run_until(lambda: False, seconds=60)
    assert not world.events("tasktape.tasks")[1:], "a claim alone makes nothing lost"
    assert claimer.name not in world.known.buried()
    world.write(taking()[0])
    assert world.run_until(lambda: claimer.name in world.known.buried(), seconds=60)
    lost = [event for event in world.events("tasktape.tasks") if isinstance(event, RunLost)]
    assert [(event.run, event.worker) for event in lost] == [(1, claimer.name)]
    enqueued = [event for event in world.events(queue_topic("first")) if isinstance(event, EntryEnqueued)]
    assert [(event.run, event.priority) for event in enqueued] == [(1, 3), (2, 3)]
    assert world.run_until(lambda: not watcher.core.watcher.cases, seconds=60)


def hold_back(agent: Agent, kind: type[Event]) -> Callable[[], bool]:
    """Let nothing of this kind reach the log, nor what follows it; returns whether that is so at the moment."""
    send = agent.send
    is_held = lambda: bool(agent.wire) and isinstance(agent.wire[0], kind)  # noqa: E731
    agent.send = lambda: None if is_held() else send()  # type: ignore[method-assign, no-untyped-call]
    return is_held


def test_a_run_lost_before_it_began_is_followed_by_the_next_although_its_watcher_died() -> None:
    world = World(11, agents=0, faults=False)
    frozen, watcher = world.add_agent("first"), world.add_agent("second")
    watcher.watched = lambda: frozenset(range(PARTITIONS))  # type: ignore[method-assign]
    world.create("task")
    world.enqueue("task", "first")
    assert world.run_until(hold_back(frozen, RunStarted), seconds=60)
    frozen.stalled_until = float("inf")
    assert world.run_until(hold_back(watcher, RunLost), seconds=60)
    watcher.dead = True
    world.write(watcher.wire[0])
    frozen.stalled_until = 0.0
    del frozen.send
    assert world.run_until(lambda: all_ended(world, ["task"]), seconds=60)
    assert world.launched == [("task", 2, frozen.name)]


def test_a_heartbeat_for_an_earlier_claim_does_not_stand_for_the_present_one() -> None:
    world = World(12, agents=0, faults=False)
    agent = world.add_agent("first")
    world.create("task")
    world.enqueue("task", "first")
    is_taking = hold_back(agent, EntryTaken)
    assert world.run_until(is_taking, seconds=60)
    too_late = agent.wire.popleft()
    world.run_until(lambda: False, seconds=LEASE + 1.0)
    world.rerank("task", "first")
    world.write(too_late)
    agent.acknowledge = lambda: None  # type: ignore[method-assign]
    assert not world.run_until(is_taking, seconds=5.0), "no heartbeat that names the second claim is acknowledged"
    del agent.acknowledge
    assert world.run_until(is_taking, seconds=60)
    beats = [event for event in world.events("tasktape.workers") if isinstance(event, WorkerHeartbeat)]
    claims = [event for event in world.events(queue_topic("first")) if isinstance(event, EntryClaimed)]
    assert len(claims) == 2
    assert len({run.claim_offset for beat in beats for run in beat.runs}) == 2


@pytest.mark.parametrize("beats_first", [True, False])
def test_an_agent_that_froze_before_it_started_user_code_starts_nothing_when_it_wakes(beats_first: bool) -> None:
    world = World(10, agents=1, faults=False)
    (frozen,) = world.agents
    frozen.prepare = lambda pursuit: frozen.programs.update({pursuit.attempt: Program(pursuit)})  # type: ignore[method-assign]
    world.create("task")
    world.enqueue("task", "first")
    begun = lambda: any(control.begun for control in frozen.core.runs.controls.values())  # noqa: E731
    assert world.run_until(begun, seconds=60)
    (attempt,) = frozen.programs
    frozen.stalled_until = float("inf")
    other = world.add_agent()
    other.watched = lambda: frozenset(range(PARTITIONS))  # type: ignore[method-assign]
    assert world.run_until(lambda: bool(world.launched), seconds=60)
    frozen.stalled_until = 0.0
    if beats_first:
        frozen.core.step()
        frozen.send()
        frozen.acknowledge()
    frozen.core.on_prepared(attempt, None)
    frozen.core.step()
    assert world.launched == [("task", 2, other.name)]
    world.run_until(lambda: False, seconds=20)
    assert world.launched == [("task", 2, other.name)]


def test_an_agent_told_to_go_leaves_although_the_log_does_not_answer() -> None:
    world = World(8, agents=1, faults=False)
    (agent,) = world.agents
    world.create("task")
    world.enqueue("task", "first")
    assert world.run_until(lambda: bool(world.launched), seconds=60)
    agent.send = lambda: None  # type: ignore[method-assign]
    agent.core.leave("SIGTERM")
    assert not world.run_until(lambda: agent.core.gone, seconds=0.05)
    agent.core.leave_now("SIGTERM")
    assert world.run_until(lambda: agent.core.gone, seconds=20)


def test_an_agent_told_to_go_finishes_what_runs_and_its_record_goes() -> None:
    world = World(9, agents=1, faults=False)
    (agent,) = world.agents
    world.create("task")
    world.enqueue("task", "first")
    assert world.run_until(lambda: bool(world.launched), seconds=60)
    agent.core.leave("SIGTERM")
    world.create("other")
    world.enqueue("other", "first")
    assert world.run_until(lambda: agent.core.gone, seconds=60)
    assert all_ended(world, ["task"])
    assert started_runs(world) == Counter({("task", 1): 1})
    assert agent.name in world.known.buried()


@pytest.mark.parametrize("asleep", [True, False])
def test_a_watcher_that_slept_or_was_frozen_makes_nobody_lost(asleep: bool) -> None:
    for seed in range(5):
        world = World(seed, agents=2, faults=False)
        world.create("task")
        world.enqueue("task", "first")
        assert world.run_until(lambda world=world: bool(world.launched), seconds=60)  # type: ignore[misc]
        runner = next(agent for agent in world.agents if agent.name == world.launched[0][2])
        for program in runner.programs.values():
            program.ends_at = float("inf")
        (watcher,) = [agent for agent in world.agents if agent is not runner]
        watcher.stalled_until = world.now + 60.0
        watcher.asleep = 60.0 if asleep else 0.0
        world.run_until(lambda: False, seconds=100)
        assert world.launched == [("task", 1, runner.name)]
        assert not [event for event in world.events("tasktape.tasks") if isinstance(event, RunLost)]
        assert runner.name not in world.known.buried()


def test_a_run_is_retried_only_so_often_when_it_kills_its_workers() -> None:
    world = World(5, agents=1, faults=False)
    world.create("task")
    world.enqueue("task", "first")
    for run in range(1, 5):
        assert world.run_until(lambda run=run: started_runs(world)["task", run] == 1, seconds=200)  # type: ignore[misc]
        for agent in world.agents:
            agent.dead = True
        world.add_agent()
    world.run_until(lambda: False, seconds=60)
    assert max(event.run for event in world.events("tasktape.tasks") if isinstance(event, RunEvent)) == 4


@pytest.mark.parametrize("noted", [True, False])
def test_committed_positions_wait_for_the_note_of_what_was_dequeued(noted: bool) -> None:
    world = World(6, agents=1, faults=False)
    world.create("task")
    world.agents[0].dead = True
    world.enqueue("task", "first")
    world.dequeue("task", "first", note=noted)
    agent = world.add_agent()
    (place,) = [source for source, end in world.log.end_positions([queue_topic("first")]).items() if end]
    before_note = []

    def committed() -> bool:
        before_note.append(not notes(world) and agent.committed.get(place, 0) > 0)
        return agent.committed.get(place) == 2

    assert world.run_until(committed, seconds=60)
    assert notes(world) == [entry_id("first", "task", 1)]
    assert not any(before_note)
