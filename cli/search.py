"""`tasktape search list|show`: searches over parameters, their trials, and a page with their figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..dashboard.formatting import ago, duration, one_line
from ..projections.search_rows import SearchRow, TrialRow
from .lookup import find_search
from .options import Json
from .output import Column, note, plain, print_json, print_table, short_id_length, status_text, step_text
from .reading import reading

if TYPE_CHECKING:
    from rich.text import Text

    from ..producers.search.figures import Shown

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
        print_json([_as_json(search) for search in searches])
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


def show_search(search: Search, limit: Limit = 20, html: Html = None, *, as_json: Json = False) -> None:
    """Show a search's trials, the best first, with the objectives and the parameters of each.

    Examples:
    $ tasktape search show 0199a3c2
    $ tasktape search show 0199a3c2 --limit 0 --html search.html
    """
    with reading() as queries:
        row = find_search(queries, search)
        trials = queries.trials(row.task)
    if html is not None:
        _write(html, row, trials)
    if as_json:
        print_json({**_as_json(row), "trials": [_trial_as_json(trial) for trial in trials]})
        return
    _print_trials(row, trials, limit)
    note(_summary(row, datetime.now(UTC)))
    if html is not None:
        note(f"Written to {html}.")


def _print_trials(row: SearchRow, trials: Sequence[TrialRow], limit: int) -> None:
    from ..producers.search import figures, told  # noqa: PLC0415  the SDK is for those who need it

    objectives, by_number = told.objectives_of(row), {trial.number: trial for trial in trials}
    shown = told.shown_of(trials)
    names = figures.parameter_names(shown)
    columns = [
        Column("TRIAL", right=True),
        Column("STATUS"),
        *(Column(one_line(figures.objective_name(one), 40), right=True) for one in objectives),
        Column("ITERATION", right=True),
        Column("TIME", right=True),
        Column("TASK"),
        *(Column(one_line(figures.short_name(name), 40), grow=True) for name in names),
        Column("MESSAGE", grow=True),
    ]
    length = short_id_length([trial.child for trial in trials])
    best = figures.ranked(shown, objectives)[: limit or None]
    rows = [_trial_cells(one, by_number[one.number], len(objectives), names, length) for one in best]
    print_table(columns, rows, "It has not started any trials yet.")


def _trial_cells(shown: Shown, trial: TrialRow, objectives: int, names: Sequence[str], length: int) -> list[str | Text]:
    from ..producers.parameters import text_of  # noqa: PLC0415  the SDK is for those who need it

    values = [_number(value) for value in trial.values] or [""] * objectives
    held = (shown.parameters.get(name) for name in names)
    parameters = [f"{value:.6g}" if isinstance(value, float) else text_of(value) for value in held]
    return [
        f"{trial.number:,}",
        step_text(trial.status),
        *values,
        f"{trial.iteration:,}" if trial.values else "",
        duration(trial.seconds) if trial.ended_at else "",
        trial.child[:length],
        *(one_line(text, 60) for text in parameters),
        one_line(trial.message, 120),
    ]


def _cells(search: SearchRow, now: datetime, length: int) -> list[str | Text]:
    from ..producers.search.told import objectives_of  # noqa: PLC0415  the SDK is for those who need it

    objectives = objectives_of(search)
    return [
        one_line(search.name, 60),
        search.task[:length],
        status_text(search.status),
        one_line(search.strategy, 40),
        f"{search.trials:,}",
        f"{search.completed:,}",
        f"{search.failed:,}" if search.failed else "",
        one_line(", ".join(f"{one.sign} {one.title}/{one.series}" for one in objectives), 80),
        ", ".join(map(_number, search.best_values)),
        ago(search.started_at, now) if search.started_at else "",
    ]


def _summary(row: SearchRow, now: datetime) -> str:
    """Name, state, trials, the best of them and the time in a line."""
    counts = {"completed": row.completed, "pruned": row.pruned, "failed": row.failed, "under way": row.under_way}
    parts = [one_line(row.name, 60), row.status]
    parts += [f"{count:,} {what}" for what, count in counts.items() if count or what == "completed"]
    parts.append(f"of {row.trials:,} trials")
    if row.best is not None:
        parts.append(f"best {', '.join(map(_number, row.best_values))} by trial {row.best:,} ({row.best_child})")
    if row.started_at:
        parts.append(duration(((row.ended_at or now) - row.started_at).total_seconds()))
    stopping = [] if row.stopping_reason is None else [f"stopping: {one_line(row.stopping_reason, 80)}"]
    return " · ".join([*parts, *stopping])


def _write(path: Path, row: SearchRow, trials: Sequence[TrialRow]) -> None:
    from ..producers.search.figures import summary_table  # noqa: PLC0415  the SDK is for those who need it
    from ..producers.search.reporting import drawn  # noqa: PLC0415  the same
    from ..producers.search.told import objectives_of, shown_of  # noqa: PLC0415  the same
    from .page import page  # noqa: PLC0415  plotly, for those who need it

    shown, objectives = shown_of(trials), objectives_of(row)
    found = drawn(shown, objectives, row.space)
    drawings = [(f"{title} · {series}" if series else title, figure) for title, series, figure in found]
    lines = [_summary(row, datetime.now(UTC)), f"{row.strategy} on task {row.base_task}, controlled by task {row.task}"]
    text = page(row.name, lines, drawings, summary_table(shown, objectives))
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _as_json(row: SearchRow) -> dict[str, Any]:
    texts = {"objectives": row.objectives, "limits": row.limits, "space": row.space or "[]"}
    return {**plain(row), **{name: json.loads(text) for name, text in texts.items()}}


def _trial_as_json(trial: TrialRow) -> dict[str, Any]:
    return {**plain(trial), "parameters": json.loads(trial.parameters)}


def _number(value: float) -> str:
    return f"{value:.6g}"
