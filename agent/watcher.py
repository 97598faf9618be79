"""Finds workers that died and sees to their runs: declares them lost, enqueues the next ones, buries the worker.

Pure. A worker is suspected when nothing was heard of it for three of its intervals, on this reader's own monotonic
clock; it is taken for dead when that still holds after the topic was read to its end. Then each run that its last
heartbeat named is looked into: only what the queue's log says it had taken is its to lose. Who does so is a matter of
turns; each agent waits for one interval more for each that comes before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from ..events.base import Meta, uuid7
from ..events.log.port import LogRecord, Positions, TopicPartition
from ..events.queue_events import EntryEnqueued, EntryEvent, queue_of_topic, queue_topic
from ..events.task_events import RunLost
from ..events.worker_events import HeldRun
from ..projections.queue_fold import Entry, QueueFold
from ..projections.retries import Outcome
from .appends import Appends, Tombstone
from .follow import Reading
from .peers import Peer
from .retry import is_set_aside, successor
from .turns import Turns
from .view import View

LOGGER = logging.getLogger(__name__)
WORKERS_READ: Final = "workers"


class Archive(Protocol):
    """What a watcher asks of the log besides what its agent follows anyway."""

    def read_workers_to_end(self, mark: str) -> None:
        """Pass this mark once all that is on the topic of workers now has been read."""

    def open_case(self, worker: str, positions: Positions) -> None:
        """Give the case all records of these partitions, and call `caught_up` once it has those there are now."""

    def close_case(self, worker: str) -> None:
        """Give the case no more records."""


@dataclass(slots=True)
class Inquest:
    """What becomes of one run of a dead worker. `lost` and `next` are ids of what was appended for it."""

    held: HeldRun
    closed: bool = False
    lost: str = ""
    next: str = ""


@dataclass(slots=True)
class Case:
    """A dead worker, the runs it held, and what the queues' logs say of their tasks' entries.

    `peer` is its record; `session` and `seq` are those of the last event that was heard of it.
    """

    peer: Peer
    session: str
    seq: int
    inquests: list[Inquest]
    folds: dict[str, QueueFold]
    requests: dict[str, EntryEnqueued] = field(default_factory=dict)
    read: Positions = field(default_factory=dict)
    caught_up: bool = False
    tombstone: str = ""

    @property
    def worker(self) -> str:
        """The worker's id."""
        return self.peer.worker

    @property
    def positions(self) -> Positions:
        """Where to begin to read: the first entry concerned, of each partition."""
        found: Positions = {}
        for held in (inquest.held for inquest in self.inquests):
            source = TopicPartition(queue_topic(held.queue), held.partition)
            found[source] = min(found.get(source, held.enqueued_offset), held.enqueued_offset)
        return found

    def fold(self, event: EntryEvent, record: LogRecord) -> None:
        """Fold an event about one of the tasks."""
        verdict = self.folds[queue_of_topic(record.topic)].apply(
            event, partition=record.partition, offset=record.offset, timestamp_us=record.timestamp
        )
        if verdict.accepted and isinstance(event, EntryEnqueued):
            self.requests[event.entry] = event

    def knows(self, held: HeldRun) -> bool:
        """Whether the claim that a heartbeat named was read: a leader that was deposed may tell of an end before it."""
        return self.read.get(TopicPartition(queue_topic(held.queue), held.partition), 0) > held.claim_offset

    def is_outdated(self, peer: Peer | None) -> bool:
        """Whether the worker's record is gone, or another one by now: it spoke, or came late to its own tombstone."""
        return peer is not self.peer or (peer.session, peer.seq) != (self.session, self.seq)

    @property
    def declared(self) -> bool:
        """Whether something was said about a run, so that the case has to be brought to its end."""
        return any(inquest.lost or inquest.next for inquest in self.inquests)


