"""`tasktape audit`: everything that happened to a task or a machine, in order: what, when, who, where on the log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ..dashboard.formatting import local_time, one_line
from ..dashboard.history import changes, describe, in_order
from .errors import NotFoundError, near_matches
from .lookup import find_task
from .options import Json, TaskId
from .output import Column, note, plain, print_json, print_table
from .reading import reading

if TYPE_CHECKING:
    from rich.text import Text

    from ..projections.query import Queries
    from ..projections.rows import EventRow

Types = Annotated[list[str] | None, typer.Option("--type", metavar="EVENT", help="Only events of this type.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=0, help="At most so many; 0 for all.")]


def audit(task: TaskId, types: Types = None, limit: Limit = 0, *, as_json: Json = False) -> None:
    """Print a task's events in order: what, when, who, where on the log, and whether they counted.

    What is no task may be a machine of a scaler, by its instance or its provider's name for it.

    Examples:
    $ tasktape audit digits
    $ tasktape audit i-0abcd1234
    $ tasktape audit 0199a3c2 --type ParametersSet --type TaskEdited
    """
    with reading() as queries:
        events = in_order(queries.events(_key(queries, task), limit=limit or None, types=_known_types(types or [])))
    if as_json:
        print_json([_as_json(event) for event in events])
        return
    columns = [
        Column("WHEN"),
        Column("WHO", grow=True),
        Column("EVENT", grow=True),
        Column("WHAT", grow=True),
        Column("WHERE", grow=True),
        Column("VERDICT"),
    ]
    print_table(columns, [_cells(event) for event in events], "No events.")
    rejected = sum(event.verdict == "rejected" for event in events)
    note(f"{len(events):,} events, {rejected} rejected.")


def _key(queries: Queries, name: str) -> str:
    """What the events that are meant are about."""
    try:
        return find_task(queries, name).id
    except NotFoundError:
        machines = [one.instance for one in queries.instances(gone=True) if name in (one.instance, one.machine)]
        if not machines:
            raise
        return machines[0]


def _known_types(names: list[str]) -> list[str]:
    from ..events.catalogue import EVENT_TYPES  # noqa: PLC0415  see `reading`

    for name in names:
        if name not in EVENT_TYPES:
            raise NotFoundError("event type", name, near_matches(name, EVENT_TYPES))
    return names


def _as_json(event: EventRow) -> dict[str, object]:
    told = [{"field": field, "old": old, "new": new} for field, old, new in changes(event.type, event.body)]
    return {**plain(event), "body": json.loads(event.body or "{}"), "changes": told}


def _cells(event: EventRow) -> list[str | Text]:
    return [
        local_time(event.occurred_at),
        one_line(event.actor, 40),
        event.type,
        describe(event.type, event.body),
        f"{event.topic.removeprefix('tasktape.')}/{event.partition}@{event.offset}",
        event.verdict + (f": {one_line(event.reason, 60)}" if event.reason else ""),
    ]
