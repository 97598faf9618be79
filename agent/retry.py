"""What follows a run that ended: nothing, or the next run of the task in the same place of the same queue.

The infrastructure's failures are retried after a pause that grows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..events.base import Meta
from ..events.queue_events import EntryEnqueued, entry_id
from ..projections.retries import INFRASTRUCTURE_RETRIES, Counts, Outcome, counts_after

FIRST_PAUSE: Final = 10.0
LONGEST_PAUSE: Final = 300.0
_GROWTH: Final = 3


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
    counts = counts_after(Counts(request.failures, request.losses), request.spec.retries, outcome)
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
