"""How commands read: through whoever holds the projection, else by catching up and answering themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from .output import progress

if TYPE_CHECKING:
    from ..projections.query import Queries


@contextmanager
def reading(*, quiet: bool = False) -> Iterator[Queries]:
    """Queries that know all that was on the log when asked for; `quiet` shows no progress meanwhile."""
    from ..events.settings import load_settings  # noqa: PLC0415  pydantic, DuckDB and Arrow cost half a second
    from ..projections import open_queries  # noqa: PLC0415  the same

    settings = load_settings()
    with nullcontext() if quiet else progress(f"Reading {settings.log}"):
        queries = open_queries(settings, fresh=True)
    with queries:
        yield queries
