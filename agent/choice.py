"""Which entries a worker may claim, best first: all of its first queue before the second's, or a queue after the other.

Pure: it looks at folds through `Sight` and is told the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import chain
from math import inf
from typing import Final, NamedTuple, Protocol

from ..events.queue_events import EntryEnqueued
from ..projections.queue_fold import Entry, OrderKey, QueueFold
from ..projections.verdict import Verdict

_LOG_MARGIN: Final = 0.05


class Candidate(NamedTuple):
    """An entry that may be claimed, and the event that enqueued it."""

    queue: str
    entry: Entry
    request: EntryEnqueued


class Sight(Protocol):
    """What claiming looks at."""

    def folds(self) -> Sequence[QueueFold]:
        """Return the queues served, best first."""

    def entry(self, queue: str, entry: str) -> Entry | None:
        """Return an entry as it stands."""

    def request(self, queue: str, entry: str) -> EntryEnqueued | None:
        """Return the event that enqueued an entry that is not gone."""

    def owns(self, queue: str, partition: int) -> bool:
        """Whether this worker's membership gives it this partition."""

    def claimed_at(self, queue: str, entry: str) -> float:
        """Moment at which this worker read the entry's valid claim: it is at least as old as that."""

    def take_verdict(self, event_id: str) -> Verdict | None:
        """Return, once, what the folds said of an event of this worker's when it was read back."""

    def acknowledged(self, attempt: str) -> bool:
        """Whether the last acknowledged heartbeat was sent for this attempt."""

    def exists(self, task: str) -> bool:
        """Whether the task was created, as far as this worker has read: none of its runs could start before."""

    def lost(self, task: str, run: int) -> bool:
        """Whether the run was declared lost."""

    def log_us(self, now: float) -> int:
        """Return the log's time at this moment, as far as this worker can tell (µs since 1970)."""


@dataclass(slots=True)
class Choice:
    """The candidates of one worker. `lease` is the claim lease in seconds.

    `fair` takes from each queue in turn, beginning behind the one that was claimed from last. `next_stale` is the
    moment at which an entry that others hold may become a candidate, as far as the last look went.
    """

    sight: Sight
    lease: float
    fair: bool = False
    next_stale: float = inf
    _first: int = 0
    _too_early: tuple[str, float] = ("", -inf)

    def candidates(self, now: float, busy: set[str]) -> Iterator[Candidate]:
        """Entries that may be claimed now, best first, except those this worker is busy with."""
        self.next_stale = inf
        folds = self.sight.folds()
        first = self._first if self.fair else 0
        queues = [self._of(fold, now, busy) for fold in (*folds[first:], *folds[:first])]
        return _in_turn(queues) if self.fair else chain.from_iterable(queues)

    def claimed(self, queue: str) -> None:
        """Learn that an entry of this queue is being claimed: in turn, the next one is looked for behind it."""
        names = [fold.queue for fold in self.sight.folds()]
        self._first = (names.index(queue) + 1) % len(names)

    def too_early(self, entry: Entry, until: float) -> None:
        """Learn that by the log's time it was too early to claim an entry, as it stands: try again then."""
        self._too_early = (entry.changed_by, until)

    def _of(self, fold: QueueFold, now: float, busy: set[str]) -> Iterator[Candidate]:
        if fold.paused or fold.deleted:
            return
        stale = sorted(self._stale(fold, now), key=_order)
        for entry in merge(self._rested(fold, now), stale, key=_order):
            request = self.sight.request(fold.queue, entry.id)
            if entry.id not in busy and request is not None and self.sight.exists(entry.task):
                yield Candidate(fold.queue, entry, request)

    def _rested(self, fold: QueueFold, now: float) -> Iterator[Entry]:
        """Entries that wait for a worker alone, and for no pause."""
        log_us = self.sight.log_us(now)
        for entry in fold.waiting():
            due = max(now + (entry.not_before_us - log_us) / 1e6 + _LOG_MARGIN, self._not_before(entry))
            if not entry.not_before_us or due <= now:
                yield entry
            else:
                self.next_stale = min(self.next_stale, due)

    def _stale(self, fold: QueueFold, now: float) -> Iterator[Entry]:
        """Entries whose claim is older than the lease by this worker's own clock: a guess that the log will judge."""
        for entry in fold.claimed():
            stale = self.sight.claimed_at(fold.queue, entry.id) + self.lease + _LOG_MARGIN
            due = max(stale, self._not_before(entry))
            if due <= now:
                yield entry
            else:
                self.next_stale = min(self.next_stale, due)

    def _not_before(self, entry: Entry) -> float:
        return self._too_early[1] if self._too_early[0] == entry.changed_by else -inf


def _in_turn(queues: Iterable[Iterator[Candidate]]) -> Iterator[Candidate]:
    """One of each, again and again, until all are empty."""
    turn = deque(queues)
    while turn:
        queue = turn.popleft()
        if (found := next(queue, None)) is not None:
            yield found
            turn.append(queue)


def _order(entry: Entry) -> OrderKey:
    return entry.order
