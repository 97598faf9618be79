"""Real agents as processes on a log of either kind, tasks put there event by event, and what the log says of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import psutil

from tasktape.events.base import Event, Stamper, new_task_id
from tasktape.events.codec import Codec, header
from tasktape.events.limit_events import LimitSet
from tasktape.events.log import Log, TopicPartition, open_log
from tasktape.events.log.past import past_in_batches
from tasktape.events.parts import Script, TaskSpec
from tasktape.events.queue_events import AbortRequested, EntryEnqueued, QueueCreated, entry_id, queue_topic
from tasktape.events.report_events import ConsoleWritten
from tasktape.events.task_events import (
    RunCompleted,
    RunFailed,
    RunLost,
    RunPreempted,
    RunStopped,
    TaskCreated,
    TasksEvent,
)
from tasktape.events.topics import TOPICS, queue_spec

INTERVAL = 0.5
E = TypeVar("E", bound=Event)
FINAL = (RunCompleted, RunFailed, RunStopped, RunLost, RunPreempted)
GOES_ON = {"RunLost", "RunPreempted"}
AGENT = "import sys; from tasktape.cli.main import main; sys.argv[0] = 'tasktape'; main()"


class Heard:
    """All events on a log's topics; each is read once, however often one asks."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._codec = Codec()
        self._positions: dict[TopicPartition, int] = {}
        self._events: defaultdict[str, list[Event]] = defaultdict(list)

    def events(self, topic: str) -> list[Event]:
        """Everything on a topic, in the order of each partition."""
        ends = self._log.end_positions([topic])
        starts = {source: self._positions.get(source, 0) for source in ends}
        if any(ends[source] > start for source, start in starts.items()):
            records = chain.from_iterable(past_in_batches(self._log, ends, starts))
            self._events[topic] += [self._codec.decode(record.value) for record in records if record.value is not None]
            self._positions |= {source: max(start, ends[source]) for source, start in starts.items()}
        return self._events[topic]