@dataclass(slots=True)
class Watcher:
    """Watches all workers, for one worker."""

    turns: Turns
    stamp: Callable[[], Meta]
    appends: Appends
    view: View
    archive: Archive
    lease: float
    cases: dict[str, Case] = field(default_factory=dict)
    _confirming: bool = False

    def step(self, now: float) -> None:
        """Do all that can be done now."""
        if not self._confirming and any(self._suspects(now)):
            self._confirming = True
            self.archive.read_workers_to_end(WORKERS_READ)
        for case in list(self.cases.values()):
            self._pursue(case, now)

    def next_due(self, now: float) -> float:
        """Moment at which to call `step` even if nothing changes."""
        turns = (self._turn(peer, now) for peer in self._silent(now))
        return min((self.view.peers.next_silence(now), *(moment for moment in turns if moment >= now)))

    def confirm(self, now: float) -> None:
        """The topic was read to its end: whoever is silent still is dead."""
        self._confirming = False
        for peer in self._suspects(now):
            self._open(peer)

    def read(self, worker: str, readings: Iterable[Reading]) -> None:
        """Fold records of a case."""
        case = self.cases.get(worker)
        if case is None:
            return
        tasks = {inquest.held.task for inquest in case.inquests}
        for record, event in readings:
            case.read[TopicPartition(record.topic, record.partition)] = record.offset + 1
            if isinstance(event, EntryEvent) and event.task in tasks:
                case.fold(event, record)

    def caught_up(self, worker: str) -> None:
        """A case has all records there were when it was opened."""
        if worker in self.cases:
            self.cases[worker].caught_up = True

    def abandon(self, worker: str) -> None:
        """A case can't be followed: it is opened anew if the worker stays silent."""
        if self.cases.pop(worker, None) is not None:
            self.archive.close_case(worker)

    def _silent(self, now: float) -> list[Peer]:
        """Others that are silent, and have no case here."""
        silent = self.view.peers.silent(now)
        return [peer for peer in silent if peer.worker != self.turns.worker and peer.worker not in self.cases]

    def _suspects(self, now: float) -> list[Peer]:
        return [peer for peer in self._silent(now) if self._turn(peer, now) < now]

    def _turn(self, peer: Peer, now: float) -> float:
        """Moment from which on a silent worker is this one's to look into."""
        queues = {held.queue for held in peer.runs}
        return peer.silent_from + peer.interval * self.turns.of(peer.worker, now, queues)

    def _open(self, peer: Peer) -> None:
        folds = {held.queue: QueueFold(held.queue, self.lease) for held in peer.runs}
        inquests = [Inquest(held) for held in peer.runs]
        case = Case(peer, peer.session, peer.seq, inquests, folds, caught_up=not peer.runs)
        self.cases[peer.worker] = case
        if peer.runs:
            self.archive.open_case(peer.worker, case.positions)

    def _pursue(self, case: Case, now: float) -> None:
        heard_again = case.is_outdated(self.view.peers.get(case.worker))
        if heard_again and not case.declared:
            self.abandon(case.worker)
        elif case.caught_up:
            for inquest in case.inquests:
                if not inquest.closed and case.knows(inquest.held):
                    self._look_into(inquest, case, now)
            if all(inquest.closed for inquest in case.inquests):
                self._bury(case, heard_again=heard_again)

    def _bury(self, case: Case, *, heard_again: bool) -> None:
        """All is said about the worker's runs: its record may go, unless it was heard of again (or is gone)."""
        if heard_again:
            self.abandon(case.worker)
        elif not case.tombstone:
            tombstone = Tombstone(uuid7(), case.worker, case.session, case.seq)
            case.tombstone = self.appends.owe(tombstone, "delivered")

    def _look_into(self, inquest: Inquest, case: Case, now: float) -> None:
        held = inquest.held
        entry = case.folds[held.queue].entry(held.entry)
        if entry is not None and entry.state == "claimed" and entry.worker == case.worker:
            return  # `taken` may be on its way; if not, the claim grows old and another event ends it
        outcome = self.view.tasks.outcome(held.task, held.run)
        if entry is None or entry.state != "taken" or entry.worker != case.worker:
            inquest.closed = True
        elif outcome is None:
            self._declare_lost(inquest, case)
        else:
            self._see_to_next(inquest, entry, outcome, case, now)

    def _declare_lost(self, inquest: Inquest, case: Case) -> None:
        """Declare the run lost, once; if that does not count, the run is somebody else's."""
        if not inquest.lost:
            held = inquest.held
            ids = {"peer": case.worker, "entry": held.entry, "task": held.task, "run": held.run, "queue": held.queue}
            LOGGER.warning(
                "%s is lost with worker %s", held.entry, case.worker, extra={"action": "declare_lost", **ids}
            )
            inquest.lost = self.appends.owe(self._loss(held, case), "read")
            return
        verdict = self.appends.take_verdict(inquest.lost)
        inquest.closed = verdict is not None and not verdict.accepted

    def _loss(self, held: HeldRun, case: Case) -> RunLost:
        reason = f"nothing was heard of worker {case.worker}"
        request = case.requests[held.entry]
        if is_set_aside(request):
            reason += f"; the task is set aside, as {request.losses + 1} runs in a row have failed with their workers"
        about = {"task": held.task, "run": held.run, "entry": held.entry}
        return RunLost(meta=self.stamp(), **about, worker=case.worker, reason=reason)

    def _see_to_next(self, inquest: Inquest, entry: Entry, outcome: Outcome, case: Case, now: float) -> None:
        """Enqueue the next run where one is due and nobody has done so."""
        if inquest.next:
            inquest.closed = not self.appends.is_open(inquest.next)
            return
        request, log_us = case.requests[entry.id], self.view.log_us(now)
        event = successor(request, entry.rank, outcome, self.stamp, log_us, priority=entry.priority)
        if event is None or case.folds[event.queue].entry(event.entry) is not None:
            inquest.closed = True
        else:
            inquest.next = self.appends.owe(event, "delivered")
