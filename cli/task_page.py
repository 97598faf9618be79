"""`tasktape tasks show`: all about one task."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..dashboard.columns import parameter_value, shown_parameter
from ..dashboard.formatting import duration, local_time, number, size
from ..events.hardware import NOTHING
from ..projections.rows import LastScalar, ModelFilter, RunRow, TaskRow
from .lookup import find_task
from .options import Json, TaskId
from .output import Column, console, print_fields, print_json, print_lines, print_table, status_text
from .reading import reading

if TYPE_CHECKING:
    from rich.text import Text

    from ..events.hardware import Hardware
    from ..events.parts import Script
    from ..projections.query import Queries

About = dict[str, Any]
"""All that is shown of a task, by the keys of its JSON."""


def show_task(task: TaskId, *, as_json: Json = False) -> None:
    """Show all about a task: status, code, parameters, metrics, artifacts, models.

    Examples:
    $ tasktape tasks show 0199a3c2
    $ tasktape tasks show digits --json
    """
    with reading() as queries:
        found = find_task(queries, task)
        about = _about(queries, found)
    if as_json:
        print_json(_as_json(about))
    else:
        _print(found, about)


def _about(queries: Queries, task: TaskRow) -> About:
    spec = queries.spec(task.id)
    return {
        **asdict(task),
        "script": spec.script if spec else None,
        "hardware": spec.hardware if spec else NOTHING,
        "parameters": queries.parameters(task.id),
        "configurations": queries.configurations(task.id),
        "scalars": queries.last_scalars(task.id),
        "single_values": queries.single_values(task.id),
        "artifacts": queries.artifacts(task.id),
        "models": queries.models(ModelFilter(task=task.id)),
        "runs": queries.runs(task.id),
    }


def _as_json(about: About) -> About:
    """Parameters and configurations by name, with their values and texts."""
    return {
        **about,
        "parameters": {parameter.name: parameter_value(parameter.value) for parameter in about["parameters"]},
        "configurations": {configuration.name: configuration.text for configuration in about["configurations"]},
    }


def _print(task: TaskRow, about: About) -> None:
    print_fields(f"{task.project} / {task.name}", _header(task, about["hardware"]))
    if about["script"] is not None:
        print_fields("Code", _code(about["script"]))
    print_fields("Parameters", [(p.name, shown_parameter(p.value)) for p in about["parameters"]])
    print_fields("Configurations", [(c.name, f"{len(c.text):,} characters") for c in about["configurations"]])
    print_fields("Single values", [(name, number(value)) for name, value in about["single_values"].items()])
    _print_scalars(about["scalars"])
    print_fields("Artifacts", [(a.name, f"{a.type}, {size(a.size)}, {a.uri}") for a in about["artifacts"]])
    print_fields("Models", [(m.name, f"{m.direction}, {size(m.size)}, {m.uri}") for m in about["models"]])
    _print_traceback(about["runs"])


def _header(task: TaskRow, needs: Hardware) -> list[tuple[str, str | Text]]:
    ended = task.ended_at or datetime.now(UTC)
    runtime = (ended - task.started_at).total_seconds() if task.started_at else None
    fields: list[tuple[str, str | Text]] = [
        ("id", task.id),
        ("status", status_text(task.status)),
        ("why", " · ".join(part for part in (task.status_reason, task.status_message) if part)),
        ("type", task.task_type),
        ("run", str(task.run) if task.run else ""),
        ("user", task.user),
        ("tags", ", ".join(task.tags)),
        ("needs", str(needs)),
        ("queue", task.queue),
        ("worker", task.worker),
        ("created", local_time(task.created_at)),
        ("started", local_time(task.started_at) if task.started_at else ""),
        ("runtime", duration(runtime) if task.started_at else ""),
        ("iteration", number(task.last_iteration) if task.started_at else ""),
        ("comment", task.comment),
    ]
    return [(name, value) for name, value in fields if value]


def _code(script: Script) -> list[tuple[str, str | Text]]:
    fields: list[tuple[str, str | Text]] = [
        ("repository", script.repository),
        ("commit", " on ".join(part for part in (script.commit, script.branch) if part)),
        ("entry point", " ".join((script.entry_point, *script.arguments)).strip()),
        ("uncommitted", f"{len(script.diff.splitlines()):,} lines of diff" if script.diff else ""),
        ("packages", f"{len(script.requirements)} required" if script.requirements else ""),
    ]
    return [(name, value) for name, value in fields if value]


def _print_scalars(scalars: list[LastScalar]) -> None:
    if not scalars:
        return
    columns = [Column("SCALAR", grow=True), *(Column(name, right=True) for name in ("LAST", "MIN", "MAX", "ITERATION"))]
    own_first = sorted(scalars, key=lambda s: (s.title.startswith(":"), s.title, s.series))
    rows = [
        (f"{s.title} / {s.series}", number(s.last), number(s.min), number(s.max), number(s.last_step))
        for s in own_first
    ]
    console().print()
    print_table(columns, rows, "")


def _print_traceback(runs: list[RunRow]) -> None:
    if runs and runs[-1].traceback:
        print_lines(f"Traceback of run {runs[-1].run}", runs[-1].traceback)
