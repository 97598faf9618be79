"""The fold of concurrency limits: which scopes are limited, which runs hold permits, and whether another one has room.

All events lie in one partition, so that every reader that folds them comes to the same answer: no permit was claimed
for a run that its scopes had no room for. A run counts once, as long as any worker has a permit for it: who takes over
the entry of a worker that died needs no room that the run has already.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self, TypeVar

from ..events.limit_events import LimitSet, PermitClaimed, PermitEvent, PermitReleased
from ..events.queue_events import EntryEnqueued
from .verdict import ACCEPTED, DUPLICATE, Verdict, rejected

REMEMBERED_US: Final = 24 * 3600 * 1_000_000
NOBODY: Final[Mapping[str, int]] = {}
_MACHINES: Final = "agent/"
Run = tuple[str, int]
K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to run one run. `id` is that of the event that claimed it, `claimed_us` its append time."""

    id: str
    task: str
    run: int
    entry: str
    worker: str
    scopes: tuple[str, ...]
    claimed_us: int

    @property
    def of(self) -> Run:
        """The run it is for."""
        return (self.task, self.run)


@dataclass(slots=True)
class LimitFold:
    """Limits by scope, and the permits in force by id. Feed it each event once, in order. Not thread-safe."""

    limits: dict[str, int] = field(default_factory=dict)
    permits: dict[str, Permit] = field(default_factory=dict)
    _runs: defaultdict[str, Counter[Run]] = field(default_factory=lambda: defaultdict(Counter))
    _workers: defaultdict[Run, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _judged: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _now_us: int = 0

    @classmethod
    def of(cls, limits: Mapping[str, int], permits: Iterable[Permit]) -> Self:
        """Return the fold that has come to these limits and permits."""
        fold = cls(dict(limits))
        for permit in permits:
            fold._grant(permit)
        return fold

    def apply(self, event: LimitSet | PermitEvent, timestamp_us: int) -> Verdict:
        """Fold an event: an id is judged once, and copies change nothing, for a day of the log's own time."""
        self._now_us = max(self._now_us, timestamp_us)
        if self._judged_before(event.meta.event_id):
            return DUPLICATE
        match event:
            case LimitSet():
                return self._limit(event)
            case PermitClaimed():
                return self._claim(event)
            case PermitReleased():
                return self._release(event)
        return rejected(f"{type(event).__name__} means nothing to limits")

    def limited(self, scopes: Iterable[str]) -> list[str]:
        """Return those of the scopes that are limited."""
        return [scope for scope in scopes if scope in self.limits]

    def held(self, scope: str) -> int:
        """How many runs of the scope hold a permit."""
        return len(self._runs.get(scope, ()))

    def refusal(self, run: Run, scopes: Iterable[str], others: Mapping[str, int] = NOBODY) -> str:
        """Why the run would be refused a permit now; empty where it would get it.

        `others` are runs by scope that are about to hold a permit too.
        """
        for scope in self.limited(scopes):
            if run not in self._runs.get(scope, ()) and self.is_full(scope, others.get(scope, 0)):
                return f"{scope} is limited to {self.limits[scope]} at once"
        return ""

    def is_full(self, scope: str, others: int = 0) -> bool:
        """Whether the scope has no room for a further run, with so many others that are about to hold a permit."""
        return scope in self.limits and self.held(scope) + others >= self.limits[scope]

    def is_pursued(self, run: Run, worker: str) -> bool:
        """Whether another worker than this one holds a permit for the run."""
        return bool(self._workers.get(run, {}).keys() - {worker})

    def _judged_before(self, event_id: str) -> bool:
        while self._judged and next(iter(self._judged.values())) < self._now_us - REMEMBERED_US:
            self._judged.popitem(last=False)
        seen = event_id in self._judged
        self._judged.setdefault(event_id, self._now_us)
        return seen

    def _limit(self, event: LimitSet) -> Verdict:
        if event.running is None:
            self.limits.pop(event.scope, None)
        else:
            self.limits[event.scope] = event.running
        return ACCEPTED

    def _claim(self, event: PermitClaimed) -> Verdict:
        scopes = tuple(dict.fromkeys(event.scopes))
        if reason := self.refusal((event.task, event.run), scopes):
            return rejected(reason)
        about = (event.meta.event_id, event.task, event.run, event.entry, event.worker)
        self._grant(Permit(*about, scopes, self._now_us))
        return ACCEPTED

    def _grant(self, permit: Permit) -> None:
        self.permits[permit.id] = permit
        self._workers[permit.of][permit.worker] += 1
        for scope in permit.scopes:
            self._runs[scope][permit.of] += 1

    def _release(self, event: PermitReleased) -> Verdict:
        permit = self.permits.pop(event.permit, None)
        if permit is None:
            return rejected("there is no such permit")
        _less(self._workers, permit.of, permit.worker)
        for scope in permit.scopes:
            _less(self._runs, scope, permit.of)
        return ACCEPTED


def _less(counts: dict[K, Counter[V]], key: K, value: V) -> None:
    """Count one less, and keep nothing of what is gone."""
    counts[key][value] -= 1
    if not counts[key][value]:
        del counts[key][value]
    if not counts[key]:
        del counts[key]


def queue_scope(queue: str) -> str:
    """Scope of all runs of a queue."""
    return f"queue:{queue}"


def scopes_of(queue: str, request: EntryEnqueued) -> list[str]:
    """Scopes that an entry of this queue belongs to: its queue, the task's user (else who enqueued it), its tags."""
    actor = request.meta.actor
    name = request.spec.user or ("" if actor.startswith(_MACHINES) else actor)
    user = name.rpartition("@")[0] or name
    return [queue_scope(queue), *([f"user:{user}"] if user else []), *(f"tag:{tag}" for tag in request.spec.tags)]
