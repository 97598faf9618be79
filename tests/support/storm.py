"""What goes on while things break: machines with agents, and people who enqueue, move, withdraw and abort tasks."""

from __future__ import annotations

import signal
import time
from functools import partial
from pathlib import Path
from random import Random

from tasktape.events.base import Event
from tasktape.events.log import Delivery, Log
from tasktape.events.queue_events import EntryDequeued, EntryEnqueued, EntryMoved
from tasktape.events.task_events import EntryLeft
from tasktape.events.wire import append_event
from tasktape.projections.queue_fold import Entry
from tasktape.projections.queue_moves import left, next_hop
from tasktape.tests.support.agent_site import AgentSite
from tasktape.tests.support.skewed_clock import SKEWED_CLOCK
from tasktape.tests.support.storm_story import Story

QUEUES = ("default", "night", "gpu")
INTERVAL = 0.5
LAST_LINES = 15
PROGRAM = """
import os, sys, time
task, run, worker = (os.environ[f"TASKTAPE_{name}"] for name in ("TASK_ID", "RUN", "WORKER_ID"))
path = os.path.join(os.environ["SITE"], "ran", f"{task}.{run}.{os.getpid()}.{worker}")
os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
time.sleep(float(os.environ["SECONDS"]))
sys.exit(int(os.environ["CODE"]) if run == "1" else 0)
"""


class StormSite(AgentSite):
    """Machines with an agent each. Nothing here waits for the log: what it does not take is appended again."""

    def __init__(self, url: str, home: Path, folder: Path, log: Log) -> None:
        self._doubtful: list[Event] = []
        folder.mkdir()
        super().__init__(url, home, folder, log, QUEUES)
        self.interval = INTERVAL
        (folder / "ran").mkdir()
        (folder / "sitecustomize.py").write_text(SKEWED_CLOCK)

    def append(self, event: Event) -> None:
        """Append in the background."""
        append_event(self.log, event, codec=self._codec, on_delivery=partial(self._delivered, event))

    def append_doubtful(self) -> None:
        """Append again, under the same ids, what the log may not have."""
        again, self._doubtful = self._doubtful, []
        for event in again:
            self.append(event)

    def _delivered(self, event: Event, delivery: Delivery) -> None:
        if delivery.error is not None:
            self._doubtful.append(event)

    def withdraw(self, request: EntryEnqueued, *, note: bool) -> None:
        """Dequeue an entry; where no note says so, whoever owns the partition has to write it."""
        about = {"task": request.task, "entry": request.entry, "run": request.run}
        self.append(EntryDequeued(meta=self._stamp(), queue=request.queue, **about))
        if note:
            self.append(EntryLeft(meta=self._stamp(), **about))

    def move(self, request: EntryEnqueued, queue: str, rank: float | None = None) -> None:
        """Move an entry."""
        about = {"task": request.task, "entry": request.entry, "run": request.run}
        self.append(EntryMoved(meta=self._stamp(), queue=request.queue, to_queue=queue, rank=rank, **about))

    def complete(self, request: EntryEnqueued, entry: Entry) -> None:
        """Enqueue a moved entry where it goes, and note that it left."""
        self.append(next_hop(entry, request, self._stamp))
        self.append(left(entry, self._stamp))


