"""What the log tells of a storm: which runs count, what is over, and what contradicts what really ran.

It judges with the folds that all readers share, and then compares with files that the tasks' programs left behind.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

from tasktape.events.base import Event, to_us
from tasktape.events.codec import Codec
from tasktape.events.log import LogRecord
from tasktape.events.queue_events import EntryDequeued, EntryEnqueued, EntryEvent, QueueEvent
from tasktape.events.task_events import RunFailed, RunLost, RunPreempted, RunStarted, RunStopped, TasksEvent
from tasktape.events.wire import read_event
from tasktape.events.worker_events import WorkerEvent
from tasktape.projections import task_state
from tasktape.projections.queue_fold import Entry, QueueFold
from tasktape.projections.retries import Counts, Outcome, counts_after
from tasktape.projections.task_state import Rejection, TaskState

HOUR_US = 3600 * 10**6
KINDS = {RunFailed: "failed", RunLost: "lost", RunPreempted: "preempted", RunStopped: "stopped"}


def pid_of(worker: str) -> int:
    """The process a worker's id names."""
    return int(worker.rpartition(":")[2].partition("-")[0])


class Ran(NamedTuple):
    """A process that ran a program: each makes a file of its own, whose name says all this."""

    task: str
    run: int
    pid: int
    worker: str

    @classmethod
    def all_of(cls, folder: Path) -> list[Self]:
        """All that ran."""
        return [cls._read(file) for file in folder.iterdir()]

    @classmethod
    def _read(cls, file: Path) -> Self:
        task, run, pid, worker = file.name.split(".", 3)
        return cls(task, int(run), int(pid), worker)


