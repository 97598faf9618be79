"""From a queue to an agent: how long until a claim and until user code, how many claims, who idles while work waits.

All but the first line of user code is read off the log afterwards: append times of entries, claims and ends of runs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import inf
from pathlib import Path
from random import Random
from typing import NamedTuple

from tasktape.events.base import Event, Stamper, new_task_id, to_us
from tasktape.events.groups import agents_group
from tasktape.events.log import Log, Reader
from tasktape.events.parts import Script, TaskSpec
from tasktape.events.queue_events import (
    EntryClaimed,
    EntryEnqueued,
    EntryTaken,
    QueueCreated,
    QueuePaused,
    QueueResumed,
    entry_id,
    queue_topic,
)
from tasktape.events.task_events import RunCompleted, TaskCreated
from tasktape.events.topics import TOPICS, queue_spec
from tasktape.events.wire import append_event, read_event

from .heartbeats import usual_heartbeats
from .site import TASKTAPE, Site

TASKS = 40
"""Tasks that an idle agent is given one by one."""
BACKLOG = 3_000
STARTED_AT_ONCE = 8
CLAIM_SECONDS = 4.0
SETTLING_SECONDS = 2.0
UNTIL_IDLE_SECONDS = 40.0
"""An agent that has just started is not idle: it joins groups, looks at the machine, adopts queues nobody serves."""
IDLE_SECONDS = 60.0
MIXED_AGENTS = 4
MIXED_SECONDS = 8.0
SHORT_RUNS = 60
SHORT_RUN = 0.05
PAUSE = 0.1
PATIENCE_SECONDS = 60.0
WAKES = "import threading\nwhile True: threading.Event().wait(2)"
SHAM = str(Path(__file__).with_name("sham_agent.py"))
FIRST_LINE = """now = __import__("time").time_ns()
__import__("pathlib").Path({note!r}).write_text(str(now))
"""


class Happened(NamedTuple):
    """An event, and when the log got it, in seconds."""

    at: float
    event: Event


class Bench:
    """A queue of its own on a site's log, and agents that serve it."""

    def __init__(self, site: Site, log: Log) -> None:
        self.queue = f"bench-{uuid.uuid4().hex[:8]}"
        self._site = site
        self._log = log
        self._codec = site.settings.codec()
        self._stamp = Stamper("bench")
        log.create_topics([*TOPICS, queue_spec(self.queue)])
        self._topics = (TaskCreated.topic, queue_topic(self.queue))
        self._since = log.end_positions(self._topics)
        self._append(QueueCreated(meta=self._stamp(), queue=self.queue))

    def hold(self) -> None:
        """Have agents claim nothing until told to resume."""
        self._append(QueuePaused(meta=self._stamp(), queue=self.queue))

    def resume(self) -> None:
        """Let agents claim."""
        self._append(QueueResumed(meta=self._stamp(), queue=self.queue))

    def put(self, *, source: str = "", count: int = 1, **variables: str) -> None:
        """Put tasks into the queue."""
        script = Script(entry_point="main.py", source=source)
        spec = TaskSpec(project="bench", name="dispatch", script=script, environment=variables)
        tasks = [new_task_id() for _ in range(count)]
        self._append(*(TaskCreated(meta=self._stamp(), task=task, spec=spec) for task in tasks))
        self._append(*(self._entry(task, spec) for task in tasks))

    def until_ended(self, count: int) -> list[Happened]:
        """Wait until so many runs have ended; return all that was said of tasks, by time."""
        return self._read(lambda found, _: sum(isinstance(event, RunCompleted) for _, event in found) >= count)

    def so_far(self) -> list[Happened]:
        """All that was said of tasks, by time."""
        ends = self._log.end_positions(self._topics)
        return self._read(lambda _, reader: all(at >= ends[source] for source, at in reader.positions().items()))

    def _read(self, enough: Callable[[list[Happened], Reader], bool]) -> list[Happened]:
        """Read; at the same time, in Kafka's milliseconds, a run's end comes before the claim it makes room for."""
        found: list[Happened] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._log.read(self._since) as reader:
            while not enough(found, reader):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the agents are not done after {PATIENCE_SECONDS:g} s")
                records = reader.poll(0.2)
                found += [Happened(record.timestamp / 1e6, read_event(record, codec=self._codec)) for record in records]
        return sorted(found, key=lambda happened: (happened.at, not isinstance(happened.event, RunCompleted)))

    @contextmanager
    def agents(self, count: int, *command: str) -> Iterator[list[int]]:
        """Have agents serve the queue; gives their processes once they do."""
        said = self._site.settings.home / f"{self.queue}.log"
        started: list[subprocess.Popen[str]] = []
        try:
            with said.open("a") as log:
                for number in range(1, count + 1):
                    started.append(self._site.start(*command, stderr=log))
                    if number % STARTED_AT_ONCE == 0 or number == count:
                        _wait_until(partial(_are_up, said, number))
            yield [agent.pid for agent in started]
        finally:
            for agent in started:
                agent.kill()
                agent.communicate()

    def _append(self, *events: Event) -> None:
        for event in events:
            append_event(self._log, event, codec=self._codec)
        if self._log.flush(PATIENCE_SECONDS):
            raise RuntimeError("the log does not take what the benchmark appends")

    def _entry(self, task: str, spec: TaskSpec) -> EntryEnqueued:
        entry = entry_id(self.queue, task, 1)
        return EntryEnqueued(meta=self._stamp(), task=task, queue=self.queue, run=1, entry=entry, spec=spec)


def _are_up(said: Path, agents: int) -> bool:
    return said.read_text().count(" serves ") == agents


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the agents did not start within {PATIENCE_SECONDS:g} s")
        time.sleep(0.05)


