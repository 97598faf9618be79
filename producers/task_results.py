"""What a task has reported, read back in the shapes that ClearML returns."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..events.parts import BlobRef
from .errors import InvalidArgumentError
from .task_data import TaskData
from .task_queries import QueriesMixin

if TYPE_CHECKING:
    import pyarrow as pa

    from ..projections.query import Queries
    from ..projections.rows import ReportRow, TaskRow

X_AXES: Final = ("iter", "timestamp", "iso_time")
CONSOLE_LINES: Final = 100


class ResultsMixin(QueriesMixin):
    """All reads see everything this process has reported before them."""

    def get_reported_scalars(self, max_samples: int = 0, x_axis: str = "iter") -> dict[str, dict[str, Any]]:
        """Return scalars as `{title: {series: {"name": series, "x": [...], "y": [...]}}}`.

        Args:
            max_samples: At most so many points of each series, evenly thinned; 0 for all.
            x_axis: What x is: `iter`, `timestamp` (milliseconds since 1970) or `iso_time`.

        Raises:
            InvalidArgumentError: `x_axis` is none of these.

        """
        if x_axis not in X_AXES:
            raise InvalidArgumentError(f"x_axis is one of {', '.join(X_AXES)}, not {x_axis!r}.")
        tables = self._ask(lambda queries: [queries.scalars(self._id, max_samples)])
        return _curves(tables[0], x_axis) if tables else {}

    def get_all_reported_scalars(self, x_axis: str = "iter") -> dict[str, dict[str, Any]]:
        """Return all points of all scalars, as `get_reported_scalars` does."""
        return self.get_reported_scalars(x_axis=x_axis)

    def get_last_scalar_metrics(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return `{title: {series: {"last": …, "min": …, "max": …}}}`."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for row in self._ask(lambda queries: queries.last_scalars(self._id)):
            found.setdefault(row.title, {})[row.series] = {"last": row.last, "min": row.min, "max": row.max}
        return found

    def get_reported_single_values(self) -> dict[str, float]:
        """Return the single values by name."""
        return next(iter(self._ask(lambda queries: [queries.single_values(self._id)])), {})

    def get_reported_single_value(self, name: str) -> float | None:
        """Return a single value, None where there is none of this name."""
        return self.get_reported_single_values().get(name)

    def get_reported_plots(self, max_iterations: int | None = None) -> list[dict[str, Any]]:
        """Return plots as dicts with `metric`, `variant`, `iter`, `timestamp` (ms) and `plot_str` (plotly's JSON).

        Args:
            max_iterations: The last so many of each series; None for all.

        """
        rows = self._ask(lambda queries: queries.plots(self._id, max_iterations))
        return [_report(row, "plot") | {"plot_str": _content(row)} for row in rows]

    def get_reported_console_output(self, number_of_reports: int = 1) -> list[str]:
        """Return the last reports of console output: each a text of up to 100 lines, the latest last."""
        rows = self._ask(lambda queries: queries.console(self._id, number_of_reports * CONSOLE_LINES))
        lines = [row.text for row in rows]
        starts = range(0, len(lines), CONSOLE_LINES)
        return ["\n".join(lines[start : start + CONSOLE_LINES]) for start in starts]

    def get_debug_samples(self, title: str, series: str, n_last_iterations: int | None = None) -> list[dict[str, Any]]:
        """Return images and other media of one series as dicts with `url`, `iter`, `metric`, `variant`, `timestamp`.

        Args:
            title: The metric.
            series: The variant.
            n_last_iterations: The last so many; None for all.

        """
        rows = self._ask(lambda queries: queries.media(self._id, n_last_iterations))
        return [
            _report(row, f"training_debug_{row.kind}") | {"url": row.uri}
            for row in rows
            if (row.title, row.series) == (title, series)
        ]

    def get_last_iteration(self) -> int:
        """Return the largest iteration reported so far."""
        rows = self._ask(lambda queries: _rows(queries, self._id))
        return max(self._session.outbox.last_step(self._id), *(row.last_iteration for row in rows), 0)

    def get_initial_iteration(self) -> int:
        """Return what is added to each iteration that is reported."""
        return self._initial_iteration

    def set_initial_iteration(self, offset: int = 0) -> int:
        """Add this to each iteration that is reported from now on, as when training goes on from a checkpoint.

        Raises:
            InvalidArgumentError: It is no whole number.

        """
        if type(offset) is not int:
            raise InvalidArgumentError(f"the initial iteration is a whole number, not {offset!r}.")
        self._initial_iteration = offset
        self._session.outbox.scalars(self._id, self.run).offset = offset
        return offset

    def get_output_log_web_page(self) -> str:
        """Return the address of the task's page in a dashboard that runs on this machine."""
        return f"http://127.0.0.1:8501/task?task={self._id}"

    def get_executed_queue(self, return_name: bool = False) -> str | None:
        """Return the queue that the task waits in, or came from last; its id is its name."""
        del return_name
        entries = self._ask(lambda queries: queries.task_entries(self._id))
        return entries[-1].queue if entries else None

    @property
    def data(self) -> TaskData:
        """The task as the projection has it now: status, times, last iteration, script and the like."""
        return TaskData(self._fresh_row(), lambda: self._spec)

    @property
    def last_worker(self) -> str:
        """Id of the worker that ran the task last."""
        return self._fresh_row().worker


def _curves(points: pa.Table, x_axis: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    columns = [points.column(name).to_pylist() for name in ("title", "series", "value")]
    for title, series, y, x in zip(*columns, _x(points, x_axis), strict=True):
        curve = found.setdefault(title, {}).setdefault(series, {"name": series, "x": [], "y": []})
        curve["x"].append(x)
        curve["y"].append(y)
    return found


def _x(points: pa.Table, x_axis: str) -> Iterable[Any]:
    if x_axis == "iter":
        return list(points.column("step").to_pylist())
    times = points.column("time").to_pylist()
    return [t.isoformat() if x_axis == "iso_time" else round(t.timestamp() * 1000) for t in times]


def _report(row: ReportRow, kind: str) -> dict[str, Any]:
    at = round(row.at.timestamp() * 1000)
    where = {"metric": row.title, "variant": row.series, "iter": row.iteration}
    return {"task": row.task, "type": kind, "timestamp": at, **where}


def _content(row: ReportRow) -> str:
    """A report's content, fetched from the blob store where it lies there."""
    if row.content or not row.uri:
        return row.content
    from ..events.blobs import fetch_blob  # noqa: PLC0415  for those who ask

    ref = BlobRef(uri=row.uri, size=row.size, sha256=row.sha256)
    with tempfile.TemporaryDirectory(prefix="tasktape-") as folder:
        return fetch_blob(ref, Path(folder, "content")).read_text(encoding="utf-8")


def _rows(queries: Queries, task: str) -> list[TaskRow]:
    row = queries.task(task)
    return [row] if row else []
