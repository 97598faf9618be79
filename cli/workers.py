"""`tasktape workers list`."""

from __future__ import annotations

from datetime import UTC, datetime

from ..dashboard.formatting import ago, one_line
from ..dashboard.worker_state import held_runs, worker_state
from .options import Json
from .output import Column, plain, print_json, print_table
from .reading import reading


def list_workers(*, as_json: Json = False) -> None:
    """List workers: what they serve, what they run, and when they were last heard of.

    Examples:
    $ tasktape workers list
    """
    now = datetime.now(UTC)
    with reading() as queries:
        workers = queries.workers()
    if as_json:
        print_json([{**plain(w), "runs": held_runs(w), "state": worker_state(w, now)} for w in workers])
        return
    columns = [
        Column("WORKER", grow=True),
        Column("STATE"),
        Column("QUEUES", grow=True),
        Column("RUNS", grow=True),
        Column("SEEN", right=True),
    ]
    rows = [
        (
            one_line(worker.id, 60),
            worker_state(worker, now),
            ", ".join(worker.queues),
            ", ".join(f"{run['task'][:12]}/{run['run']}" for run in held_runs(worker)),
            ago(worker.seen_at, now),
        )
        for worker in workers
    ]
    print_table(columns, rows, "No workers: `tasktape agent --queue default` starts one.")
