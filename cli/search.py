"""`tasktape search list|show`: searches over parameters, their trials, and a page with their figures."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..dashboard.formatting import ago, one_line
from ..projections.search_rows import SearchRow
from . import watching
from .lookup import find_search
from .options import Json, Watch
from .output import Column, note, print_json, print_table, short_id_length, status_text
from .reading import reading
from .search_seen import Seen, number, search_as_json

if TYPE_CHECKING:
    from rich.text import Text

Search = Annotated[
    str, typer.Argument(metavar="SEARCH", help="Its controller's id, or a beginning of it, or the name: the newest.")
]
Archived = Annotated[bool, typer.Option("--archived", help="Archived searches too.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=0, metavar="COUNT", help="At most so many; 0 for all.")]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page with all trials and figures there.")
]


def list_searches(limit: Limit = 20, *, archived: Archived = False, as_json: Json = False) -> None:
    """List searches, the newest first: how many of their trials completed, and the best value.

    Examples:
    $ tasktape search list
    $ tasktape search list --limit 0 --json
    """
    with reading() as queries:
        searches = queries.searches(archived=archived, limit=limit or None)
    if as_json:
        print_json([search_as_json(search) for search in searches])
        return
    now = datetime.now(UTC)
    columns = [
        Column("NAME", grow=True),
        Column("ID"),
        Column("STATUS"),
        Column("STRATEGY"),
        Column("TRIALS", right=True),
        Column("COMPLETED", right=True),
        Column("FAILED", right=True),
        Column("OBJECTIVE", grow=True),
        Column("BEST", right=True),
        Column("STARTED", right=True),
    ]
    length = short_id_length([search.task for search in searches])
    rows = [_cells(search, now, length) for search in searches]
    print_table(columns, rows, "No searches: a task that starts a HyperParameterOptimizer is one.")


def show_search(
    search: Search, limit: Limit = 20, html: Html = None, *, watch: Watch = False, as_json: Json = False
) -> None:
    """Show a search's trials, the best first, with the objectives and the parameters of each.

    Examples:
    $ tasktape search show 0199a3c2
    $ tasktape search show 0199a3c2 --watch
    $ tasktape search show 0199a3c2 --limit 0 --html search.html
    """
    seen = _look(search)
    if watch:
        watching.watch(seen, lambda: _look(seen.row.task, quiet=True), as_json=as_json)
        seen = _look(seen.row.task, quiet=True)
    if html is not None:
        _write(html, seen)
    if as_json and not watch:
        print_json(seen.as_json())
    elif not watch:
        seen.print_trials(limit)
        note(seen.summary(datetime.now(UTC)))
    if html is not None and not as_json:
        note(f"Written to {html}.")


def _look(search: str, *, quiet: bool = False) -> Seen:
    with reading(quiet=quiet) as queries:
        row = find_search(queries, search)
        return Seen(row, queries.trials(row.task))


def _cells(search: SearchRow, now: datetime, length: int) -> list[str | Text]:
    from ..producers.search.told import objectives_of  # noqa: PLC0415  the SDK is for those who need it

    goals = objectives_of(search)
    return [
        one_line(search.name, 60),
        search.task[:length],
        status_text(search.status),
        one_line(search.strategy, 40),
        f"{search.trials:,}",
        f"{search.completed:,}",
        f"{search.failed:,}" if search.failed else "",
        one_line(", ".join(f"{one.sign} {one.title}/{one.series}" for one in goals), 80),
        ", ".join(map(number, search.best_values)),
        ago(search.started_at, now) if search.started_at else "",
    ]


def _write(path: Path, seen: Seen) -> None:
    from ..producers.search.figures import summary_table  # noqa: PLC0415  the SDK is for those who need it
    from ..producers.search.reporting import drawn  # noqa: PLC0415  the same
    from ..producers.search.told import objectives_of, shown_of  # noqa: PLC0415  the same
    from .page import page  # noqa: PLC0415  plotly, for those who need it

    row, shown, goals = seen.row, shown_of(seen.trials), objectives_of(seen.row)
    found = drawn(shown, goals, row.space)
    drawings = [(f"{title} · {series}" if series else title, figure) for title, series, figure in found]
    about = f"{row.strategy} on task {row.base_task}, controlled by task {row.task}"
    lines = [seen.summary(datetime.now(UTC)), about]
    text = page(row.name, lines, drawings, summary_table(shown, goals))
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