class AgentSite:
    """A log with queues, and agents on it. `folder`, `SITE` for the tasks, is for their own files."""

    def __init__(self, url: str, home: Path, folder: Path, log: Log, queues: Sequence[str] = ("default",)) -> None:
        self.url = url
        self.home = home
        self.folder = folder
        self.log = log
        self.agents: list[subprocess.Popen[bytes]] = []
        self.interval = INTERVAL
        self._codec = Codec()
        self._heard = Heard(log)
        self._stamp = Stamper("user@host")
        self._queues = queues
        log.create_topics([*TOPICS, *map(queue_spec, queues)])
        for queue in queues:
            self.append(QueueCreated(meta=self._stamp(), queue=queue))

    @property
    def settings(self) -> dict[str, str]:
        """Variables for whoever works here."""
        return {
            "TASKTAPE_LOG": self.url,
            "TASKTAPE_HOME": str(self.home),
            "TASKTAPE_HEARTBEAT_INTERVAL": str(self.interval),
            "TASKTAPE_CLAIM_LEASE": str(4 * self.interval),
        }

    def append(self, event: Event) -> None:
        """Append an event and wait until it is there."""
        failed: list[object] = []
        self.log.append(
            event.topic_name,
            event.key,
            self._codec.encode(event),
            headers=header(event),
            on_delivery=lambda delivery: failed.append(delivery.error) if delivery.error else None,
        )
        assert self.log.flush(30) == 0
        assert not failed

    def put(self, source: str, *, requirements: Iterable[str] = (), queue: str = "default", **changes: Any) -> str:
        """Create a task of a lone script, with changes to its spec, and enqueue it; return its id."""
        spec = self._spec(source, requirements, **changes)
        task = self._create(spec)
        about = {"task": task, "queue": queue, "run": 1, "entry": entry_id(queue, task, 1)}
        self.append(EntryEnqueued(meta=self._stamp(), spec=spec, **about))
        return task

    def create(self, source: str) -> str:
        """Create a task of a lone script; return its id."""
        return self._create(self._spec(source, ()))

    def _spec(self, source: str, requirements: Iterable[str], **changes: Any) -> TaskSpec:
        script = Script(entry_point="main.py", source=source, requirements=list(requirements))
        about = {"script": script, "environment": {"SITE": str(self.folder)}} | changes
        return TaskSpec(project="p", name="n", **about)

    def _create(self, spec: TaskSpec) -> str:
        task = new_task_id()
        self.append(TaskCreated(meta=self._stamp(), task=task, spec=spec))
        return task

    def limit(self, scope: str, running: int) -> None:
        """Limit how many runs of a scope are under way at once."""
        self.append(LimitSet(meta=self._stamp(), scope=scope, running=running))

    def abort(self, task: str, run: int = 1) -> None:
        """Ask for a run to be stopped."""
        self.append(AbortRequested(meta=self._stamp(), task=task, run=run, reason="enough"))

    def agent(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start an agent, the real executable; its log lines go to a file beside the tasks' own."""
        return self.start("agent", *self._queues, *arguments, **variables)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a command that goes on until the site is closed."""
        environment = os.environ | self.settings | variables
        command = [sys.executable, "-c", AGENT, *arguments]
        with self._output(len(self.agents)).open("wb") as log:
            process = subprocess.Popen(command, env=environment, stderr=log, stdout=log, cwd=self.folder)
        self.agents.append(process)
        return process

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of tasktape's on the site's log, as an operator would."""
        environment = os.environ | {"TASKTAPE_LOG": self.url, "TASKTAPE_HOME": str(self.home)}
        return subprocess.run(
            [sys.executable, "-c", AGENT, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    def events(self, kind: type[E], topic: str = "") -> list[E]:
        """All events of a kind, in the order of each partition."""
        name = topic or (queue_topic("default") if kind.topic == "tasktape.queue." else kind.topic)
        return [event for event in self._heard.events(name) if isinstance(event, kind)]

    def of(self, task: str, *kinds: type[E]) -> list[E]:
        """Events of a task in its own partition, of these kinds."""
        events = self.events(TasksEvent)
        return [event for event in events if event.task == task and isinstance(event, kinds)]

    def ends(self, task: str) -> list[tuple[int, str]]:
        """Runs of a task that have ended, and how."""
        return [(event.run, type(event).__name__) for event in self.of(task, *FINAL)]

    def console(self, task: str, run: int = 1) -> list[tuple[str, str]]:
        """What a run has said: streams and lines."""
        batches = [event for event in self.events(ConsoleWritten) if (event.task, event.run) == (task, run)]
        return [(line.stream, line.text) for batch in batches for line in batch.lines]

    def file(self, name: str) -> Path:
        """A file of the tasks' own."""
        return self.folder / name

    def wait_for_end(self, task: str) -> tuple[int, str]:
        """Wait until a run of the task has ended that is not followed by another; return its number and how."""
        self.wait(lambda: any(kind not in GOES_ON for _, kind in self.ends(task)))
        return self.ends(task)[-1]

    def wait(self, condition: Callable[[], object], timeout: float = 60.0) -> None:
        """Wait for a condition; where it does not come true show what the agents said."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)

    def close(self) -> None:
        """End all agents, and with them what they run."""
        for agent in self.agents:
            agent.send_signal(signal.SIGCONT)
            agent.kill()
            agent.wait()

    def said(self) -> str:
        """What all agents have said."""
        return "\n".join(map(self.said_by, self.agents))

    def said_by(self, agent: subprocess.Popen[bytes]) -> str:
        """What an agent has said."""
        return self._output(self.agents.index(agent)).read_text(errors="replace")

    def _output(self, number: int) -> Path:
        return self.folder / f"agent{number}.log"


@contextmanager
def agent_site(url: str, home: Path, folder: Path, queues: Sequence[str] = ("default",)) -> Iterator[AgentSite]:
    """Give a site; at its end all agents are ended, and so is what they ran."""
    folder.mkdir()
    with open_log(url) as log:
        site = AgentSite(url, home, folder, log, queues)
        try:
            yield site
        finally:
            site.close()


def processes_of(home: Path) -> list[psutil.Process]:
    """Processes that work in this home, this one left out."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        with suppress(psutil.Error):
            if process.environ().get("TASKTAPE_HOME") == str(home) and process.pid != os.getpid():
                found.append(process)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs, zombies left out."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
