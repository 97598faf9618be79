"""The typed rows that queries answer with about searches. Moments are aware datetimes in UTC; JSON is text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SearchRow:
    """A search: its controller's `task` and `status`, and how many of its trials came to what.

    `objectives`, `limits` and `space` are JSON as the search defined them. `failed` counts trials failed or aborted,
    `under_way` those queued or `running`; `spent` is the seconds of all that are over. `best` is the number of the best
    trial by the first objective. `stopping_reason` is None unless the search was stopped.
    """

    task: str
    project: str
    name: str
    status: str
    run: int
    base_task: str
    strategy: str
    queue: str
    objectives: str
    limits: str
    space: str
    trials: int
    completed: int
    pruned: int
    failed: int
    under_way: int
    running: int
    spent: float
    best: int | None
    best_child: str | None
    best_values: tuple[float, ...]
    stopping_reason: str | None
    stopping_failed: bool | None
    user: str
    tags: tuple[str, ...]
    archived: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class TrialRow:
    """A trial of the search that `task` controls; `child` is the task that runs it.

    `values` are those of the objectives, empty where there are none. `parameters` is a JSON object by full name.
    """

    task: str
    number: int
    child: str
    status: str
    values: tuple[float, ...]
    iteration: int
    seconds: float
    parameters: str
    message: str
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
