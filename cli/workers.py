"""`tasktape workers` and `tasktape workers list`, which are the same."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..dashboard.formatting import ago, one_line, size
from ..dashboard.worker_state import held_runs, worker_state
from ..projections.rows import TaskFilter
from .options import Json
from .output import Column, plain, print_json, print_table
from .reading import reading

if TYPE_CHECKING:
    from ..projections.query import Queries
    from ..projections.work_rows import WorkerRow

_COLUMNS = (
    Column("WORKER", grow=True),
    Column("STATE"),
    Column("QUEUES", grow=True),
    Column("SLOTS", right=True),
    Column("RUNS", grow=True),
    Column("CPU", right=True),
    Column("MEMORY", right=True),
    Column("DISK", right=True),
    Column("LEFT", grow=True),
    Column("SEEN", right=True),
)


def list_workers(*, as_json: Json = False) -> None:
    """List workers: what they serve, what they run, how busy their machines are, and when they were last heard of.

    Examples:
    $ tasktape workers
    $ tasktape workers list --json
    """
    now = datetime.now(UTC)
    with reading() as queries:
        workers = queries.workers()
        names = _names(queries, workers)
    if as_json:
        print_json([_as_json(worker, names, now) for worker in workers])
        return
    rows = [_row(worker, names, now) for worker in workers]
    print_table(_COLUMNS, rows, "No workers: `tasktape agent --queue default` starts one.")


def _names(queries: Queries, workers: list[WorkerRow]) -> dict[str, str]:
    """Names of the tasks that run."""
    ids = tuple({run["task"] for worker in workers for run in held_runs(worker)})
    return {task.id: task.name for task in queries.tasks(TaskFilter(ids=ids))} if ids else {}


def _as_json(worker: WorkerRow, names: Mapping[str, str], now: datetime) -> dict[str, object]:
    runs = [{**run, "name": names.get(run["task"], "")} for run in held_runs(worker)]
    return {**plain(worker), "runs": runs, "state": worker_state(worker, now)}


def _row(worker: WorkerRow, names: Mapping[str, str], now: datetime) -> tuple[str, ...]:
    load, runs = worker.load, held_runs(worker)
    labels = (f"{one_line(names.get(run['task'], ''), 40)} {run['task'][:12]}/{run['run']}".strip() for run in runs)
    return (
        one_line(worker.id, 60),
        worker_state(worker, now),
        ", ".join(worker.queues),
        f"{len(runs)}/{worker.slots}",
        ", ".join(labels),
        _percent(load.get("cpu_percent")),
        _percent(load.get("memory_percent")),
        size(load["disk_free_bytes"]) + " free" if "disk_free_bytes" in load else "",
        str(worker.spare),
        ago(worker.seen_at, now),
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} %"
