"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from .output import wants_json

DEFAULT_QUEUE: Final = "default"


def _noted(value: bool) -> bool:
    wants_json.set(value)
    return value


def named(value: str) -> str:
    """Refuse a name that nobody can see."""
    if not value.strip():
        raise typer.BadParameter("a queue needs a name.")
    return value


Json = Annotated[bool, typer.Option("--json", callback=_noted, help="Print JSON: stable keys, ISO 8601 times in UTC.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="A task's id, or as much of its beginning as is unique.")]
TaskIds = Annotated[list[str], typer.Argument(metavar="TASK...", help="Ids of tasks, or their unique beginnings.")]
QueueName = Annotated[str, typer.Argument(metavar="QUEUE", callback=named, help="A queue's name.")]
Priority = Annotated[
    int | None, typer.Option("--priority", metavar="NUMBER", help="Higher ones are served first; 0 is usual.")
]
Front = Annotated[bool, typer.Option("--front", help="Before all others; with --priority, before those of the same.")]
Watch = Annotated[
    bool, typer.Option("--watch", "-w", help="Go on: drawn anew each second; with --json a line per change.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept for audit.")]


class OptionalValues(TyperCommand):
    """A command whose options with a metavar in brackets may stand without their value, which is empty then."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give them the empty value."""
        bare = {name for param in self.params if str(param.metavar).startswith("[") for name in param.opts}
        return super().parse_args(ctx, list(_completed(args, bare)))


def _completed(args: list[str], bare: set[str]) -> Iterator[str]:
    following: Iterable[str] = [*args[1:], "-"]
    for argument, after in zip(args, following, strict=False):
        yield argument
        if argument in bare and after.startswith("-"):
            yield ""
