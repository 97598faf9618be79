"""`tasktape sync`: brings to the log what processes that died or were cut off left on this machine, or another log."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ..producers.text import counted
from .errors import NotFoundError
from .options import Json
from .output import note, print_json, progress

if TYPE_CHECKING:
    from ..events.settings import Settings

Source = Annotated[str, typer.Option("--from", metavar="URL", help="Copy all that is on another log, too.")]


def sync(source: Source = "", *, as_json: Json = False) -> None:
    """Bring to the log what was reported while it was away, or by processes that died.

    Agents and the next task on this machine do this too; this command does it now. With --from all records of another
    log are copied as well: what was recorded on this machine, say, to a Kafka of one's own. Repeats have no effect.

    Examples:
    $ tasktape sync
    $ tasktape sync --from sqlite:///~/.tasktape/log.db
    """
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`
    from ..producers.sync import sync as bring  # noqa: PLC0415  the same

    settings = load_settings()
    with progress(f"Bringing what is left on this machine to {settings.log}") as say:
        brought = bring(settings, say)
    copied = _copy(settings, source) if source else 0
    if as_json:
        print_json(asdict(brought) | {"copied": copied})
        return
    note(str(brought))
    if source:
        note(f"Copied {counted(copied, 'record')} from {source}.")


def _copy(settings: Settings, source: str) -> int:
    """Copy all records of the log at `source` to the one that is set; return how many there were."""
    from ..events.log.copy import copy  # noqa: PLC0415  see `reading`
    from ..events.log.open import open_log, sqlite_path  # noqa: PLC0415  the same

    scheme, _, rest = source.partition("://")
    if scheme == "sqlite" and not sqlite_path(rest).exists():
        raise NotFoundError("log", source, hint="An embedded log is a file: sqlite:///path/to/log.db.")
    with open_log(source, settings.kafka) as old, settings.open_log() as new:
        total = sum(old.end_positions(old.topics()).values())
        with progress(f"Copying {source} to {settings.log}", total) as say:
            copy(old, new, on_progress=lambda _, done: say(done), reframe=settings.codec().reframe)
    return total
