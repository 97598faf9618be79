"""`tasktape queues create|delete|pause|resume|clear|move`: what people do to queues, through the SDK's functions."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Annotated, Any

import typer

from ..dashboard.formatting import one_line
from .lookup import find_queue, find_task
from .options import Front, Json, Priority, QueueName, Reason, TaskId
from .output import note, print_json, progress
from .reading import reading

ForceDelete = Annotated[bool, typer.Option("--force", help="Dequeue what waits in it first.")]
Back = Annotated[bool, typer.Option("--back", help="Behind all others; with --priority, behind those of the same.")]
Position = Annotated[
    int | None, typer.Option("--position", min=1, metavar="NUMBER", help="To this place, as `queues show` counts.")
]
To = Annotated[str, typer.Option("--to", metavar="QUEUE", help="To another queue: behind all, if no place is given.")]


def create_queue(queue: QueueName, *, as_json: Json = False) -> None:
    """Create a queue.

    Examples:
    $ tasktape queues create gpu
    """
    with progress(f"Creating {queue}"):
        _queues().create_queue(queue)
    _say(queue, "created", as_json=as_json)


def delete_queue(queue: QueueName, reason: Reason = "", *, force: ForceDelete = False, as_json: Json = False) -> None:
    """Delete a queue; its history stays on the log.

    Examples:
    $ tasktape queues delete gpu
    $ tasktape queues delete gpu --force --reason "the machines are gone"
    """
    _check(queue)
    with progress(f"Deleting {queue}"):
        dequeued = _queues().delete_queue(queue, force=force, reason=reason)
    _say(queue, "deleted", dequeued, as_json=as_json)


def pause_queue(queue: QueueName, reason: Reason = "", *, as_json: Json = False) -> None:
    """Let agents take nothing from a queue until it is resumed; what runs goes on.

    Examples:
    $ tasktape queues pause gpu --reason "the disk is full"
    """
    _check(queue)
    with progress(f"Pausing {queue}"):
        _queues().pause_queue(queue, reason)
    _say(queue, "paused", as_json=as_json)


def resume_queue(queue: QueueName, *, as_json: Json = False) -> None:
    """Let agents take from a queue again.

    Examples:
    $ tasktape queues resume gpu
    """
    _check(queue)
    with progress(f"Resuming {queue}"):
        _queues().resume_queue(queue)
    _say(queue, "resumed", as_json=as_json)


def clear_queue(queue: QueueName, reason: Reason = "", *, as_json: Json = False) -> None:
    """Take all that waits out of a queue.

    Examples:
    $ tasktape queues clear gpu --reason "wrong data"
    """
    _check(queue)
    with progress(f"Clearing {queue}"):
        cleared = _queues().clear_queue(queue, reason)
    _say(queue, "cleared", cleared.dequeued, as_json=as_json)
    if cleared.claimed:
        note(f"Agents had claimed before, and run: {', '.join(cleared.claimed)}.")


def move(
    task: TaskId,
    position: Position = None,
    to_queue: To = "",
    priority: Priority = None,
    reason: Reason = "",
    *,
    front: Front = False,
    back: Back = False,
    as_json: Json = False,
) -> None:
    """Move a waiting task to another place of its queue, to another priority, or to another queue.

    Examples:
    $ tasktape queues move 0199a3c2 --front
    $ tasktape queues move digits --position 3
    $ tasktape queues move digits --to gpu --priority 5
    """
    with reading() as queries:
        found = find_task(queries, task)
        if to_queue:
            find_queue(queries, to_queue)
    with progress(f"Moving {found.name}"):
        where: dict[str, Any] = {"front": front, "back": back, "position": position, "priority": priority}
        queue = _queues().move_entry(found.id, to_queue=to_queue, reason=reason, **where)
    if as_json:
        print_json({"id": found.id, "name": found.name, "queue": queue, "done": "moved"})
    else:
        note(f"{one_line(found.name, 60)!r} ({found.id}): moved in {one_line(queue)}.")


def _queues() -> ModuleType:
    from ..producers import queues  # noqa: PLC0415  only commands that change something pay for the SDK

    return queues


def _check(queue: str) -> None:
    with reading() as queries:
        find_queue(queries, queue)


def _say(queue: str, done: str, dequeued: Sequence[str] = (), *, as_json: bool) -> None:
    if as_json:
        print_json({"queue": queue, "done": done, "dequeued": dequeued})
        return
    count = f", {len(dequeued):,} dequeued" if dequeued else ""
    note(f"The queue {one_line(queue)!r} is {done}{count}.")
