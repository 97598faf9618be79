"""`tasktape tasks enqueue|dequeue|clone|abort|reset|archive`: what people do to tasks, through the SDK's methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..dashboard.columns import parameter_value
from ..dashboard.formatting import one_line
from ..events.errors import SettingsError
from ..projections.rows import TaskRow
from .errors import NotFoundError, RefusedError
from .lookup import find_queue, find_task
from .options import DEFAULT_QUEUE, Front, Json, Priority, Reason, TaskId, TaskIds
from .output import note, print_json, progress
from .reading import reading

if TYPE_CHECKING:
    from .. import Task

Queue = Annotated[str, typer.Option("--queue", "-q", metavar="QUEUE", help="The queue to put it into.")]
ThenQueue = Annotated[str, typer.Option("--queue", "-q", metavar="QUEUE", help="Enqueue the clone here at once.")]
Name = Annotated[str, typer.Option("--name", metavar="TEXT", help="The clone's name.")]
Project = Annotated[str, typer.Option("--project", metavar="TEXT", help="The clone's project.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="NAME=VALUE", help="A parameter of the clone: General/lr=0.1; repeatable."),
]
Undo = Annotated[bool, typer.Option("--undo", help="Bring archived tasks back.")]
ForceEnqueue = Annotated[bool, typer.Option("--force", help="Even if it has run already, or waits or runs now.")]
ForceReset = Annotated[bool, typer.Option("--force", help="Even if it runs or is published.")]


def enqueue(
    tasks: TaskIds,
    queue: Queue = DEFAULT_QUEUE,
    priority: Priority = None,
    *,
    front: Front = False,
    force: ForceEnqueue = False,
    as_json: Json = False,
) -> None:
    """Put tasks into a queue, for an agent to run.

    Examples:
    $ tasktape tasks enqueue 0199a3c2 --queue gpu
    $ tasktape tasks enqueue 0199a3c2 0199a3c3 --priority 5
    $ tasktape tasks enqueue digits --front --force
    """
    found = _find(tasks, queue)
    _change(
        found[::-1] if front else found,
        lambda task: _sdk().enqueue(task, queue_name=queue, force=force, priority=priority, front=front),
        f"enqueued in {queue}",
        "Reset or clone it first, or give --force.",
        as_json=as_json,
    )


def dequeue(tasks: TaskIds, *, as_json: Json = False) -> None:
    """Take tasks out of the queues they wait in.

    Examples:
    $ tasktape tasks dequeue 0199a3c2
    """
    _change(_find(tasks), lambda task: _sdk().dequeue(task), "out of its queue", as_json=as_json)


def clone(
    task: TaskId,
    name: Name = "",
    project: Project = "",
    parameters: Set = None,
    queue: ThenQueue = "",
    *,
    as_json: Json = False,
) -> None:
    """Copy a task as a draft: same code and parameters, except those set anew.

    Examples:
    $ tasktape tasks clone digits --name "digits, slower" --set Args/lr=0.01 --queue default
    """
    changed = dict(_assignment(text) for text in parameters or ())
    (source,) = _find([task], queue)
    copy = _sdk().clone(source.id, name=name or f"{source.name} (clone)", project=project or None)
    for parameter, value in changed.items():
        copy.set_parameter(parameter, value)
    if queue:
        _sdk().enqueue(copy, queue_name=queue)
    flush()
    if as_json:
        print_json({"id": copy.id, "name": copy.name, "cloned_from": source.id, "queue": queue})
    else:
        note(f"Cloned {_named(source)} as {copy.id}{f', enqueued in {queue}' if queue else ''}.")


def abort(tasks: TaskIds, reason: Reason = "", *, as_json: Json = False) -> None:
    """Ask running tasks to stop; queued ones leave their queue.

    Examples:
    $ tasktape tasks abort 0199a3c2 --reason "the loss diverged"
    """
    found = _find(tasks)
    _change(
        found,
        lambda task: task.mark_stop_request(status_message=reason or None),
        "asked to stop" if any(row.status == "in_progress" for row in found) else "out of its queue",
        "Only what runs or waits can be aborted.",
        as_json=as_json,
    )


def reset(tasks: TaskIds, *, force: ForceReset = False, as_json: Json = False) -> None:
    """Make tasks drafts again: their outputs are hidden, their history stays.

    Examples:
    $ tasktape tasks reset 0199a3c2
    """
    hint = "Abort or clone it, or give --force."
    _change(_find(tasks), lambda task: task.reset(force=force), "reset to a draft", hint, as_json=as_json)


def archive(tasks: TaskIds, *, undo: Undo = False, as_json: Json = False) -> None:
    """Put tasks out of sight, or with --undo back.

    Examples:
    $ tasktape tasks archive 0199a3c2 0199a3c3
    """
    done = "back from the archive" if undo else "archived"
    _change(_find(tasks), lambda task: task.set_archived(not undo), done, as_json=as_json)


def _sdk() -> type[Task]:
    from .. import Task  # noqa: PLC0415  only commands that change tasks pay for the SDK

    return Task


def _find(texts: Sequence[str], queue: str = "") -> list[TaskRow]:
    """All tasks named, and the queue checked, before anything is changed."""
    with reading() as queries:
        if queue:
            find_queue(queries, queue)
        return [find_task(queries, text) for text in texts]


def _change(
    rows: Sequence[TaskRow], change: Callable[[Task], object], done: str, hint: str = "", *, as_json: bool
) -> None:
    """Change tasks one after the other; the first that can't be changed ends it."""
    try:
        for row in rows:
            with progress(f"Changing {row.name}"):
                _guarded(row, change, hint)
    finally:
        flush()
    if as_json:
        print_json([{"id": row.id, "name": row.name, "done": done} for row in rows])
        return
    for row in rows:
        note(f"{_named(row)}: {done}.")


def _guarded(row: TaskRow, change: Callable[[Task], object], hint: str) -> None:
    from ..producers.errors import InvalidTransitionError  # noqa: PLC0415  see `_sdk`

    try:
        change(_task(row.id))
    except InvalidTransitionError as error:
        raise RefusedError(f"{_named(row)} is {error.status} and can't be {error.change}. {hint}") from error


def _task(task_id: str) -> Task:
    task = _sdk().get_task(task_id=task_id)
    if task is None:
        raise NotFoundError("task", task_id)
    return task


def flush() -> None:
    """What was changed is on the log, or in the spool, before the command ends; raises what the log refuses."""
    from ..producers.session import current_session  # noqa: PLC0415  see `_sdk`

    with progress("Waiting for the log"):
        outbox = current_session().outbox
        outbox.synced(10.0)
        if outbox.refusal is not None:
            raise outbox.refusal


def _named(row: TaskRow) -> str:
    return f"{one_line(row.name, 60)!r} ({row.id})"


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SettingsError(f"{text!r} sets nothing: write it as Section/name=value.")
    return name.strip() if "/" in name else f"General/{name.strip()}", parameter_value(value)