class Machine:
    """A computer: a home, a clock, and an agent. `left` tells of agents that ended though nobody had told them to."""

    def __init__(self, site: StormSite, home: Path, clock: Path) -> None:
        self._site = site
        self._variables = {
            "TASKTAPE_HOME": str(home),
            "SKEW_FILE": str(clock),
            "PYTHONPATH": str(site.folder),
        }
        self._clock = clock
        self.left: list[str] = []
        self.set_clock(0)
        self.start()

    def start(self) -> None:
        """Start an agent."""
        self.agent = self._site.agent("--env", "current", **self._variables)
        self._is_up = True

    def kill(self) -> bool:
        """Kill the agent; whether that is what it died of."""
        self._is_up = False
        self.agent.kill()
        was_killed = self.agent.wait() == -signal.SIGKILL
        if not was_killed:
            self._note_left()
        return was_killed

    def start_again(self) -> None:
        """Start another agent where one has left by itself, as a machine's supervisor does."""
        if self._is_up and self.agent.poll() is not None:
            self._note_left()
            self.start()

    def _note_left(self) -> None:
        tail = "\n    ".join(self._site.said_by(self.agent).splitlines()[-LAST_LINES:])
        self.left.append(f"agent {self.agent.pid} left by itself, exit code {self.agent.returncode}:\n    {tail}")

    def freeze(self) -> bool:
        """Freeze the agent; whether it is frozen."""
        self.agent.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 5
        while (state := state_of(self.agent.pid)) not in {"T", ""} and time.monotonic() < deadline:
            time.sleep(0.001)
        return state == "T"

    def resume(self) -> None:
        """Let the agent go on."""
        self.agent.send_signal(signal.SIGCONT)

    def set_clock(self, hours: int) -> None:
        """Set the clock so many hours off the true time."""
        new = self._clock.with_suffix(".new")
        new.write_text(str(hours * 3600))
        new.replace(self._clock)


def state_of(pid: int) -> str:
    """State of a process as proc(5) has it; empty where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


class Load:
    """So many tasks over so many seconds, and what people do to them meanwhile."""

    def __init__(self, site: StormSite, story: Story, random: Random, tasks: int, seconds: float) -> None:
        self._site = site
        self._story = story
        self._random = random
        self._began = time.monotonic()
        self._due = sorted([0.0] * (tasks // 2) + [random.uniform(0, seconds) for _ in range(tasks - tasks // 2)])
        self._left = {self._withdraw: tasks // 10, self._move: tasks // 8, self._put_in_front: tasks // 12}
        self._moving: list[EntryEnqueued] = []
        self._touched: set[str] = set()
        self._to_abort: set[str] = set()
        self._put = 0

    @property
    def is_put(self) -> bool:
        """Whether all tasks were put into a queue and are on the log."""
        return self._put == len(self._due) == len(self._story.requests)

    def step(self) -> None:
        """Do what is due."""
        while self._put < len(self._due) and self._due[self._put] <= time.monotonic() - self._began:
            self._put_one()
        for request in list(self._moving):
            self._complete(request)
        for task, run in self._story.running():
            if task in self._to_abort:
                self._to_abort.discard(task)
                self._site.abort(task, run)
        self._meddle()

    def _put_one(self) -> None:
        random = self._random
        is_long = random.random() < 0.08
        seconds, code = 4.0 if is_long else random.uniform(0, 1.0), 3 if random.random() < 0.1 else 0
        about = {"SITE": str(self._site.folder), "SECONDS": f"{seconds:.2f}", "CODE": str(code)}
        task = self._site.put(PROGRAM, queue=random.choice(QUEUES), environment=about, retries=1)
        self._put += 1
        if is_long:
            self._to_abort.add(task)

    def _meddle(self) -> None:
        """Do something to an entry that waits, now and then."""
        waiting = [request for request in self._story.waiting() if request.entry not in self._touched]
        wanted = [action for action, left in self._left.items() if left]
        if waiting and wanted and self._random.random() < 0.25:
            action, request = self._random.choice(wanted), self._random.choice(waiting)
            self._touched.add(request.entry)
            self._left[action] -= 1
            action(request)

    def _withdraw(self, request: EntryEnqueued) -> None:
        self._site.withdraw(request, note=self._random.random() < 0.5)

    def _move(self, request: EntryEnqueued) -> None:
        """Every other mover forgets to complete the move."""
        self._site.move(request, self._random.choice([name for name in QUEUES if name != request.queue]))
        if self._random.random() < 0.5:
            self._moving.append(request)

    def _put_in_front(self, request: EntryEnqueued) -> None:
        self._site.move(request, "", rank=float(-self._put))

    def _complete(self, request: EntryEnqueued) -> None:
        entry = self._story.entry(request)
        if entry.state == "moved":
            self._site.complete(request, entry)
        if entry.gone:
            self._moving.remove(request)
