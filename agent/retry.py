"""What follows a run that ended: nothing, or the next run of the task in the same place of the same queue.

Infrastructure's failures (a lost worker, an environment that can't be built, a full disk) are retried on a count of
their own, a task's own failures as often as its `retries` say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from ..events.base import Meta
from ..events.queue_events import EntryEnqueued, entry_id

INFRASTRUCTURE_RETRIES: Final = 3


class Outcome(NamedTuple):
    """How a run ended; `handed_back` says that its worker was told to go, which is nobody's failure."""

    kind: Literal["completed", "stopped", "failed", "lost", "superseded"]
    cause: Literal["task", "infrastructure"] = "task"
    handed_back: bool = False


LOST: Final = Outcome("lost", "infrastructure")


class Counts(NamedTuple):
    """Retries so far in a row: for the task's own failures and for the infrastructure's."""

    failures: int
    losses: int


def counts_after(request: EntryEnqueued, outcome: Outcome, limit: int = INFRASTRUCTURE_RETRIES) -> Counts | None:
    """Counts of the next run's entry, or None where no run follows."""
    counts = Counts(request.failures, request.losses)
    if outcome.kind not in {"failed", "lost"}:
        return None
    if outcome.handed_back:
        return counts
    if outcome.cause == "infrastructure" or outcome.kind == "lost":
        return counts._replace(losses=counts.losses + 1) if counts.losses < limit else None
    return counts._replace(failures=counts.failures + 1) if counts.failures < request.spec.retries else None


def successor_id(request: EntryEnqueued) -> str:
    """Id of the entry of the next run: the same for everyone who enqueues it, so that it is enqueued once."""
    return entry_id(request.queue, request.task, request.run + 1)


def successor(
    request: EntryEnqueued,
    rank: float,
    outcome: Outcome,
    stamp: Callable[[], Meta],
    limit: int = INFRASTRUCTURE_RETRIES,
    *,
    priority: int = 0,
) -> EntryEnqueued | None:
    """Return the entry of the next run, at the rank and priority the ended one had, or None where no run follows."""
    counts = counts_after(request, outcome, limit)
    if counts is None:
        return None
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
    )
