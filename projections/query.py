"""Questions to a projection and their typed answers, the same whether it is held here or served by another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

from ..events.log.port import Positions, TopicPartition
from ..events.parts import Configuration, Parameter, TaskSpec
from .filters import model_values, order_of, task_values
from .instance_rows import (
    DecisionRow,
    FailedLaunchRow,
    InstanceRow,
    MachineCountsRow,
    NeedRow,
    ScalerRow,
    ScalingStepRow,
)
from .rows import (
    AGGREGATES,
    ArtifactRow,
    Column,
    ConsoleRow,
    DeadLetterRow,
    EventRow,
    LastScalar,
    MetricColumn,
    ModelFilter,
    ModelRow,
    ParameterColumn,
    ProjectRow,
    ReportRow,
    RunRow,
    TaskFilter,
    TaskRow,
    made,
)
from .search_rows import SearchRow, TrialRow
from .tables import us
from .task_state import TaskState
from .work_rows import EntryRow, LimitRow, PermitRow, PipelineRow, QueueRow, StepRow, WaitRow, WorkerRow

if TYPE_CHECKING:
    import pyarrow as pa

Values = Mapping[str, Any]


class Source(Protocol):
    """Where answers come from: a database in this process or a server that holds one.

    All methods raise `QueryError` for a question that can't be answered as put.
    """

    def rows(self, query: str, values: Values, order: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """Answer a named query with plain tuples."""

    def table(self, query: str, values: Values, order: Sequence[str] = ()) -> pa.Table:
        """Answer a named query with Arrow."""

    def sql(self, query: str) -> pa.Table:
        """Answer a SELECT of the user's own."""

    def close(self) -> None:
        """Let go of the database or connection."""


