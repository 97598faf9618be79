"""What an agent knows from the log: folds of its queues, limits, tasks, workers, abort requests, fed record by record.

Whatever this worker appended and waits for is recognised here when it is read back, with what the fold said of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from ..events.base import Event
from ..events.limit_events import LimitSet, PermitEvent
from ..events.log.port import LogRecord
from ..events.queue_events import (
    QUEUE_TOPIC_PREFIX,
    AbortRequested,
    EntryClaimed,
    EntryEnqueued,
    EntryEvent,
    QueueEvent,
    queue_of_topic,
)
from ..events.task_events import EntryLeft, RunEvent, TasksEvent
from ..events.worker_events import DrainRequested, WorkerEvent, WorkerHeartbeat
from ..projections.limit_fold import LimitFold
from ..projections.queue_fold import QueueFold
from ..projections.verdict import Verdict
from .appends import Appends, last_known
from .follow import Reading
from .idlers import Idler, Idlers
from .peers import Peers
from .run_ledger import CREATED, RunLedger

_REMEMBERED_ABORTS: Final = 10_000


class QueueView:
    """One queue: its fold, and of entries that are not settled the events that enqueued them."""

    def __init__(self, queue: str, lease: float) -> None:
        self.fold = QueueFold(queue, lease)
        self._requests: dict[str, EntryEnqueued] = {}
        self._claimed_at: dict[str, float] = {}

    def apply(self, event: EntryEvent, record: LogRecord, now: float) -> Verdict:
        """Fold an event that was read at this moment."""
        verdict = self.fold.apply(
            event, partition=record.partition, offset=record.offset, timestamp_us=record.timestamp
        )
        if verdict.accepted and isinstance(event, EntryEnqueued):
            self._requests[event.entry] = event
        elif verdict.accepted and isinstance(event, EntryClaimed):
            self._claimed_at[event.entry] = now
        self._forget_if_settled(event.entry)
        return verdict

    def note_left(self, entry: str) -> None:
        """Learn that `EntryLeft` is noted, which is done last: a moved entry has arrived by then."""
        self.fold.note_left(entry)
        self.fold.note_hop(entry)
        self._forget_if_settled(entry)

    def request(self, entry: str) -> EntryEnqueued | None:
        """Return the event that enqueued an entry that is not settled."""
        return self._requests.get(entry)

    def claimed_at(self, entry: str) -> float:
        """Moment at which an entry's latest valid claim was read."""
        return self._claimed_at[entry]

    def _forget_if_settled(self, entry: str) -> None:
        known = self.fold.entry(entry)
        if known is not None and known.settled:
            self._requests.pop(entry, None)
            self._claimed_at.pop(entry, None)


class View:
    """All that one agent has read. Not thread-safe."""

    def __init__(self, queues: Iterable[str], lease: float, appends: Appends) -> None:
        self.queues: dict[str, QueueView] = {}
        self.tasks = RunLedger()
        self.peers = Peers()
        self.idlers = Idlers()
        self.limits = LimitFold()
        self.existing: set[str] = set()
        self.drains: dict[str, str] = {}
        self._log_us = 0
        self._log_read_at = 0.0
        self._lease = lease
        self._appends = appends
        self._aborts: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._left: set[str] = set()
        for queue in queues:
            self.add_queue(queue)

    def add_queue(self, queue: str) -> None:
        """Fold this queue's topic too."""
        self.queues.setdefault(queue, QueueView(queue, self._lease))

    def apply(self, reading: Reading, now: float) -> None:
        """Take note of a record, read at this moment."""
        record, event = reading
        self._note_time(record, now)
        if record.topic.startswith(QUEUE_TOPIC_PREFIX):
            self._apply_to_queue(record, event, now)
        elif isinstance(event, TasksEvent):
            self._apply_to_tasks(event, record.timestamp)
        elif record.topic == TasksEvent.topic:
            if reading.kind == CREATED:
                self.tasks.created(record.key or "")
        elif isinstance(event, WorkerEvent):
            self._apply_to_workers(event, record, now)
        elif record.topic == WorkerEvent.topic and record.value is None:
            self._bury(record.key or "", last_known(record.headers))
        elif isinstance(event, QueueEvent):
            self._apply_to_queues(event)
        elif isinstance(event, LimitSet | PermitEvent):
            self._appends.read_back(event.meta.event_id, self.limits.apply(event, record.timestamp))
        elif isinstance(event, AbortRequested | DrainRequested):
            self._apply_to_control(event)

    def _note_time(self, record: LogRecord, now: float) -> None:
        if record.timestamp > self._log_us:
            self._log_us, self._log_read_at = record.timestamp, now

    def log_us(self, now: float) -> int:
        """The log's time at this moment, at the latest: that of the youngest record read, and what has passed since."""
        return self._log_us + round((now - self._log_read_at) * 1e6)

    def abort_reason(self, task: str, run: int) -> str | None:
        """Return why somebody wants this run to stop; None where nobody does."""
        return self._aborts.get((task, run))

    def _apply_to_queue(self, record: LogRecord, event: Event | None, now: float) -> None:
        queue = self.queues[queue_of_topic(record.topic)]
        if not isinstance(event, EntryEvent):
            queue.fold.passed(record.partition, record.offset + 1)
            return
        self._appends.read_back(event.meta.event_id, queue.apply(event, record, now))
        if event.entry in self._left:
            queue.note_left(event.entry)

    def ahead(self, worker: str, queue: str, now: float) -> list[Idler]:
        """Workers that have been free for longer than this one and serve the queue too, the first to go first."""
        claimed = {entry.worker for entry in self.queues[queue].fold.claimed()}
        free = (idler for idler in self.idlers.ahead_of(worker) if idler.worker not in claimed)
        return sorted(idler for idler in free if self.peers.serves(idler.worker, queue, now))

    def _apply_to_workers(self, event: WorkerEvent, record: LogRecord, now: float) -> None:
        if self.peers.apply(event, now):
            named = event.runs if isinstance(event, WorkerHeartbeat) else ()
            runs = {(held.task, held.run) for held in named if self.tasks.outcome(held.task, held.run) is None}
            self.idlers.heard(event.worker, runs, record.timestamp)

    def _bury(self, worker: str, known: tuple[str, int] | None) -> None:
        self.peers.bury(worker, known)
        if self.peers.get(worker) is None:
            self.idlers.gone(worker)

    def _apply_to_tasks(self, event: TasksEvent, us: int) -> None:
        self._appends.read_back(event.meta.event_id, self.tasks.apply(event))
        if isinstance(event, RunEvent) and self.tasks.outcome(event.task, event.run) is not None:
            self.idlers.over((event.task, event.run), us)
        if isinstance(event, EntryLeft):
            self._left.add(event.entry)
            for queue in self.queues.values():
                if queue.fold.entry(event.entry) is not None:
                    queue.note_left(event.entry)

    def _apply_to_queues(self, event: QueueEvent) -> None:
        self.existing.add(event.queue)
        if event.queue in self.queues:
            self.queues[event.queue].fold.apply_queue(event)

    def _apply_to_control(self, event: AbortRequested | DrainRequested) -> None:
        if isinstance(event, DrainRequested):
            self.drains[event.worker] = event.reason
        else:
            self._remember_abort(event)

    def _remember_abort(self, event: AbortRequested) -> None:
        """Keep the request; one for run 0 means whichever is under way."""
        self._aborts[event.task, event.run or self.tasks.under_way(event.task)] = event.reason
        while len(self._aborts) > _REMEMBERED_ABORTS:
            self._aborts.popitem(last=False)
