"""One agent of a simulated world: its real mind, and around it a place in each partition, a wire, and programs.

Like the real one it calls its mind when there is news, or when the mind has asked for it, and never else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from math import inf
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tasktape.agent.appends import Message, message_id
from tasktape.agent.claiming import Pursuit
from tasktape.agent.core import MAIN, ORPHANS, START, Core, Plan
from tasktape.agent.follow import Batch, Reading
from tasktape.agent.run_control import FinalEvent, Trouble
from tasktape.events.codec import Codec
from tasktape.events.errors import AppendError
from tasktape.events.hardware import NOTHING, Hardware
from tasktape.events.log.port import Positions, TopicPartition
from tasktape.events.queue_events import queue_topic

if TYPE_CHECKING:
    from .simulation import World

PARTITIONS = 2
LEASE = 10.0
INTERVAL = 5.0
STALLS = {"stalled for less than a lease": 6.0, "stalled for more": 12.0, "stalled for long": 40.0, "asleep": 40.0}
CODEC = Codec()
EVERYTHING = Hardware(cpus=1e6, memory_gb=1e6, gpus=1_000_000)
_TOLD = ("tasktape.tasks", "tasktape.workers", "tasktape.queues")


class Shape(NamedTuple):
    """What agents are like."""

    slots: int = 1
    fair: bool = False
    gpus: tuple[str, ...] | None = None
    hardware: Hardware = NOTHING


@dataclass
class Program:
    """User code of one run on a simulated machine."""

    pursuit: Pursuit
    ends_at: float = inf
    is_running: bool = False


Mark = tuple[str, str, Positions]


@dataclass(eq=False)
class Agent:
    """One agent process: its mind, its place in each partition, what it has on the wire, and its programs."""

    world: World
    queues: tuple[str, ...]
    shape: Shape
    name: str = ""
    core: Core = field(init=False)
    wire: deque[Message] = field(default_factory=deque)
    acks: deque[tuple[str, AppendError | None]] = field(default_factory=deque)
    news: deque[Callable[[], None]] = field(default_factory=deque)
    programs: dict[str, Program] = field(default_factory=dict)
    places: dict[str, Positions] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    committed: Positions = field(default_factory=dict)
    stalled_until: float = 0.0
    asleep: float = 0.0
    dead: bool = False
    due: float = 0.0

    def __post_init__(self) -> None:
        world, log = self.world, self.world.log
        self.name = next(world.names)
        shape = self.shape._asdict()
        plan = Plan(self.name, "host", 1, self.queues, lease=LEASE, interval=INTERVAL, **shape)
        self.core = Core(plan, self, self, lambda: world.stamper(f"agent/{self.name}"), Random(world.random.random()))
        queues = [queue_topic(queue) for queue in self.queues]
        self.follow(MAIN, log.start_positions([*_TOLD, *queues]) | log.end_positions(["tasktape.control"]))
        self.mark(MAIN, START, self.places[MAIN])

    # Clocks and ports of the core.

    def monotonic(self) -> float:
        return self.world.now - self.asleep

    def boottime(self) -> float:
        return self.world.now

    def append(self, message: Message) -> None:
        self.wire.append(message)

    def owned(self, queue: str) -> frozenset[int]:
        return self.world.share(self, queue)

    def commit(self, queue: str, positions: Positions) -> None:  # noqa: ARG002  a port's signature
        self.committed |= positions

    def load(self) -> dict[str, float]:
        return {}

    def adopt(self, queue: str) -> None:
        self.follow(ORPHANS, self.world.log.start_positions([queue_topic(queue)]))

    def read_workers_to_end(self, mark: str) -> None:
        self.mark(MAIN, mark, self.world.log.start_positions(["tasktape.workers"]))

    def open_case(self, worker: str, positions: Positions) -> None:
        self.follow(worker, positions)
        self.mark(worker, "case", positions)
        if self.world.faults:
            self.marks.append(self._as_it_was(self.marks.pop()))

    def _as_it_was(self, mark: Mark) -> Mark:
        """A mark where the log ended some time ago: a leader that was deposed while it was frozen tells no better."""
        name, what, ends = mark
        past = {source: self.world.random.randint(self.places[name][source], end) for source, end in ends.items()}
        return (name, what, past)

    def close_case(self, worker: str) -> None:
        self.places.pop(worker, None)
        self.marks = [mark for mark in self.marks if mark[0] != worker]

    def prepare(self, pursuit: Pursuit) -> None:
        attempt = pursuit.attempt
        self.programs[attempt] = Program(pursuit)
        self.news.append(lambda: self.core.on_prepared(attempt, None))

    def launch(self, attempt: str) -> Trouble | None:
        program = self.programs[attempt]
        about = program.pursuit.entry
        self.world.launch(self, about.task, about.run)
        program.is_running = True
        program.ends_at = self.world.now + self.world.random.choice([0.1, 1.0, 8.0])
        self.world.check_limits()
        self.check_hardware()
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

    def kill(self) -> None:
        """The process dies, and with it all that it runs."""
        self.dead = True
        self.world.regroup()

    def running(self) -> Iterator[Program]:
        """Programs that run at this moment, whether or not the agent has noticed the end of those that do not."""
        if not self.dead:
            yield from (one for one in self.programs.values() if one.is_running and one.ends_at > self.world.now)

    def check_hardware(self) -> None:
        """What runs here at this moment has not been promised more than there is."""
        spare = reduce(Hardware.without, (one.pursuit.hardware for one in self.running()), EVERYTHING)
        used = EVERYTHING.without(spare)
        assert used.fits(self.shape.hardware), (used, self.world.happened)

    def follow(self, name: str, positions: Positions) -> None:
        self.places.setdefault(name, {}).update(positions)

    def mark(self, name: str, mark: str, sources: Iterable[TopicPartition]) -> None:
        self.marks.append((name, mark, {source: len(self.world.readings[source]) for source in sources}))

    def is_awake(self) -> bool:
        return not self.dead and not self.core.gone and self.world.now >= self.stalled_until

    def idle_until(self) -> float:
        """Moment until which there is nothing for it to do."""
        if self.dead or self.core.gone:
            return inf
        if self.world.now < self.stalled_until:
            return self.stalled_until
        if self.wire or self.acks or self.news or self.unread() or self.passed():
            return self.world.now
        return min([self.due, *(program.ends_at for program in self.programs.values() if program.is_running)])

    def act(self, *, chaos: bool) -> None:
        """Do one random thing that this agent could do now."""
        if not self.is_awake():
            return
        if chaos and self.world.random.random() < 0.02:
            self.suffer()
            return
        deed = self.world.random.choice(
            [self.read, self.read, self.send, self.acknowledge, self.hear, self.notice_ends]
        )
        if deed() or self.due <= self.world.now:
            self.due = self.world.now + self.core.step()

    def unread(self) -> list[tuple[str, TopicPartition]]:
        """Partitions that have something new, each with the name under which it is followed."""
        ends = self.world.readings
        return [
            (n, source) for n, places in self.places.items() for source, at in places.items() if at < len(ends[source])
        ]

    def passed(self) -> list[Mark]:
        """Marks whose places were reached."""
        return [mark for mark in self.marks if is_reached(self.places[mark[0]], mark[2])]

    def read(self) -> bool:
        """Read some of a partition that has something new, and pass the marks that were reached by then."""
        random, unread = self.world.random, self.unread()
        name = random.choice(unread)[0] if unread else next((mark[0] for mark in self.passed()), None)
        if name is None:
            return False
        sources = [source for owner, source in unread if owner == name]
        readings = self._read_on(name, random.choice(sources)) if sources else []
        passed = [mark for mark in self.passed() if mark[0] == name]
        self.marks = [mark for mark in self.marks if mark not in passed]
        self.core.on_batch(Batch(name, readings, tuple(mark for _, mark, _ in passed), lambda: None))
        return True

    def _read_on(self, name: str, source: TopicPartition) -> list[Reading]:
        place = self.places[name][source]
        readings = self.world.readings[source][place : place + self.world.random.choice([1, 2, 100])]
        self.places[name][source] = place + len(readings)
        return readings

    def send(self) -> bool:
        """The first message on the wire reaches the log or is lost, and so does its acknowledgement."""
        if not self.wire:
            return False
        message = self.wire.popleft()
        fate = self.world.random.random() if self.world.faults else 0.5
        if fate < 0.05:
            self.world.happened["append lost"] += 1
        else:
            self.world.write(message)
        if fate > 0.97:
            self.world.happened["duplicate"] += 1
            self.world.delay(message)
        in_doubt = AppendError("in doubt") if fate < 0.1 else None
        self.world.happened["acknowledgement lost"] += int(0.05 <= fate < 0.1)
        self.acks.append((message_id(message), in_doubt))
        return False

    def acknowledge(self) -> bool:
        if self.acks:
            self.core.on_delivered(*self.acks.popleft())
            return True
        return False

    def hear(self) -> bool:
        if self.news:
            self.news.popleft()()
            return True
        return False

    def notice_ends(self) -> bool:
        over = [one for one in self.programs.items() if one[1].is_running and one[1].ends_at <= self.world.now]
        for attempt, program in over:
            program.is_running, program.ends_at = False, inf
            self.news.append(lambda attempt=attempt: self.core.on_exited(attempt, 0))  # type: ignore[misc]
        return False

    def suffer(self) -> None:
        """Die and be replaced, or stall for long, or for so long that others take it for dead, or sleep."""
        kind = self.world.random.choice(["killed", *STALLS])
        self.world.happened[kind] += 1
        if kind == "killed":
            for message in self.wire:
                self.world.delay(message)
            self.kill()
            self.world.add_agent()
        else:
            self.stalled_until = self.world.now + STALLS[kind]
            self.asleep += STALLS[kind] if kind == "asleep" else 0.0


def is_reached(positions: Positions, ends: Positions) -> bool:
    return all(positions[source] >= end for source, end in ends.items() if source in positions)