class Queries:
    """All that can be asked. Close it, or use it as a context manager: while open it may hold the database's lock."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the projection."""
        self._source.close()

    def task(self, task_id: str) -> TaskRow | None:
        """Return a task, archived or not, or None where there is none (or no longer)."""
        return next(iter(made(TaskRow, self._rows("task", task=task_id))), None)

    def tasks(self, wanted: TaskFilter | None = None) -> list[TaskRow]:
        """Return the tasks that match. Raises `QueryError` for an unknown field or a bad pattern."""
        wanted = wanted or TaskFilter()
        values = task_values(wanted, paged=True)
        return made(TaskRow, self._source.rows("tasks", values, order_of(wanted)))

    def count_tasks(self, wanted: TaskFilter | None = None) -> int:
        """Return how many tasks match, whatever the filter's `limit` and `offset`."""
        count: int = self._source.rows("count_tasks", task_values(wanted))[0][0]
        return count

    def task_rows(self, wanted: TaskFilter | None = None, columns: Sequence[Column] = ()) -> list[dict[str, Any]]:
        """Return matching tasks as the fields of `TaskRow` by name, then `c0`, `c1` … for each of `columns`.

        A parameter's column holds JSON text, a metric's a number; None where a task has none.
        """
        found = [{name: getattr(row, name) for name in TaskRow.__slots__} for row in self.tasks(wanted)]
        for number, values in enumerate(self._columns([row["id"] for row in found], columns)):
            for row in found:
                row[f"c{number}"] = values.get(row["id"])
        return found

    def spec(self, task_id: str) -> TaskSpec | None:
        """Return a task's spec as edited so far, parameters and configurations included."""
        found = self._rows("spec", task=task_id)
        return TaskState.model_validate_json(found[0][0]).spec if found else None

    def runs(self, task_id: str) -> list[RunRow]:
        """Return a task's runs in order."""
        return made(RunRow, self._rows("runs", task=task_id))

    def parameters(self, task_id: str) -> list[Parameter]:
        """Return a task's hyper-parameters in the order they were first set."""
        fields = ("name", "value", "type", "description")
        return [Parameter(**dict(zip(fields, row, strict=True))) for row in self._rows("parameters", task=task_id)]

    def configurations(self, task_id: str) -> list[Configuration]:
        """Return a task's configuration objects in the order they were first set."""
        fields = ("name", "text", "type", "suffix", "description")
        found = self._rows("configurations", task=task_id)
        return [Configuration(**dict(zip(fields, row, strict=True))) for row in found]

    def parameter_names(self, wanted: TaskFilter | None = None) -> list[str]:
        """Return the names of all parameters that matching tasks have, sorted."""
        return [name for (name,) in self._source.rows("parameter_names", task_values(wanted))]

    def metric_names(self, wanted: TaskFilter | None = None) -> list[tuple[str, str]]:
        """Return all (title, series) of scalars that matching tasks have, sorted."""
        return [(title, series) for title, series in self._source.rows("metric_names", task_values(wanted))]

    def scalars(
        self, task_id: str, max_samples: int = 0, *, title: str | None = None, series: str | None = None
    ) -> pa.Table:
        """Return the points of the visible runs as (title, series, step, time, value), by series, step and time.

        `time` is a timestamp in UTC. `max_samples` above 0 thins each series evenly to at most so many points (2 at the
        least), its first and last among them.
        """
        values = {"task": task_id, "title": title, "series": series}
        if max_samples <= 0:
            return self._source.table("all_scalars", values)
        return self._source.table("scalars", {**values, "samples": max(max_samples, 2)})

    def last_scalars(self, task_id: str) -> list[LastScalar]:
        """Return a summary of each scalar series, sorted by title and series."""
        return made(LastScalar, self._rows("last_scalars", task=task_id))

    def single_values(self, task_id: str) -> dict[str, float]:
        """Return the single values by name."""
        return dict(self._rows("single_values", task=task_id))

    def plots(self, task_id: str, iterations: int | None = None) -> list[ReportRow]:
        """Return plots by title, series and iteration; `iterations` keeps the last so many of each series."""
        return made(ReportRow, self._rows("plots", task=task_id, iterations=iterations))

    def texts(self, task_id: str) -> list[ReportRow]:
        """Return texts in the order they were reported."""
        return made(ReportRow, self._rows("texts", task=task_id))

    def media(self, task_id: str, iterations: int | None = None) -> list[ReportRow]:
        """Return images, sounds, videos and pages; `iterations` as for `plots`."""
        return made(ReportRow, self._rows("media", task=task_id, iterations=iterations))

    def console(
        self, task_id: str, limit: int | None = None, *, after: tuple[int, int] | None = None, run: int | None = None
    ) -> list[ConsoleRow]:
        """Return console lines in order: the last `limit`, or with `after` (a row's offset and index) the next ones."""
        values = {"task": task_id, "limit": limit, "run": run}
        if after is None:
            return made(ConsoleRow, self._source.rows("console_tail", values))
        offset, index = after
        return made(ConsoleRow, self._source.rows("console_after", {**values, "offset": offset, "index": index}))

    def artifacts(self, task_id: str) -> list[ArtifactRow]:
        """Return a task's artifacts by name."""
        return made(ArtifactRow, self._rows("artifacts", task=task_id))

    def models(self, wanted: ModelFilter | None = None) -> list[ModelRow]:
        """Return models, the latest changed first; for a task those it made and uses, by direction and creation."""
        return made(ModelRow, self._source.rows("models", model_values(wanted or ModelFilter())))

    def projects(self) -> list[ProjectRow]:
        """Return projects by name."""
        return made(ProjectRow, self._rows("projects"))

    def queues(self) -> list[QueueRow]:
        """Return queues by name; of deleted ones those in which something waits."""
        return made(QueueRow, self._rows("queues"))

    def entries(self, queue: str, *, gone: bool = False) -> list[EntryRow]:
        """Return a queue's entries in the order they will be served; with `gone` those that left it too."""
        return made(EntryRow, self._rows("entries", queue=queue, gone=gone))

    def waits(self, last: int = 1000) -> list[WaitRow]:
        """Return how long entries waited, for each queue that agents have taken some from: of the last so many each."""
        return made(WaitRow, self._rows("waits", last=last))

    def task_entries(self, task_id: str) -> list[EntryRow]:
        """Return all entries a task ever had in any queue, by run and hop."""
        return made(EntryRow, self._rows("task_entries", task=task_id))

    def limits(self) -> list[LimitRow]:
        """Return the scopes that are limited, by name, and how much of each limit is in use."""
        return made(LimitRow, self._rows("limits"))

    def permits(self) -> list[PermitRow]:
        """Return the permits in force, the oldest first."""
        return made(PermitRow, self._rows("permits"))

    def workers(self) -> list[WorkerRow]:
        """Return the workers that did not leave in order, by id; those silent for long are dead."""
        return made(WorkerRow, self._rows("workers"))

    def pipelines(
        self, name: str | None = None, *, task: str | None = None, archived: bool = False, limit: int | None = None
    ) -> list[PipelineRow]:
        """Return pipelines (of this name, of this controller), the latest created first; archived ones if asked for."""
        values = {"name": name, "task": task, "include_archived": archived, "limit": limit}
        return made(PipelineRow, self._source.rows("pipelines", values))

    def steps(self, task_id: str) -> list[StepRow]:
        """Return the steps of the pipeline that a task controls, in the order they were defined."""
        return made(StepRow, self._rows("steps", task=task_id))

    def cached_step(self, cache_key: str) -> str | None:
        """Return the child of the latest step of this key that completed, while what it came to still stands."""
        return next((child for (child,) in self._rows("cached_step", cache_key=cache_key)), None)

    def searches(
        self, name: str | None = None, *, task: str | None = None, archived: bool = False, limit: int | None = None
    ) -> list[SearchRow]:
        """Return searches (of this name, of this controller), the latest created first; archived ones if asked for."""
        values = {"name": name, "task": task, "include_archived": archived, "limit": limit}
        return made(SearchRow, self._source.rows("searches", values))

    def trials(self, task_id: str) -> list[TrialRow]:
        """Return the trials of the search that a task controls, by number."""
        return made(TrialRow, self._rows("trials", task=task_id))

    def scalers(self) -> list[ScalerRow]:
        """Return scalers by name."""
        return made(ScalerRow, self._rows("scalers"))

    def instances(
        self, scaler: str | None = None, *, gone: bool = False, limit: int | None = None
    ) -> list[InstanceRow]:
        """Return machines (of this scaler), the latest asked for first; those that are gone if asked for."""
        return made(InstanceRow, self._rows("instances", scaler=scaler, gone=gone, limit=limit))

    def needs(self) -> list[NeedRow]:
        """Return what each scaler last said of each of its queues, by scaler, queues as they are served."""
        return made(NeedRow, self._rows("needs"))

    def scaling_steps(self, scaler: str, limit: int = 2000) -> list[ScalingStepRow]:
        """Return what a scaler decided about its machines, and what held it back, the latest first."""
        return made(ScalingStepRow, self._rows("scaling_steps", scaler=scaler, limit=limit))

    def failed_launches(self, scaler: str, limit: int = 50) -> list[FailedLaunchRow]:
        """Return launches of a scaler that came to nothing, by placement and kind of reason, the latest first."""
        return made(FailedLaunchRow, self._rows("failed_launches", scaler=scaler, limit=limit))

    def machine_counts(self, scaler: str, since: datetime | None = None, samples: int = 500) -> list[MachineCountsRow]:
        """Return how many machines a scaler had whenever that changed, in order, thinned to so many."""
        values = {"scaler": scaler, "since": us(since), "samples": samples}
        return made(MachineCountsRow, self._source.rows("machine_counts", values))

    def decisions(self, scaler: str, since: datetime | None = None, samples: int = 500) -> list[DecisionRow]:
        """Return what a scaler saw whenever that changed, in order, thinned to so many (the last among them)."""
        values = {"scaler": scaler, "since": us(since), "samples": samples}
        return made(DecisionRow, self._source.rows("decisions", values))

    def events(self, key: str | None = None, *, limit: int | None = None, types: Sequence[str] = ()) -> list[EventRow]:
        """Return the events about a task, queue or worker (all events without a key) in order of their append times."""
        return made(EventRow, self._rows("events", key=key, limit=limit, types=list(types)))

    def dead_letters(self, limit: int | None = None) -> list[DeadLetterRow]:
        """Return records that could not be read, in order of their append times."""
        return made(DeadLetterRow, self._rows("dead_letters", limit=limit))

    def positions(self) -> Positions:
        """Return, for each partition, the offset up to which the answers know the log."""
        return {TopicPartition(topic, partition): offset for topic, partition, offset in self._rows("positions")}

    def sql(self, query: str) -> pa.Table:
        """Answer one SELECT over the projection's tables and views. Raises `QueryError` for anything else."""
        return self._source.sql(query)

    def _rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        return self._source.rows(query, values)

    def _columns(self, tasks: list[str], columns: Sequence[Column]) -> list[dict[str, Any]]:
        """Return, for each column, its value by task."""
        names = [column.name for column in columns if isinstance(column, ParameterColumn)]
        metrics = [(c.title, c.series) for c in columns if isinstance(c, MetricColumn)]
        found: dict[Column, dict[str, Any]] = {column: {} for column in columns}
        if names:
            for task, name, value in self._rows("parameter_values", names=names, tasks=tasks):
                found[ParameterColumn(name)][task] = value
        if metrics:
            pairs = [{"title": title, "series": series} for title, series in metrics]
            for row in self._rows("metric_values", metrics=pairs, tasks=tasks):
                _add_metric(found, row)
        return [found[column] for column in columns]


def _add_metric(found: dict[Column, dict[str, Any]], row: tuple[Any, ...]) -> None:
    task, title, series, *values = row
    for aggregate, value in zip(AGGREGATES, values, strict=True):
        column = MetricColumn(title, series, aggregate)
        if column in found:
            found[column][task] = value
