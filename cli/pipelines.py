"""`tasktape pipelines list|show|run`: how far pipelines have come, step by step, and how one is run once more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..dashboard.formatting import ago, duration, one_line
from ..events.errors import SettingsError
from ..projections.work_rows import PipelineRow, StepRow
from . import watching
from .errors import NotFoundError, near_matches
from .lookup import find_pipeline, find_queue
from .options import Json, Watch
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
    status_text,
    step_text,
)
from .reading import reading

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from .. import Task
    from ..events.parts import Parameter
    from ..projections.rows import TaskRow

Pipeline = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="Its controller's id, or a beginning of it, or the name: the newest.")
]
Queue = Annotated[str, typer.Option("--queue", "-q", metavar="QUEUE", help="The queue for the controller.")]
Param = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="NAME=VALUE", help="A parameter of the pipeline set anew; repeatable."),
]
Archived = Annotated[bool, typer.Option("--archived", help="Archived pipelines too.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=0, metavar="COUNT", help="At most so many; 0 for all.")]
SECTION: Final = "Args"
"""The section of a controller's parameters that are the pipeline's."""
_OPEN: Final = ("created", "queued", "in_progress")
_STEPS: Final = (
    Column("STEP", grow=True),
    Column("STATUS"),
    Column("TIME", right=True),
    Column("QUEUE", grow=True),
    Column("TASK"),
    Column("MESSAGE", grow=True),
)


def list_pipelines(limit: Limit = 20, *, archived: Archived = False, as_json: Json = False) -> None:
    """List pipelines, the newest first: how many of their steps are done, and how many have failed.

    Examples:
    $ tasktape pipelines list
    $ tasktape pipelines list --limit 0 --json
    """
    with reading() as queries:
        pipelines = queries.pipelines(archived=archived, limit=limit or None)
    if as_json:
        print_json(pipelines)
        return
    now = datetime.now(UTC)
    columns = [
        Column("NAME", grow=True),
        Column("VERSION"),
        Column("ID"),
        Column("STATUS"),
        Column("STEPS", right=True),
        Column("FAILED", right=True),
        Column("STARTED", right=True),
        Column("DURATION", right=True),
    ]
    length = short_id_length([pipeline.task for pipeline in pipelines])
    rows = [_cells(pipeline, now, length) for pipeline in pipelines]
    print_table(columns, rows, "No pipelines: a task that defines steps is one.")


def show_pipeline(pipeline: Pipeline, *, watch: Watch = False, as_json: Json = False) -> None:
    """Show a pipeline's steps: what became of each, how long it took, and which task runs it.

    Examples:
    $ tasktape pipelines show nightly
    $ tasktape pipelines show 0199a3c2 --watch
    """
    seen = _look(pipeline)
    if watch:
        watching.watch(seen, lambda: _look(seen.task.id, quiet=True), as_json=as_json)
        return
    if as_json:
        print_json(seen.as_json())
        return
    now = datetime.now(UTC)
    print_table(_STEPS, seen.cells(now), "It has not defined its steps yet.")
    note(seen.summary(now))


def run_pipeline(
    pipeline: Pipeline, queue: Queue = "services", parameters: Param = None, *, as_json: Json = False
) -> None:
    """Run a pipeline once more: its controller is cloned, with other parameters where you give them, and enqueued.

    Examples:
    $ tasktape pipelines run nightly
    $ tasktape pipelines run 0199a3c2 --queue services --param epochs=20 --param lr=0.01
    """
    with reading() as queries:
        find_queue(queries, queue)
        source = find_pipeline(queries, pipeline)
        changes = _changes(parameters or (), queries.parameters(source.id))
    copy = _started(source, queue, changes)
    if as_json:
        print_json({"id": copy.id, "name": copy.name, "cloned_from": source.id, "queue": queue})
        return
    console().print(copy.id)
    note(f"Cloned {one_line(source.name, 60)!r} ({source.id}), enqueued in {queue}.")


@dataclass(frozen=True)
class Seen:
    """A pipeline as it was read. `row` is None while it has not defined its steps."""

    task: TaskRow
    row: PipelineRow | None
    steps: list[StepRow]

    @property
    def over(self) -> bool:
        """Whether its controller has ended."""
        return self.task.status not in _OPEN

    def summary(self, now: datetime) -> str:
        """Name, state, steps and time in a line."""
        if self.row is None:
            return f"{one_line(self.task.name, 60)} · {self.task.status}"
        counts = {"done": self.row.done, "under way": self.row.under_way, "failed": self.row.failed}
        counts |= {"skipped": self.row.skipped}
        parts = [" ".join(filter(None, (one_line(self.row.name, 60), self.row.version))), self.row.status]
        parts += [f"{count:,} {what}" for what, count in counts.items() if count or what == "done"]
        parts += [f"of {self.row.steps:,} steps", _span(self.row, now)]
        stopping = [] if self.row.stopping_reason is None else [f"stopping: {one_line(self.row.stopping_reason, 80)}"]
        return " · ".join([*filter(None, parts), *stopping])

    def cells(self, now: datetime, id_length: int | None = None) -> list[list[str | Text]]:
        """The steps as rows of a table, with so much of their tasks' ids."""
        return [
            [
                one_line(step.name, 60),
                step_text(step.status),
                _span(step, now),
                one_line(step.queue, 40),
                step.child[:id_length],
                one_line(step.message, 120),
            ]
            for step in self.steps
        ]

    def as_json(self) -> dict[str, Any]:
        """All of it, without anything that changes while nothing happens."""
        row = plain(self.row) if self.row else {"task": self.task.id, "name": self.task.name}
        return {**row, "steps": [_step_as_json(step) for step in self.steps]}

    def drawn(self) -> RenderableType:
        """The steps below a line that sums them up."""
        from rich.console import Group  # noqa: PLC0415  see `console`

        now = datetime.now(UTC)
        length = short_id_length([step.child for step in self.steps])
        cells = [[cell_text(cell) for cell in row] for row in self.cells(now, length)]
        table = [as_table(_STEPS, cells, console().width)[0]] if cells else []
        return Group(cell_text(self.summary(now)), *table)


