"""Whether another run follows one that ended: the rule that agents keep, so that whoever waits for a task knows too.

Infrastructure's failures (a lost worker, an environment that can't be built, a full disk) are retried on a count of
their own; a task's own failures as often as its `retries` say; a run that was preempted goes back as if it had never
started.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

INFRASTRUCTURE_RETRIES: Final = 3


class Outcome(NamedTuple):
    """How a run ended."""

    kind: Literal["completed", "stopped", "failed", "lost", "preempted", "superseded"]
    cause: Literal["task", "infrastructure"] = "task"


LOST: Final = Outcome("lost", "infrastructure")


class Counts(NamedTuple):
    """Retries so far in a row: for the task's own failures and for the infrastructure's."""

    failures: int = 0
    losses: int = 0


def counts_after(counts: Counts, retries: int, outcome: Outcome, limit: int = INFRASTRUCTURE_RETRIES) -> Counts | None:
    """Counts of the next run, or None where no run follows; `retries` is what the task's spec allows."""
    if outcome.kind == "preempted":
        return counts
    if outcome.kind not in {"failed", "lost"}:
        return None
    if outcome.cause == "infrastructure" or outcome.kind == "lost":
        return counts._replace(losses=counts.losses + 1) if counts.losses < limit else None
    return counts._replace(failures=counts.failures + 1) if counts.failures < retries else None
