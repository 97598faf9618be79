"""`tasktape limits list|set|remove`: how many runs of a queue, of a user or with a tag may be under way at once."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from ..dashboard.formatting import one_line
from .appending import append
from .options import Json
from .output import Column, note, print_json, print_table
from .reading import reading

KINDS: Final = ("queue", "user", "tag")


def _checked(scope: str) -> str:
    kind, _, name = scope.partition(":")
    if kind not in KINDS or not name:
        raise typer.BadParameter("a scope is queue:NAME, user:NAME or tag:NAME.")
    return scope


Scope = Annotated[
    str, typer.Argument(metavar="SCOPE", callback=_checked, help="`queue:NAME`, `user:NAME` or `tag:NAME`.")
]
Running = Annotated[int, typer.Argument(metavar="N", min=0, help="How many runs of it may be under way at once.")]
Reason = Annotated[str, typer.Option(help="Why; kept for the audit.")]


def set_limit(scope: Scope, running: Running, *, reason: Reason = "", as_json: Json = False) -> None:
    """Limit how many runs of a queue, of a user or with a tag are under way at once, whichever agents run them.

    Runs that were claimed before do not count, unless another limit concerned them then.

    Examples:
    $ tasktape limits set queue:gpu 4
    $ tasktape limits set user:ada 2 --reason "leaves room for others"
    $ tasktape limits set tag:licence 1
    """
    _say(scope, running, reason)
    if as_json:
        print_json({"scope": scope, "running": running})
    else:
        note(f"At most {running} runs of {one_line(scope)} at once.")


def remove_limit(scope: Scope, *, reason: Reason = "", as_json: Json = False) -> None:
    """Lift a limit.

    Examples:
    $ tasktape limits remove queue:gpu
    """
    _say(scope, None, reason)
    if as_json:
        print_json({"scope": scope, "running": None})
    else:
        note(f"No limit for {one_line(scope)} any more.")


def list_limits(*, as_json: Json = False) -> None:
    """List limits, and how many runs hold a permit of each.

    Examples:
    $ tasktape limits list
    """
    with reading() as queries:
        limits = queries.limits()
    if as_json:
        print_json(limits)
        return
    columns = [Column("SCOPE", grow=True), Column("LIMIT", right=True), Column("RUNNING", right=True)]
    rows = [(one_line(limit.scope), str(limit.running), str(limit.permits)) for limit in limits]
    print_table(columns, rows, "No limits: `tasktape limits set queue:NAME N` sets one.")


def _say(scope: str, running: int | None, reason: str) -> None:
    from ..events.base import Stamper  # noqa: PLC0415  see `reading`
    from ..events.limit_events import LimitSet  # noqa: PLC0415  the same

    append(LimitSet(meta=Stamper()(), scope=scope, running=running, reason=reason), f"Limiting {scope}")
