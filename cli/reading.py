"""How commands read: through whoever holds the projection, else by catching up and answering themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Final

from ..events.errors import LogUnavailableError
from .output import progress

if TYPE_CHECKING:
    from ..events.settings import Settings
    from ..projections.query import Queries

_LOOK_SECONDS: Final = 0.1


@contextmanager
def reading(*, quiet: bool = False) -> Iterator[Queries]:
    """Queries that know all that was on the log when asked for; `quiet` shows no progress meanwhile."""
    from ..events.settings import load_settings, without_credentials  # noqa: PLC0415  pydantic, DuckDB and Arrow cost half a second
    from ..projections import open_queries  # noqa: PLC0415  the same

    settings = load_settings()
    shown = nullcontext(_say_nothing) if quiet else progress(f"Reading {without_credentials(settings.log)}")
    with shown as say:
        queries = open_queries(settings, fresh=True, on_progress=say)
    with queries:
        yield queries


def _say_nothing(_done: int, _total: int) -> None:
    """Show no progress."""


def follow_progress(settings: Settings, stopped: threading.Event) -> None:
    """Show how the projection that this process serves comes to where the log ends now; until it is there."""
    from ..events.log.port import lag  # noqa: PLC0415  see `reading`
    from ..events.settings import without_credentials  # noqa: PLC0415  the same
    from ..projections import open_queries  # noqa: PLC0415  the same
    from ..projections.projector import ends  # noqa: PLC0415  the same

    with suppress(LogUnavailableError), settings.open_log() as log, open_queries(settings, fresh=False) as queries:
        goal = ends(log)
        total = lag(goal, queries.positions())
        with progress(f"Reading {without_credentials(settings.log)}") as say:
            while (left := lag(goal, queries.positions())) and not stopped.wait(_LOOK_SECONDS):
                say(total - left, total)