def _look(pipeline: str, *, quiet: bool = False) -> Seen:
    with reading(quiet=quiet) as queries:
        task = find_pipeline(queries, pipeline)
        row = next(iter(queries.pipelines(task=task.id, archived=True)), None)
        return Seen(task, row, queries.steps(task.id))


def _cells(pipeline: PipelineRow, now: datetime, id_length: int) -> list[str | Text]:
    return [
        one_line(pipeline.name, 60),
        one_line(pipeline.version, 20),
        pipeline.task[:id_length],
        status_text(pipeline.status),
        f"{pipeline.done:,}/{pipeline.steps:,}",
        f"{pipeline.failed:,}" if pipeline.failed else "",
        ago(pipeline.started_at, now) if pipeline.started_at else "",
        _span(pipeline, now),
    ]


def _span(row: PipelineRow | StepRow, now: datetime) -> str:
    return duration(((row.ended_at or now) - row.started_at).total_seconds()) if row.started_at else ""


def _step_as_json(step: StepRow) -> dict[str, Any]:
    return {**plain(step), "definition": json.loads(step.definition), "answers": json.loads(step.answers)}


def _changes(assignments: Sequence[str], known: Sequence[Parameter]) -> list[tuple[str, Any]]:
    """Parameters by full name, with values of the types they have. Raises for unknown names and what is no value."""
    held = {parameter.name: parameter for parameter in known}
    return [_change(text, held) for text in assignments]


def _change(text: str, held: dict[str, Parameter]) -> tuple[str, Any]:
    from ..producers.parameters import from_text  # noqa: PLC0415  the SDK is for those who need it

    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"{text!r} sets nothing: write it as name=value.")
    full = name if name in held else f"{SECTION}/{name.strip()}"
    if full not in held:
        own = [one.removeprefix(f"{SECTION}/") for one in held]
        raise NotFoundError("parameter", name, near_matches(name, own), "`tasktape tasks show` lists them.")
    try:
        return full, from_text(value, held[full].type)
    except ValueError as error:
        raise SettingsError(f"{name} is of the type {held[full].type}, which {value!r} is not.") from error


def _started(source: TaskRow, queue: str, changes: Sequence[tuple[str, Any]]) -> Task:
    from .. import Task  # noqa: PLC0415  the SDK is for those who need it
    from .task_changes import flush  # noqa: PLC0415  the same

    copy = Task.clone(source.id, name=source.name)
    for name, value in changes:
        copy.set_parameter(name, value)
    Task.enqueue(copy, queue_name=queue)
    flush()
    return copy
