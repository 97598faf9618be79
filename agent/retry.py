"""What follows a run that ended: nothing, or the next run of the task in the same place of the same queue.

Infrastructure's failures (a lost worker, an environment that can't be built, a full disk) are retried on a count of
their own, after a pause that grows; a task's own failures as often as its `retries` say; a run that was preempted
goes back as if it had never started.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from ..events.base import Meta
from ..events.queue_events import EntryEnqueued, entry_id

INFRASTRUCTURE_RETRIES: Final = 3
FIRST_PAUSE: Final = 10.0
LONGEST_PAUSE: Final = 300.0
_GROWTH: Final = 3


class Outcome(NamedTuple):
    """How a run ended."""

    kind: Literal["completed", "stopped", "failed", "lost", "preempted", "superseded"]
    cause: Literal["task", "infrastructure"] = "task"


LOST: Final = Outcome("lost", "infrastructure")


class Counts(NamedTuple):
    """Retries so far in a row: for the task's own failures and for the infrastructure's."""

    failures: int
    losses: int


def counts_after(request: EntryEnqueued, outcome: Outcome, limit: int = INFRASTRUCTURE_RETRIES) -> Counts | None:
    """Counts of the next run's entry, or None where no run follows."""
    counts = Counts(request.failures, request.losses)
    if outcome.kind == "preempted":
        return counts
    if outcome.kind not in {"failed", "lost"}:
        return None
    if outcome.cause == "infrastructure" or outcome.kind == "lost":
        return counts._replace(losses=counts.losses + 1) if counts.losses < limit else None
    return counts._replace(failures=counts.failures + 1) if counts.failures < request.spec.retries else None


def pause_before(losses: int) -> float:
    """Seconds the next run waits after so many failures of the infrastructure in a row: the first is an accident."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * _GROWTH ** (losses - 2)) if losses > 1 else 0.0


def is_set_aside(request: EntryEnqueued, limit: int = INFRASTRUCTURE_RETRIES) -> bool:
    """Whether the run this entry brought about is the last one that the infrastructure may fail."""
    return request.losses >= limit


def successor_id(request: EntryEnqueued) -> str:
    """Id of the entry of the next run: the same for everyone who enqueues it, so that it is enqueued once."""
    return entry_id(request.queue, request.task, request.run + 1)


def successor(
    request: EntryEnqueued,
    rank: float,
    outcome: Outcome,
    stamp: Callable[[], Meta],
    log_us: int,
    *,
    priority: int = 0,
) -> EntryEnqueued | None:
    """Return the entry of the next run, at the rank and priority the ended one had, or None where no run follows.

    `log_us` is the log's time, from which a pause before the next run counts (µs since 1970).
    """
    counts = counts_after(request, outcome)
    if counts is None:
        return None
    pause = pause_before(counts.losses) if counts.losses > request.losses else 0.0
    return EntryEnqueued(
        meta=stamp(),
        task=request.task,
        queue=request.queue,
        entry=successor_id(request),
        run=request.run + 1,
        rank=rank,
        priority=priority,
        spec=request.spec,
        failures=counts.failures,
        losses=counts.losses,
        not_before_us=log_us + round(pause * 1e6) if pause else 0,
    )
