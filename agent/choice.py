"""Which entries a worker may claim, best first: all of its first queue before the second's, or a queue after the other.

Entries without room below a limit, or that need more than this worker has left, are left out, so that those behind them
go first.

Pure: it looks at folds through `Sight` and is told the time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from heapq import merge
from itertools import chain, takewhile
from math import inf
from typing import Final, NamedTuple, Protocol

from ..events.hardware import NOTHING, Hardware
from ..events.queue_events import EntryEnqueued
from ..projections.limit_fold import LimitFold, queue_scope, scopes_of
from ..projections.queue_fold import Entry, OrderKey, QueueFold
from ..projections.verdict import Verdict
from .idlers import Idler
from .inventory import Inventory

_LOG_MARGIN: Final = 0.05
PASSED_OVER_US: Final = 100_000
"""For how long an entry may be passed over because another free worker's turn is first."""


class Candidate(NamedTuple):
    """An entry that may be claimed, the event that enqueued it, and the scopes it needs a permit for, if any."""

    queue: str
    entry: Entry
    request: EntryEnqueued
    scopes: tuple[str, ...] = ()


class Pick(NamedTuple):
    """An entry to go for: at once where nobody is `ahead`, else after a moment for each of those, if it still waits."""

    found: Candidate
    ahead: int


class Sight(Protocol):
    """What claiming looks at."""

    def folds(self) -> Sequence[QueueFold]:
        """Return the queues served, best first."""

    def entry(self, queue: str, entry: str) -> Entry | None:
        """Return an entry as it stands."""

    def request(self, queue: str, entry: str) -> EntryEnqueued | None:
        """Return the event that enqueued an entry that is not gone."""

    def ahead(self, queue: str, now: float) -> Sequence[Idler]:
        """Return the workers that serve this queue too and have been free for longer, the first to go first."""

    def claimed_at(self, queue: str, entry: str) -> float:
        """Moment at which this worker read the entry's valid claim: it is at least as old as that."""

    def take_verdict(self, event_id: str) -> Verdict | None:
        """Return, once, what the folds said of an event of this worker's when it was read back."""

    def acknowledged(self, attempt: str) -> bool:
        """Whether the last acknowledged heartbeat names the run of this very attempt, not of one before."""

    def exists(self, task: str) -> bool:
        """Whether the task was created, as far as this worker has read: none of its runs could start before."""

    def is_lost(self, task: str, run: int) -> bool:
        """Whether a run was declared lost, and the task has none that is further."""

    def limits(self) -> LimitFold:
        """Return the limits and permits in force."""

    def is_heard(self) -> bool:
        """Whether others know that this worker lives: they release the permits of those nothing is known of."""

    def log_us(self, now: float) -> int:
        """Return the log's time at this moment, as far as this worker can tell (µs since 1970)."""


@dataclass(slots=True)
class Choice:
    """The candidates of one worker. `lease` is the claim lease in seconds.

    `fair` takes from each queue in turn, beginning behind the one that was claimed from last. `next_stale` is the
    moment at which an entry that others hold may become a candidate, as far as the last look went.
    """

    worker: str
    sight: Sight
    lease: float
    fair: bool = False
    inventory: Inventory = field(default_factory=Inventory)
    next_stale: float = inf
    _asking: Counter[str] = field(default_factory=Counter)
    _spare: Hardware = NOTHING
    _first: int = 0
    _too_early: tuple[str, float] = ("", -inf)
    _passive: frozenset[Idler] = frozenset()

    def picks(self, now: float, busy: set[str], asking: Iterable[str], room: int, spare: Hardware) -> list[Pick]:
        """Up to `room` entries to go for, best first. See `candidates` for `busy`, `asking` and `spare`.

        Those that have been free for longer go first: as many of the best entries as there are of them are passed over,
        for a moment. What is left over is gone for all the same, after a wait.
        """
        mine: list[Pick] = []
        others: list[Pick] = []
        given: set[str] = set()
        ahead = cache(partial(self._ahead, now=now))
        candidates = self.candidates(now, busy, asking, spare)
        while len(mine) < room and (found := next(candidates, None)) is not None:
            first = next((idler for idler in ahead(found.queue) if idler.worker not in given), None)
            if first is not None and self._is_expected(first, found.entry, now):
                given.add(first.worker)
                others.append(Pick(found, len(ahead(found.queue))))
            else:
                mine.append(Pick(found, 0 if first is None else len(ahead(found.queue))))
        return mine + others[: room - len(mine)]

    def waited_in_vain(self, queue: str, now: float) -> None:
        """Learn that those ahead have let an entry lie: nobody counts on them until they have done something."""
        self._passive = frozenset(self.sight.ahead(queue, now))

    def _ahead(self, queue: str, now: float) -> list[Idler]:
        return [idler for idler in self.sight.ahead(queue, now) if idler not in self._passive]

    def _is_expected(self, idler: Idler, entry: Entry, now: float) -> bool:
        """Whether another free worker may be just about to claim the entry: it could not for long."""
        stale = entry.state == "claimed"
        free_us = entry.changed_us + round(self.lease * 1e6) if stale else max(entry.changed_us, entry.not_before_us)
        return self.sight.log_us(now) < max(idler.since_us, free_us) + PASSED_OVER_US

    def candidates(
        self, now: float, busy: set[str], asking: Iterable[str] = (), spare: Hardware = NOTHING
    ) -> Iterator[Candidate]:
        """Entries that may be claimed now, best first, except those this worker is busy with.

        `asking` are the scopes that it has asked permits for, `spare` is the hardware it has left; each candidate will
        ask for a permit too, and take its share.
        """
        self.next_stale = inf
        self._asking = Counter(asking)
        self._spare = spare
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
        waiting = takewhile(lambda _: not self._is_full(queue_scope(fold.queue)), self._rested(fold, now))
        for entry in merge(waiting, stale, key=_order) if stale else waiting:
            request = self.sight.request(fold.queue, entry.id)
            if entry.id not in busy and request is not None and self.sight.exists(entry.task):
                found = Candidate(fold.queue, entry, request, self.scopes(fold.queue, request))
                share = self.inventory.share(entry.hardware)
                if share.fits(self._spare) and self._has_room(found):
                    self._asking.update(found.scopes)
                    self._spare = self._spare.without(share)
                    yield found

    def scopes(self, queue: str, request: EntryEnqueued) -> tuple[str, ...]:
        """All scopes of an entry where one of them is limited now, so that it needs a permit; else none."""
        limits = self.sight.limits()
        scopes = scopes_of(queue, request) if limits.limits else []
        return tuple(scopes) if limits.limited(scopes) else ()

    def _is_full(self, scope: str) -> bool:
        return self.sight.limits().is_full(scope, self._asking[scope])

    def _has_room(self, found: Candidate) -> bool:
        """Whether a permit can be had: one that waits is left to who has a permit for it, one left behind is not."""
        if not found.scopes:
            return True
        entry, limits = found.entry, self.sight.limits()
        run = (entry.task, entry.run)
        if entry.state == "waiting" and limits.is_pursued(run, self.worker):
            return False
        return not limits.refusal(run, found.scopes, self._asking) and self.sight.is_heard()

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
