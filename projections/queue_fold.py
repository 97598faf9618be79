"""The fold of one queue's log: what each event did, what waits, and which offsets nobody needs any more.

Every reader that folds the same records comes to the same answer: there is no clock here, ages are differences of the
append times stored in the log, and partitions do not influence each other.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Literal

from ..events.hardware import NOTHING, Hardware
from ..events.parts import TaskSpec
from ..events.queue_events import (
    EntryClaimed,
    EntryDequeued,
    EntryEnqueued,
    EntryEvent,
    EntryMoved,
    EntryTaken,
    QueueCreated,
    QueueDeleted,
    QueueEvent,
    QueuePaused,
    QueueResumed,
)
from .verdict import ACCEPTED, DUPLICATE, Verdict, rejected

CLAIM_LEASE = 10.0

EntryState = Literal["waiting", "claimed", "taken", "dequeued", "moved"]
OrderKey = tuple[int, float, int, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the queue. Times are append times in µs since 1970; `changed_us` is that of the last change.

    `offset` is where it was enqueued, `claim` the id of the event that claimed it and `claim_offset` its place. It may
    not be claimed before `not_before_us`. It is `settled` when it is taken, dequeued and that is noted with its task,
    or moved and arrived. Then its `spec` is None (and can be read again at `offset`): a queue passes far more entries
    than it holds, and specs carry scripts.
    """

    id: str
    task: str
    run: int
    hop: int
    origin: str
    failures: int
    losses: int
    not_before_us: int
    spec: TaskSpec | None
    partition: int
    offset: int
    rank: float
    priority: int
    enqueued_us: int
    state: EntryState
    changed_us: int
    changed_by: str
    worker: str = ""
    claim: str = ""
    claim_offset: int = -1
    moved_to: str = ""
    moved_rank: float | None = None
    settled: bool = False
    hardware: Hardware = NOTHING

    @property
    def order(self) -> OrderKey:
        """Place in the queue: higher priority first, then by rank, then by time of enqueuing."""
        return (-self.priority, self.rank, self.enqueued_us, self.id)

    @property
    def gone(self) -> bool:
        """Whether it is out of the queue for good."""
        return self.state in {"taken", "dequeued", "moved"}

    @property
    def next_hop_id(self) -> str:
        """Id of the entry it becomes in the queue it moves to: the same queue of origin, one hop further."""
        origin_queue = self.id.rsplit("/", 3)[0]
        return f"{origin_queue}/{self.task}/{self.run}/{self.hop + 1}"

    def free(self, now_us: int, lease_us: int) -> bool:
        """Whether it may be claimed, dequeued or moved at that moment of the log."""
        stale = self.state == "claimed" and now_us - self.changed_us > lease_us
        return self.state == "waiting" or stale


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when an event lies on the log."""

    partition: int
    offset: int
    us: int


def judge(entry: Entry | None, event: EntryEvent, place: Place, lease_us: int) -> Entry | str:
    """Return the entry as the event leaves it, or why the event does not count."""
    if isinstance(event, EntryEnqueued):
        return _enqueue(event, place) if entry is None else "this entry has been enqueued before"
    if entry is None or entry.gone:
        return "there is no such entry" if entry is None else f"the entry is {entry.state}"
    if isinstance(event, EntryTaken):
        return _take(entry, event, place)
    if not entry.free(place.us, lease_us):
        return f"{entry.worker} holds the entry"
    return _use(entry, event, place)


def _enqueue(event: EntryEnqueued, place: Place) -> Entry:
    return Entry(
        id=event.entry,
        task=event.task,
        run=event.run,
        hop=event.hop,
        origin=event.origin,
        failures=event.failures,
        losses=event.losses,
        not_before_us=event.not_before_us,
        spec=event.spec,
        partition=place.partition,
        offset=place.offset,
        rank=_rank(event.rank, place),
        priority=event.priority,
        enqueued_us=place.us,
        state="waiting",
        changed_us=place.us,
        changed_by=event.meta.event_id,
        hardware=event.spec.hardware,
    )


def _rank(rank: float | None, place: Place) -> float:
    return place.us / 1e6 if rank is None else rank


def _change(entry: Entry, event: EntryEvent, place: Place, **changes: object) -> Entry:
    return replace(entry, changed_us=place.us, changed_by=event.meta.event_id, **changes)  # type: ignore[arg-type]


def _use(entry: Entry, event: EntryEvent, place: Place) -> Entry | str:
    if isinstance(event, EntryClaimed):
        return _claim(entry, event, place)
    if isinstance(event, EntryDequeued):
        return _change(entry, event, place, state="dequeued", worker="")
    if isinstance(event, EntryMoved):
        return _move(entry, event, place)
    return f"{type(event).__name__} means nothing to a queue"


def _claim(entry: Entry, event: EntryClaimed, place: Place) -> Entry | str:
    if place.us < entry.not_before_us:
        return "the entry waits for a pause to pass"
    claim = event.meta.event_id
    return _change(entry, event, place, state="claimed", worker=event.worker, claim=claim, claim_offset=place.offset)


def _take(entry: Entry, event: EntryTaken, place: Place) -> Entry | str:
    if entry.state != "claimed" or (entry.claim, entry.worker) != (event.claim, event.worker):
        return "the claim it names is not the valid one"
    return _change(entry, event, place, state="taken")


def _move(entry: Entry, event: EntryMoved, place: Place) -> Entry:
    """Move within the queue, or out of it; the next hop has the priority that a moved entry has now."""
    changes: dict[str, object] = {"worker": "", "priority": _priority(entry, event)}
    if event.to_queue in {"", event.queue}:
        changes |= {"state": "waiting", "claim": "", "claim_offset": -1, "rank": _rank(event.rank, place)}
    else:
        changes |= {"state": "moved", "moved_to": event.to_queue, "moved_rank": event.rank}
    return _change(entry, event, place, **changes)


def _priority(entry: Entry, event: EntryMoved) -> int:
    return entry.priority if event.priority is None else event.priority


@dataclass(slots=True)
class PartitionFold:
    """The entries of one partition, by id, and the ids of events judged about entries that are not gone yet."""

    entries: dict[str, Entry] = field(default_factory=dict)
    judged: dict[str, set[str]] = field(default_factory=dict)
    now_us: int = 0

    def apply(self, event: EntryEvent, place: Place, lease_us: int) -> Verdict:
        """Fold one event: an id is judged once, and copies change nothing even if the first did not count."""
        self.now_us = max(self.now_us, place.us)
        known = self.entries.get(event.entry)
        if self._judged_before(known, event):
            return DUPLICATE
        outcome = judge(known, event, replace(place, us=self.now_us), lease_us)
        if isinstance(outcome, str):
            return rejected(outcome)
        if outcome.gone:
            self.judged.pop(outcome.id, None)
        self.entries[outcome.id] = outcome
        return ACCEPTED

    def _judged_before(self, known: Entry | None, event: EntryEvent) -> bool:
        event_id = event.meta.event_id
        if known is not None and known.gone:
            return known.changed_by == event_id
        ids = self.judged.setdefault(event.entry, set())
        seen = event_id in ids
        ids.add(event_id)
        return seen


class _Progress:
    """What may be committed of one partition: a heap of entries by offset, from which settled ones are dropped."""

    def __init__(self) -> None:
        self.read = 0
        self._open: list[tuple[int, str]] = []

    def open(self, entry: Entry) -> None:
        heappush(self._open, (entry.offset, entry.id))

    def position(self, entries: Mapping[str, Entry]) -> int:
        while self._open and entries[self._open[0][1]].settled:
            heappop(self._open)
        return self._open[0][0] if self._open else self.read


class QueueFold:
    """One queue. Feed it each record of the queue's topic once, in the order of each partition.

    `lease` is the claim lease in seconds. Not thread-safe.
    """

    def __init__(self, queue: str, lease: float = CLAIM_LEASE) -> None:
        self.queue = queue
        self.paused = False
        self.deleted = False
        self._lease_us = round(lease * 1e6)
        self._partitions: defaultdict[int, PartitionFold] = defaultdict(PartitionFold)
        self._progress: defaultdict[int, _Progress] = defaultdict(_Progress)
        self._waiting: list[OrderKey] = []
        self._claimed: dict[str, Entry] = {}
        self._unsettled: dict[str, Entry] = {}
        self._left: set[str] = set()
        self._hopped: set[str] = set()

    def apply(self, event: EntryEvent, *, partition: int, offset: int, timestamp_us: int) -> Verdict:
        """Fold one event of the queue's topic; says whether it counted."""
        self.passed(partition, offset + 1)
        if event.queue != self.queue:
            return rejected(f"the event is about queue {event.queue!r}")
        fold = self._partitions[partition]
        before = fold.entries.get(event.entry)
        verdict = fold.apply(event, Place(partition, offset, timestamp_us), self._lease_us)
        if verdict.accepted:
            self._changed(before, fold.entries[event.entry])
        return verdict

    def apply_queue(self, event: QueueEvent) -> Verdict:
        """Fold one event of `tasktape.queues`; those about other queues are rejected."""
        if event.queue != self.queue:
            return rejected(f"the event is about queue {event.queue!r}")
        if isinstance(event, QueuePaused | QueueResumed):
            self.paused = isinstance(event, QueuePaused)
        elif isinstance(event, QueueCreated | QueueDeleted):
            self.deleted = isinstance(event, QueueDeleted)
            self.paused = self.paused and not self.deleted
        return ACCEPTED

    def passed(self, partition: int, offset: int) -> None:
        """Learn that the partition was read up to (not including) this offset, whatever lay there."""
        progress = self._progress[partition]
        progress.read = max(progress.read, offset)

    def waiting(self) -> Iterator[Entry]:
        """Entries nobody has claimed, best first. The fold must not change while this is iterated."""
        return (entry for *_, entry_id in self._waiting if (entry := self.entry(entry_id)) is not None)

    def claimed(self) -> list[Entry]:
        """Entries claimed and not taken, in the order the claims were read: free again once older than the lease."""
        return list(self._claimed.values())

    def entry(self, entry_id: str) -> Entry | None:
        """Return an entry, gone or not."""
        found = (fold.entries.get(entry_id) for fold in self._partitions.values())
        return next((entry for entry in found if entry is not None), None)

    def unsettled(self) -> list[Entry]:
        """Dequeued entries whose `EntryLeft` is not noted yet, and moved ones whose next hop was not seen yet."""
        return list(self._unsettled.values())

    def note_left(self, entry_id: str) -> None:
        """Learn that `EntryLeft` of this entry is on `tasktape.tasks`, before or after the queue's log tells of it."""
        self._note(entry_id, self._left)

    def note_hop(self, origin: str) -> None:
        """Learn that the next hop of this moved entry is in its target queue, before or after the move is read."""
        self._note(origin, self._hopped)

    def commit_position(self, partition: int) -> int:
        """Offset a group may commit: every entry before it is taken, dequeued and noted, or moved and arrived."""
        return self._progress[partition].position(self._partitions[partition].entries)

    def _changed(self, before: Entry | None, after: Entry) -> None:
        if before is None:
            self._progress[after.partition].open(after)
        elif before.state == "waiting":
            del self._waiting[bisect_left(self._waiting, before.order)]
        self._claimed.pop(after.id, None)
        self._file(after)

    def _file(self, entry: Entry) -> None:
        if entry.state == "waiting":
            insort(self._waiting, entry.order)
        elif entry.state == "claimed":
            self._claimed[entry.id] = entry
        elif entry.state == "taken":
            self._settle(entry)
        else:
            self._unsettled[entry.id] = entry
            self._settle_if_noted(entry.id)

    def _note(self, entry_id: str, notes: set[str]) -> None:
        entry = self.entry(entry_id)
        if entry is None or not entry.settled:
            notes.add(entry_id)
            self._settle_if_noted(entry_id)

    def _settle_if_noted(self, entry_id: str) -> None:
        entry = self._unsettled.get(entry_id)
        if entry is not None and entry_id in (self._left if entry.state == "dequeued" else self._hopped):
            del self._unsettled[entry_id]
            self._settle(entry)

    def _settle(self, entry: Entry) -> None:
        self._left.discard(entry.id)
        self._hopped.discard(entry.id)
        self._partitions[entry.partition].entries[entry.id] = replace(entry, settled=True, spec=None)