class Story:
    """Feed it the records of all topics, each once and each partition in order."""

    def __init__(self, lease: float) -> None:
        self.lease = lease
        self.tasks: defaultdict[str, TaskState] = defaultdict(TaskState)
        self.folds: dict[str, QueueFold] = {}
        self.requests: defaultdict[str, dict[str, EntryEnqueued]] = defaultdict(dict)
        self.starts: defaultdict[tuple[str, int], list[RunStarted]] = defaultdict(list)
        self.ends: dict[tuple[str, int], Outcome] = {}
        self.dequeued: set[str] = set()
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.clocks: defaultdict[str, set[int]] = defaultdict(set)
        self.places: set[tuple[str, int, int]] = set()
        self._codec = Codec()
        self._seen: set[str] = set()

    def feed(self, record: LogRecord, now: float) -> None:
        """Take note of a record, read at this (true) time in seconds since 1970."""
        self.places.add(record[:3])
        if record.value is None:
            return
        event = read_event(record, codec=self._codec)
        if isinstance(event, EntryEvent):
            self._count(event, accepted=self._fold(event, record))
        elif isinstance(event, TasksEvent):
            self._count(event, accepted=self._judge(event))
        elif isinstance(event, QueueEvent):
            self._queue(event.queue).apply_queue(event)
        elif isinstance(event, WorkerEvent):
            self.clocks[event.worker].add(round((to_us(event.meta.occurred_at) - now * 1e6) / HOUR_US))

    def state(self, task: str) -> str:
        """`under way`, or how the task's furthest run ended: as final as anything is without another command."""
        run = max(request.run for request in self.requests[task].values())
        entries = [self.entry(request) for request in self.requests[task].values() if request.run == run]
        if any(not self._has_arrived(entry) or entry.state in {"waiting", "claimed"} for entry in entries):
            return "under way"
        taken = [entry for entry in entries if entry.state == "taken"]
        return self._state_of_run(taken[0], run) if taken else "dequeued"

    def waiting(self) -> list[EntryEnqueued]:
        """What enqueued the entries that wait."""
        return [self.requests[entry.task][entry.id] for fold in self.folds.values() for entry in fold.waiting()]

    def running(self) -> list[tuple[str, int]]:
        """Runs that are under way."""
        return [key for key in self.starts if key not in self.ends and self.tasks[key[0]].run.number == key[1]]

    def busy_pids(self) -> set[int]:
        """Processes of the agents whose runs are under way."""
        return {pid_of(self.starts[key][-1].worker) for key in self.running()}

    def claiming_pids(self) -> set[int]:
        """Processes of the agents that have claimed an entry and not taken it."""
        return {pid_of(entry.worker) for fold in self.folds.values() for entry in fold.claimed()}

    def entry(self, request: EntryEnqueued) -> Entry:
        """The entry that an event enqueued."""
        found = self.folds[request.queue].entry(request.entry)
        assert found is not None
        return found

    def complaints(self, ran: Iterable[Ran]) -> list[str]:
        """All that should not be."""
        processes = list(ran)
        return [
            *(f"{task} is {state}" for task in self.requests if (state := self.state(task)) == "under way"),
            *(f"{key} has {len(starts)} starts" for key, starts in self.starts.items() if len(starts) > 1),
            *(f"{key} ran {n} times" for key, n in Counter(p[:2] for p in processes).items() if n > 1),
            *(f"{process} ran without a start that counts" for process in processes if not self._may_run(process)),
            *(f"{key} started from an entry its worker had not taken" for key in self.starts if not self._took(key)),
            *(f"{key} has ended well and never ran" for key in self._done() - {p[:2] for p in processes}),
        ]

    def _done(self) -> set[tuple[str, int]]:
        return {key for key, outcome in self.ends.items() if outcome.kind == "completed"}

    def _may_run(self, process: Ran) -> bool:
        return any(start.worker == process.worker for start in self.starts.get(process[:2], ()))

    def _took(self, key: tuple[str, int]) -> bool:
        """Whether all starts came from an entry that was neither dequeued nor another worker's."""
        for start in self.starts[key]:
            entry = self.entry(self.requests[start.task][start.entry])
            if (entry.state, entry.worker) != ("taken", start.worker) or start.entry in self.dequeued:
                return False
        return True

    def _has_arrived(self, entry: Entry) -> bool:
        return entry.state != "moved" or entry.next_hop_id in self.requests[entry.task]

    def _state_of_run(self, entry: Entry, run: int) -> str:
        if (run, entry.id) in self.tasks[entry.task].left:
            return "withdrawn"
        outcome = self.ends.get((entry.task, run))
        request = self.requests[entry.task][entry.id]
        counts = Counts(request.failures, request.losses)
        if outcome is None or counts_after(counts, request.spec.retries, outcome) is not None:
            return "under way"
        return outcome.kind

    def _fold(self, event: EntryEvent, record: LogRecord) -> bool:
        place = {"partition": record.partition, "offset": record.offset, "timestamp_us": record.timestamp}
        accepted = self._queue(event.queue).apply(event, **place).accepted
        if accepted and isinstance(event, EntryEnqueued):
            self.requests[event.task][event.entry] = event
        elif accepted and isinstance(event, EntryDequeued):
            self.dequeued.add(event.entry)
        return accepted

    def _judge(self, event: TasksEvent) -> bool:
        """Judge an event once: copies of its id change nothing."""
        if event.meta.event_id in self._seen:
            return False
        self._seen.add(event.meta.event_id)
        after = task_state.apply(self.tasks[event.task], event)
        if isinstance(after, Rejection):
            return False
        if after.run.ended and (event.task, after.run.number) not in self.ends:
            cause = event.cause if isinstance(event, RunFailed) else "task"
            self.ends[event.task, after.run.number] = Outcome(KINDS.get(type(event), "completed"), cause)  # type: ignore[arg-type]
        self.tasks[event.task] = after
        if isinstance(event, RunStarted):
            self.starts[event.task, event.run].append(event)
        return True

    def _count(self, event: Event, *, accepted: bool) -> None:
        self.verdicts[type(event).__name__, "counted" if accepted else "void"] += 1

    def _queue(self, queue: str) -> QueueFold:
        return self.folds.setdefault(queue, QueueFold(queue, self.lease))