class Latency(NamedTuple):
    """Milliseconds."""

    median: float
    p99: float

    def __str__(self) -> str:
        """Both."""
        return f"{self.median:.0f} ms, {self.p99:.0f} ms"


def latency(seconds: Sequence[float]) -> Latency:
    """Median and p99; with fewer than a hundred values that is the longest."""
    ordered = sorted(seconds)
    return Latency(statistics.median(ordered) * 1e3, ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1e3)


class Answered(NamedTuple):
    """How fast an idle agent answers: from enqueuing to the claim, and to the first line of user code.

    `python` is what it takes a Python process to get there alone.
    """

    claim: Latency
    first_line: Latency
    python: Latency


def answered(site: Site, log: Log, mode: str) -> Answered:
    """Give an idle agent one task after the other; the first one, which builds the environment, is left out."""
    bench, note = Bench(site, log), site.settings.home / "note"
    program = FIRST_LINE.format(note=str(note))
    claims, lines, alone = [], [], []
    with bench.agents(1, TASKTAPE, "agent", "--queue", bench.queue, "--env", mode):
        for count in range(TASKS + 1):
            bench.put(source=program)
            *_, enqueued, claimed = _of(bench.until_ended(count + 1), EntryEnqueued, EntryClaimed)
            claims.append(claimed.at - enqueued.at)
            lines.append(int(note.read_text()) / 1e9 - to_us(enqueued.event.meta.occurred_at) / 1e6)
            alone.append(_python_alone(site, program, note))
    return Answered(latency(claims[1:]), latency(lines[1:]), latency(alone[1:]))


def _python_alone(site: Site, program: str, note: Path) -> float:
    began = time.time()
    with site.start(sys.executable, "-u", "-c", program):
        pass
    return int(note.read_text()) / 1e9 - began


def _of(found: Iterable[Happened], *kinds: type[Event]) -> list[Happened]:
    return [happened for happened in found if isinstance(happened.event, kinds)]


class Claims(NamedTuple):
    """Runs taken per second, and what each takes of processors in ms, by all agents together."""

    per_second: float
    processor: float


def claims(site: Site, log: Log, agents: int) -> Claims:
    """Have agents that run nothing work off a backlog; look at what happens once all of them are at it."""
    bench = Bench(site, log)
    bench.hold()
    bench.put(count=BACKLOG)
    with bench.agents(agents, sys.executable, SHAM, bench.queue) as pids:
        bench.resume()
        time.sleep(SETTLING_SECONDS)
        began, before = time.time(), sum(map(_processor_seconds, pids))
        time.sleep(CLAIM_SECONDS)
        ended, after = time.time(), sum(map(_processor_seconds, pids))
    count = sum(isinstance(event, EntryTaken) and began <= at < ended for at, event in bench.so_far())
    return Claims(count / (ended - began), (after - before) / count * 1e3)


def waited_beside_idlers(site: Site, log: Log) -> Latency:
    """Give agents short runs at random moments while half of them are busy with long ones."""
    bench, random = Bench(site, log), Random(1)
    with bench.agents(MIXED_AGENTS, sys.executable, SHAM, bench.queue):
        bench.put(count=MIXED_AGENTS // 2, SECONDS=str(MIXED_SECONDS))
        for _ in range(SHORT_RUNS):
            bench.put(SECONDS=f"{random.uniform(0, 2 * SHORT_RUN):.3f}")
            time.sleep(random.uniform(0, 2 * PAUSE))
        return latency(waits_beside_idlers(bench.until_ended(MIXED_AGENTS // 2 + SHORT_RUNS), MIXED_AGENTS))


def waits_beside_idlers(happened: Iterable[Happened], agents: int) -> list[float]:
    """Seconds that each entry waited, at the longest in one piece, while some agent had nothing to do.

    An agent is busy from its claim to the run's end; until its first one it has no name here.
    """
    idle = {f"agent {number}": -inf for number in range(agents)}
    unnamed = list(idle)
    busy: dict[str, str] = {}
    waiting: dict[str, float] = {}
    waits: dict[str, float] = {}
    for at, event in happened:
        if isinstance(event, EntryEnqueued):
            waiting[event.task] = at
        elif isinstance(event, EntryClaimed) and event.task in waiting:
            oldest = min(idle.values())
            waits |= {task: max(at - max(since, oldest), waits.get(task, 0.0)) for task, since in waiting.items()}
            idle.pop(event.worker if event.worker in idle else unnamed.pop())
            busy[event.task] = event.worker
            del waiting[event.task]
        elif isinstance(event, RunCompleted):
            idle[busy.pop(event.task)] = at
    return list(waits.values())


class Idle(NamedTuple):
    """What an idle agent takes: percent of a core, and MB of memory; and percent of a core of a bare interpreter."""

    processor: float
    memory: float
    bare: float


def idle(site: Site, log: Log) -> Idle:
    """Watch an agent that has nothing to do, and beside it an interpreter that has less."""
    bench = Bench(site, log)
    with (
        usual_heartbeats(site.settings.log, [agents_group(bench.queue)]),
        bench.agents(1, TASKTAPE, "agent", "--queue", bench.queue) as (agent,),
        _waking(site) as bare,
    ):
        time.sleep(UNTIL_IDLE_SECONDS)
        before = [_processor_seconds(pid) for pid in (agent, bare)]
        time.sleep(IDLE_SECONDS)
        spent = [_processor_seconds(pid) - at for pid, at in zip((agent, bare), before, strict=True)]
        share, least = (seconds / IDLE_SECONDS * 100 for seconds in spent)
        return Idle(share, _resident_megabytes(agent), least)


@contextmanager
def _waking(site: Site) -> Iterator[int]:
    """Have an interpreter wake up every 2 s; gives its process."""
    process = site.start(sys.executable, "-c", WAKES)
    try:
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
