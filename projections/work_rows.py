"""The typed rows that queries answer with about work: queues and what waits in them, limits, workers, pipelines.

Moments are aware datetimes in UTC; JSON is text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..events.hardware import Hardware


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue, how much waits in it, since when (oldest entry that waits), and which workers serve it.

    Nobody takes from one that is `deleted`; there is a row of it only while something waits in it all the same.
    """

    name: str
    paused: bool
    pause_reason: str
    waiting: int
    claimed: int
    oldest_waiting_at: datetime | None
    workers: tuple[str, ...]
    created_at: datetime | None
    deleted: bool


@dataclass(frozen=True, slots=True)
class WaitRow:
    """How long the last so many (`taken`) entries of a queue waited for an agent: percentiles in seconds."""

    queue: str
    taken: int
    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry of a queue. `state` is `waiting`, `claimed`, `taken`, `dequeued` or `moved`.

    Entries are served by priority (higher first), then rank (smaller first). `offset` is where it was enqueued. Its run
    needs so many `cpus` (cores), `memory_gb` (GiB) and `gpus`.
    """

    id: str
    queue: str
    task: str
    run: int
    hop: int
    state: str
    priority: int
    rank: float
    worker: str
    moved_to: str
    offset: int
    enqueued_at: datetime
    changed_at: datetime
    cpus: float = 0.0
    memory_gb: float = 0.0
    gpus: int = 0

    @property
    def needs(self) -> Hardware:
        """What its run needs."""
        return Hardware(cpus=self.cpus, memory_gb=self.memory_gb, gpus=self.gpus)


@dataclass(frozen=True, slots=True)
class LimitRow:
    """At most `running` runs of the scope (`queue:…`, `user:…`, `tag:…`) at once; `permits` runs hold one now."""

    scope: str
    running: int
    permits: int
    set_at: datetime


@dataclass(frozen=True, slots=True)
class PermitRow:
    """Leave to run one run, held by a worker from before it claims the entry until the run is over."""

    id: str
    task: str
    run: int
    entry: str
    worker: str
    scopes: tuple[str, ...]
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """An agent process as it last spoke of itself; `runs` is JSON, a list of what it holds.

    Its runs may have so many `cpus` (cores), `memory_gb` (GiB) and `gpus` together; `spare_…` is what is left of that.
    `draining` says that somebody asked it to leave.
    """

    id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    slots: int
    version: str
    tags: tuple[str, ...]
    runs: str
    load: dict[str, float]
    interval: float
    started_at: datetime | None
    seen_at: datetime
    stopped_at: datetime | None
    cpus: float
    memory_gb: float
    gpus: int
    spare_cpus: float
    spare_memory_gb: float
    spare_gpus: int
    draining: bool

    @property
    def spare(self) -> Hardware:
        """What is left for further runs."""
        return Hardware(cpus=self.spare_cpus, memory_gb=self.spare_memory_gb, gpus=self.spare_gpus)


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """A pipeline: its controller's `task` and `status`, and how many of its steps came to what.

    `done` counts steps completed or cached, `failed` those failed or aborted, `under_way` those queued or running.
    `generation` counts how often it went on after its end. `stopping_reason` is None unless somebody stopped it.
    """

    task: str
    project: str
    name: str
    version: str
    status: str
    run: int
    generation: int
    steps: int
    done: int
    failed: int
    skipped: int
    under_way: int
    stops_on_fail: bool
    time_limit: float
    stopping_reason: str | None
    stopping_failed: bool | None
    user: str
    tags: tuple[str, ...]
    archived: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step of the pipeline that `task` controls, and what became of it; `child` is the task that runs it.

    `definition` is JSON as the pipeline defined it, `answers` a JSON list of a callback's name, occasion and answer.
    """

    task: str
    place: int
    name: str
    status: str
    child: str
    child_run: int
    retries: int
    parents: tuple[str, ...]
    base: str
    queue: str
    stage: str
    cache_key: str
    message: str
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    definition: str
    answers: str
