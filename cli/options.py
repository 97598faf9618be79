"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON: stable keys, ISO 8601 times in UTC.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="A task's id, or as much of its beginning as is unique.")]
TaskIds = Annotated[list[str], typer.Argument(metavar="TASK...", help="Ids of tasks, or their unique beginnings.")]
QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="A queue's name.")]
Priority = Annotated[
    int | None, typer.Option("--priority", metavar="NUMBER", help="Higher ones are served first; 0 is usual.")
]
Front = Annotated[bool, typer.Option("--front", help="Before all others; with --priority, before those of the same.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept for audit.")]
