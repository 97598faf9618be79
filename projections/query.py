"""Questions to a projection and their typed answers, the same whether it is held here or served by another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Self

from ..events.parts import Configuration, Parameter, TaskSpec
from .rows import (
    ArtifactRow,
    Column,
    ConsoleRow,
    DeadLetterRow,
    EntryRow,
    EventRow,
    LastScalar,
    ModelFilter,
    ModelRow,
    ProjectRow,
    QueueRow,
    ReportRow,
    RunRow,
    TaskFilter,
    TaskRow,
    WorkerRow,
)

if TYPE_CHECKING:
    import pyarrow as pa


class Source(Protocol):
    """Where answers come from: a database in this process or a server that holds one."""

    def rows(self, query: str, values: Mapping[str, object], order: Sequence[str] = ()) -> list[tuple[object, ...]]:
        """Answer a named query with plain tuples."""

    def table(self, query: str, values: Mapping[str, object], order: Sequence[str] = ()) -> pa.Table:
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
        raise NotImplementedError

    def tasks(self, wanted: TaskFilter | None = None) -> list[TaskRow]:
        """Return the tasks that match. Raises `QueryError` for an unknown field or a bad pattern."""
        raise NotImplementedError

    def count_tasks(self, wanted: TaskFilter | None = None) -> int:
        """Return how many tasks match, whatever the filter's `limit` and `offset`."""
        raise NotImplementedError

    def tasks_table(self, wanted: TaskFilter | None = None, columns: Sequence[Column] = ()) -> pa.Table:
        """Return matching tasks as Arrow: the fields of `TaskRow`, then one column `c0`, `c1` … for each of `columns`.

        A parameter's column holds JSON text, a metric's a double; null where a task has none.
        """
        raise NotImplementedError

    def spec(self, task_id: str) -> TaskSpec | None:
        """Return a task's spec as edited so far, parameters and configurations included."""
        raise NotImplementedError

    def runs(self, task_id: str) -> list[RunRow]:
        """Return a task's runs in order."""
        raise NotImplementedError

    def parameters(self, task_id: str) -> list[Parameter]:
        """Return a task's hyper-parameters in the order they were first set."""
        raise NotImplementedError

    def configurations(self, task_id: str) -> list[Configuration]:
        """Return a task's configuration objects in the order they were first set."""
        raise NotImplementedError

    def parameter_names(self, wanted: TaskFilter | None = None) -> list[str]:
        """Return the names of all parameters that matching tasks have, sorted."""
        raise NotImplementedError

    def metric_names(self, wanted: TaskFilter | None = None) -> list[tuple[str, str]]:
        """Return all (title, series) of scalars that matching tasks have, sorted."""
        raise NotImplementedError

    def scalars(self, task_id: str, max_samples: int = 0, *, title: str = "", series: str = "") -> pa.Table:
        """Return the points of the visible runs as (title, series, step, time, value), by series, step and time.

        `time` is a timestamp in UTC. `max_samples` above 0 thins each series evenly to at most so many points, its
        first and last among them.
        """
        raise NotImplementedError

    def last_scalars(self, task_id: str) -> list[LastScalar]:
        """Return a summary of each scalar series, sorted by title and series."""
        raise NotImplementedError

    def single_values(self, task_id: str) -> dict[str, float]:
        """Return the single values by name."""
        raise NotImplementedError

    def plots(self, task_id: str, iterations: int | None = None) -> list[ReportRow]:
        """Return plots by title, series and iteration; `iterations` keeps the last so many of each series."""
        raise NotImplementedError

    def texts(self, task_id: str) -> list[ReportRow]:
        """Return texts in the order they were reported."""
        raise NotImplementedError

    def media(self, task_id: str, iterations: int | None = None) -> list[ReportRow]:
        """Return images, sounds, videos and pages; `iterations` as for `plots`."""
        raise NotImplementedError

    def console(
        self, task_id: str, limit: int | None = None, *, after: tuple[int, int] | None = None, run: int | None = None
    ) -> list[ConsoleRow]:
        """Return console lines in order: the last `limit`, or with `after` (a row's offset and index) the next ones."""
        raise NotImplementedError

    def artifacts(self, task_id: str) -> list[ArtifactRow]:
        """Return a task's artifacts by name."""
        raise NotImplementedError

    def models(self, wanted: ModelFilter | None = None) -> list[ModelRow]:
        """Return models, the latest changed first; for a task by direction and creation."""
        raise NotImplementedError

    def projects(self) -> list[ProjectRow]:
        """Return projects by name."""
        raise NotImplementedError

    def queues(self) -> list[QueueRow]:
        """Return queues by name."""
        raise NotImplementedError

    def entries(self, queue: str, *, gone: bool = False) -> list[EntryRow]:
        """Return a queue's entries in the order they will be served; with `gone` those that left it too."""
        raise NotImplementedError

    def task_entries(self, task_id: str) -> list[EntryRow]:
        """Return all entries a task ever had in any queue, by run and hop."""
        raise NotImplementedError

    def workers(self) -> list[WorkerRow]:
        """Return the workers that did not leave in order, by id; those silent for long are dead."""
        raise NotImplementedError

    def events(self, key: str | None = None, *, limit: int | None = None, types: Sequence[str] = ()) -> list[EventRow]:
        """Return the events about a task, queue or worker (all events without a key) in order of their append times."""
        raise NotImplementedError

    def dead_letters(self, limit: int | None = None) -> list[DeadLetterRow]:
        """Return records that could not be read, in order of their append times."""
        raise NotImplementedError

    def positions(self) -> dict[tuple[str, int], int]:
        """Return, for each (topic, partition), the offset up to which the answers know the log."""
        raise NotImplementedError

    def sql(self, query: str) -> pa.Table:
        """Answer one SELECT over the projection's tables and views. Raises `QueryError` for anything else."""
        return self._source.sql(query)
