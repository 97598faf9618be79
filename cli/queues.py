"""`tasktape queues list|create|show`."""

from __future__ import annotations

from datetime import UTC, datetime

from ..dashboard.formatting import ago, one_line
from ..projections.rows import TaskFilter
from .appending import append
from .errors import RefusedError
from .lookup import find_queue
from .options import Json, QueueName
from .output import Column, note, print_json, print_table
from .reading import reading


def list_queues(*, as_json: Json = False) -> None:
    """List queues: how much waits, since when, and which workers serve them.

    Examples:
    $ tasktape queues list
    """
    with reading() as queries:
        queues = queries.queues()
    if as_json:
        print_json(queues)
        return
    now = datetime.now(UTC)
    columns = [
        Column("QUEUE", grow=True),
        Column("WAITING", right=True),
        Column("CLAIMED", right=True),
        Column("OLDEST", right=True),
        Column("WORKERS", right=True),
        Column("STATE"),
    ]
    rows = [
        (
            queue.name,
            str(queue.waiting),
            str(queue.claimed),
            ago(queue.oldest_waiting_at, now) if queue.waiting else "",
            str(len(queue.workers)),
            "paused" if queue.paused else "",
        )
        for queue in queues
    ]
    print_table(columns, rows, "No queues yet: `tasktape queues create NAME`, or `tasktape agent --queue NAME`.")


def show_queue(queue: QueueName, *, as_json: Json = False) -> None:
    """Show a queue's entries in the order agents will take them.

    Examples:
    $ tasktape queues show default
    """
    with reading() as queries:
        entries = queries.entries(find_queue(queries, queue))
        ids = tuple({entry.task for entry in entries})
        names = {task.id: task.name for task in queries.tasks(TaskFilter(ids=ids))} if ids else {}
    if as_json:
        print_json(entries)
        return
    now = datetime.now(UTC)
    columns = [
        Column("#", right=True),
        Column("TASK"),
        Column("NAME", grow=True),
        Column("RUN", right=True),
        Column("STATE"),
        Column("WORKER", grow=True),
        Column("ENQUEUED", right=True),
    ]
    rows = [
        (
            str(place),
            entry.task,
            one_line(names.get(entry.task, ""), 60),
            str(entry.run),
            entry.state,
            entry.worker,
            ago(entry.enqueued_at, now),
        )
        for place, entry in enumerate(entries, 1)
    ]
    print_table(columns, rows, f"Nothing waits in {one_line(queue)}.")


def create_queue(queue: QueueName, *, as_json: Json = False) -> None:
    """Create a queue.

    Examples:
    $ tasktape queues create gpu
    """
    with reading() as queries:
        if any(known.name == queue and known.created_at for known in queries.queues()):
            raise RefusedError(f"there is a queue {one_line(queue)!r} already.")
    _create(queue)
    if as_json:
        print_json({"queue": queue})
    else:
        note(f"Created the queue {one_line(queue)!r}.")


def _create(queue: str) -> None:
    from ..events.base import Stamper  # noqa: PLC0415  see `reading`
    from ..events.queue_events import QueueCreated  # noqa: PLC0415  the same
    from ..events.topics import queue_spec  # noqa: PLC0415  the same

    append(QueueCreated(meta=Stamper()(), queue=queue), f"Creating {queue}", [queue_spec(queue)])
