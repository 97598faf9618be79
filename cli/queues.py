"""`tasktape queues list|show`: how much waits and for how long, once or again and again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..dashboard.formatting import ago, duration, one_line
from ..projections.rows import TaskFilter
from ..projections.work_rows import EntryRow, QueueRow, WaitRow
from . import watching
from .lookup import find_queue
from .options import Json, QueueName, Watch
from .output import (
    Column,
    as_table,
    cell_text,
    console,
    note,
    plain,
    print_json,
    print_table,
    short_id_length,
)
from .reading import reading

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..projections.query import Queries

Last = Annotated[
    int, typer.Option("--last", min=1, metavar="COUNT", help="Percentiles of the waits of the last so many taken.")
]
_COLUMNS: Final = (
    Column("#", right=True),
    Column("TASK"),
    Column("NAME", grow=True),
    Column("RUN", right=True),
    Column("PRIORITY", right=True),
    Column("STATE"),
    Column("WORKER", grow=True),
    Column("ENQUEUED", right=True),
)
_NEEDS: Final = Column("NEEDS", grow=True)


def list_queues(last: Last = 1000, *, as_json: Json = False) -> None:
    """List queues: how much waits, since when, how long entries waited (P50, P90, P99), and which workers serve them.

    Examples:
    $ tasktape queues list
    $ tasktape queues list --last 100
    """
    with reading() as queries:
        queues = queries.queues()
        waits = {row.queue: row for row in queries.waits(last)}
    if as_json:
        print_json([{**plain(queue), "waits": _waits(waits.get(queue.name))} for queue in queues])
        return
    now = datetime.now(UTC)
    columns = [
        Column("QUEUE", grow=True),
        Column("WAITING", right=True),
        Column("CLAIMED", right=True),
        Column("OLDEST", right=True),
        *(Column(name, right=True) for name in ("P50", "P90", "P99")),
        Column("WORKERS", right=True),
        Column("STATE", grow=True),
    ]
    rows = [
        (
            queue.name,
            str(queue.waiting),
            str(queue.claimed),
            ago(queue.oldest_waiting_at, now) if queue.waiting else "",
            *_percentiles(waits.get(queue.name)),
            str(len(queue.workers)),
            _state(queue),
        )
        for queue in queues
    ]
    print_table(columns, rows, "No queues yet: `tasktape queues create NAME`, or `tasktape agent --queue NAME`.")


def show_queue(queue: QueueName, last: Last = 1000, *, watch: Watch = False, as_json: Json = False) -> None:
    """Show a queue's entries in the order agents will take them, and how long entries waited.

    Examples:
    $ tasktape queues show default
    $ tasktape queues show default --watch
    """
    seen = _look(queue, last)
    if watch:
        watching.watch(seen, lambda: _look(queue, last, quiet=True), as_json=as_json)
        return
    if as_json:
        print_json(seen.entries)
        return
    print_table(seen.columns, seen.cells(datetime.now(UTC)), f"Nothing waits in {one_line(queue)}.")
    note(seen.summary(datetime.now(UTC)))


@dataclass(frozen=True)
class Seen:
    """A queue as it was read. `row` is None for one that nobody has used yet, `waits` while nothing was taken."""

    name: str
    row: QueueRow | None
    waits: WaitRow | None
    entries: list[EntryRow]
    names: dict[str, str]

    @property
    def over(self) -> bool:
        """Whether nothing more can come."""
        return False

    @classmethod
    def of(cls, queries: Queries, queue: str, last: int) -> Seen:
        """Read the queue."""
        entries = queries.entries(queue)
        ids = tuple({entry.task for entry in entries})
        names = {task.id: task.name for task in queries.tasks(TaskFilter(ids=ids))} if ids else {}
        row = next((row for row in queries.queues() if row.name == queue), None)
        waits = next((row for row in queries.waits(last) if row.queue == queue), None)
        return cls(queue, row, waits, entries, names)

    def summary(self, now: datetime) -> str:
        """Length, oldest wait and percentiles in a line."""
        waiting = sum(entry.state == "waiting" for entry in self.entries)
        parts = [one_line(self.name, 60), f"{waiting:,} waiting", f"{len(self.entries) - waiting:,} claimed"]
        if self.row and self.row.waiting:
            parts.append(f"oldest {ago(self.row.oldest_waiting_at, now)}")
        if self.waits:
            named = zip(("p50", "p90", "p99"), _percentiles(self.waits), strict=True)
            parts.append(f"waits of the last {self.waits.taken:,}: {', '.join(map(' '.join, named))}")
        return " · ".join(filter(None, [*parts, _state(self.row)]))

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of its entries."""
        return (*_COLUMNS[:-1], _NEEDS, _COLUMNS[-1]) if self._needs_are_shown else _COLUMNS

    @property
    def _needs_are_shown(self) -> bool:
        return any(entry.needs for entry in self.entries)

    def cells(self, now: datetime, id_length: int | None = None) -> list[list[str]]:
        """The entries as rows of a table, with so much of the tasks' ids."""
        return [
            [
                str(place),
                entry.task[:id_length],
                one_line(self.names.get(entry.task, ""), 60),
                str(entry.run),
                str(entry.priority),
                entry.state,
                entry.worker,
                *([str(entry.needs)] if self._needs_are_shown else []),
                ago(entry.enqueued_at, now),
            ]
            for place, entry in enumerate(self.entries, 1)
        ]

    def as_json(self) -> dict[str, Any]:
        """All of it, without anything that changes while nothing happens."""
        row = plain(self.row) if self.row else {"name": self.name}
        return {**row, "waits": _waits(self.waits), "entries": plain(self.entries)}

    def drawn(self) -> RenderableType:
        """The entries below a line that sums them up."""
        from rich.console import Group  # noqa: PLC0415  see `console`

        now = datetime.now(UTC)
        length = short_id_length([entry.task for entry in self.entries])
        cells = [[cell_text(cell) for cell in row] for row in self.cells(now, length)]
        table = [as_table(self.columns, cells, console().width)[0]] if cells else []
        return Group(cell_text(self.summary(now)), *table)


def _look(queue: str, last: int, *, quiet: bool = False) -> Seen:
    with reading(quiet=quiet) as queries:
        return Seen.of(queries, find_queue(queries, queue), last)


def _percentiles(waits: WaitRow | None) -> tuple[str, str, str]:
    return (_span(waits.p50), _span(waits.p90), _span(waits.p99)) if waits else ("", "", "")


def _span(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else duration(seconds)


def _waits(waits: WaitRow | None) -> dict[str, Any] | None:
    return {"taken": waits.taken, "p50": waits.p50, "p90": waits.p90, "p99": waits.p99} if waits else None


def _state(queue: QueueRow | None) -> str:
    if queue is None:
        return ""
    if queue.deleted:
        return "deleted"
    return ": ".join(filter(None, ["paused", one_line(queue.pause_reason, 60)])) if queue.paused else ""
