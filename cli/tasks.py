"""`tasktape tasks list`: the tasks there are, with columns and order of one's own choice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ..dashboard.columns import ChosenColumn, Task, column_name, parameter_value, shown_cell
from ..dashboard.formatting import ago, local_time, number, one_line
from ..projections.rows import MetricColumn, ParameterColumn, TaskFilter
from .lookup import find_columns, find_statuses
from .options import Json
from .output import Column, note, print_json, print_table, short_id_length, status_text
from .reading import reading

if TYPE_CHECKING:
    from rich.text import Text

    from ..projections.query import Queries

Project = Annotated[
    list[str] | None, typer.Option("--project", metavar="NAME", help="Only this project and those below it.")
]
Status = Annotated[
    list[str] | None, typer.Option("--status", metavar="STATUS", help="Only this status: queued, running, failed …")
]
Tag = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="Only with this tag; repeated: with all of them.")
]
User = Annotated[list[str] | None, typer.Option("--user", metavar="NAME", help="Only of this user.")]
Search = Annotated[str, typer.Option("--search", metavar="TEXT", help="Text in id, name, project, comment or tags.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=0, metavar="COUNT", help="At most so many; 0 for all.")]
Sort = Annotated[
    str,
    typer.Option("--sort", metavar="COLUMN", help="A field, parameter or metric; - before it: largest first."),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--columns", "-c", metavar="COLUMNS", help="More columns: General/lr,validation/accuracy:max"),
]
Archived = Annotated[bool, typer.Option("--archived", help="Archived tasks too.")]


def list_tasks(
    project: Project = None,
    status: Status = None,
    tag: Tag = None,
    user: User = None,
    search: Search = "",
    limit: Limit = 20,
    sort: Sort = "-updated_at",
    columns: Columns = None,
    *,
    archived: Archived = False,
    as_json: Json = False,
) -> None:
    """List tasks, those that changed last first.

    Examples:
    $ tasktape tasks list --status running
    $ tasktape tasks list --project vision -c General/lr,validation/accuracy:max --sort -validation/accuracy:max
    """
    wanted = TaskFilter(
        projects=tuple(project or ()),
        subprojects=True,
        text=search,
        all_tags=tuple(tag or ()),
        statuses=find_statuses(status or ()),
        users=tuple(user or ()),
        include_archived=archived,
        limit=limit or None,
    )
    with reading() as queries:
        chosen = find_columns(queries, _split(columns or ()))
        rows = queries.task_rows(_sorted(queries, wanted, sort), [c for c in chosen if not isinstance(c, str)])
        total = queries.count_tasks(wanted)
    tasks = _with_columns(rows, chosen)
    if as_json:
        print_json([_as_json(task, chosen) for task in tasks])
    else:
        _print_tasks(tasks, chosen, total)


def _split(columns: Iterable[str]) -> list[str]:
    return [name for argument in columns for name in argument.split(",")]


def _sorted(queries: Queries, wanted: TaskFilter, sort: str) -> TaskFilter:
    descending, name = sort.startswith("-"), sort.removeprefix("-")
    column = next(iter(find_columns(queries, [name])), "updated_at")
    if isinstance(column, str):
        return replace(wanted, order_by=(f"-{column}" if descending else column,))
    return replace(wanted, order_column=column, descending=descending)


def _with_columns(rows: Sequence[Task], chosen: Sequence[ChosenColumn]) -> list[Task]:
    """Rows with the chosen columns under their names instead of `c0`, `c1` and so on."""
    extra = [column for column in chosen if not isinstance(column, str)]
    for row in rows:
        for place, column in enumerate(extra):
            row[column_name(column)] = row.pop(f"c{place}")
    return list(rows)


def _as_json(task: Task, chosen: Sequence[ChosenColumn]) -> Task:
    for column in chosen:
        if isinstance(column, ParameterColumn) and task[column.name] is not None:
            task[column.name] = parameter_value(task[column.name])
    return task


def _print_tasks(tasks: Sequence[Task], chosen: Sequence[ChosenColumn], total: int) -> None:
    now = datetime.now(UTC)
    headers = [
        Column("ID"),
        Column("STATUS"),
        Column("NAME", grow=True),
        Column("PROJECT", grow=True),
        Column("USER"),
        Column("ITERATION", right=True),
        *(Column(column_name(column), right=isinstance(column, MetricColumn)) for column in chosen),
        Column("UPDATED", right=True),
    ]
    length = short_id_length([task["id"] for task in tasks])
    print_table(headers, [_task_cells(task, chosen, now, length) for task in tasks], _no_tasks(total))
    if len(tasks) < total:
        note(f"{len(tasks)} of {total:,} tasks; --limit 0 shows all.")


def _no_tasks(total: int) -> str:
    return "No tasks: `Task.init(project_name=…, task_name=…)` in a script makes one." if not total else "No tasks."


def _task_cells(task: Task, chosen: Sequence[ChosenColumn], now: datetime, id_length: int) -> list[str | Text]:
    return [
        task["id"][:id_length],
        status_text(task["status"]),
        one_line(task["name"], 60),
        one_line(task["project"], 40),
        one_line(task["user"], 20),
        number(task["last_iteration"]) if task["started_at"] else "",
        *(_chosen_cell(column, task[column_name(column)]) for column in chosen),
        ago(task["updated_at"], now),
    ]


def _chosen_cell(column: ChosenColumn, value: object) -> str:
    if not isinstance(column, str):
        return one_line(shown_cell(column, value), 40)
    if isinstance(value, datetime):
        return local_time(value)
    return one_line(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value), 40)
