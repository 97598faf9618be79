"""Retention and compaction of the embedded log, a few records per transaction, so that nobody waits for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from ..errors import LogUnavailableError
from ..topics import TopicSpec
from .clock import Clock
from .sqlite_database import OFFSET_BITS, PATIENCE, SQL, Database, transaction

EVERY_US: Final = 3600 * 1_000_000
_CHUNK: Final = 500
_TOMBSTONES_KEPT_MS: Final = 24 * 3600 * 1000
_PRODUCERS_KEPT_US: Final = 7 * 24 * 3600 * 1_000_000
_PAGES_FREED: Final = 4_000

_logger = logging.getLogger("tasktape.log")


def clean_if_due(database: Database, now: Clock) -> None:
    """Clean when no process has done it for an hour; what goes wrong is logged, the next hour tries again."""
    try:
        if _is_due(database, now()):
            clean(database, now())
    except LogUnavailableError as error:
        _logger.warning("The log could not be cleaned: %s", error, extra={"action": "log_not_cleaned"})


def _is_due(database: Database, now: int) -> bool:
    """Take this hour's cleaning; only one process gets it."""
    with database.session() as connection, transaction(connection):
        return connection.execute(SQL["begin_cleaning"], (now, now - EVERY_US)).rowcount == 1


def clean(database: Database, now: int) -> int:
    """Delete what topics no longer keep at `now` (µs); return the number of records deleted.

    That is records past their retention and, where a topic is compacted, those that a later one of their key replaced.
    As with Kafka, the newest `compact_after_ms` stay whole, and a tombstone stays a day longer than what it deleted.
    """
    deleted = sum(_delete(database, places) for places in _chunks(database, now))
    with database.session() as connection, transaction(connection):
        connection.execute(SQL["drop_old_producers"], (now - _PRODUCERS_KEPT_US,))
    with database.session() as connection:
        connection.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000:.0f}")
        connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_FREED})")
    return deleted


def _chunks(database: Database, now: int) -> Iterator[list[int]]:
    with closing(database.connect()) as connection, database.errors():
        specs = [TopicSpec(*row) for row in connection.execute(SQL["topics"])]
        partitions = connection.execute(SQL["partitions"]).fetchall()
    bounds: dict[str, list[tuple[int, int]]] = {}
    for identity, topic, _, end in partitions:
        bounds.setdefault(topic, []).append((identity << OFFSET_BITS, (identity << OFFSET_BITS) + end))
    for spec in specs:
        for first, end in bounds[spec.name]:
            yield from _expired(database, spec, first, end, now)
            yield from _superseded(database, spec, first, end, now)


def _expired(database: Database, spec: TopicSpec, first: int, end: int, now: int) -> Iterator[list[int]]:
    if spec.retention_ms is not None:
        cutoff = now - spec.retention_ms * 1000
        yield from _repeat(database, "expired", first, end, cutoff, _CHUNK)


def _superseded(database: Database, spec: TopicSpec, first: int, end: int, now: int) -> Iterator[list[int]]:
    if spec.compact_after_ms is not None:
        cutoff = now - spec.compact_after_ms * 1000
        yield from _repeat(database, "superseded", first, end, cutoff, cutoff - _TOMBSTONES_KEPT_MS * 1000, _CHUNK)


def _repeat(database: Database, query: str, *values: int) -> Iterator[list[int]]:
    """Ask again after each chunk was deleted, until nothing is found."""
    with closing(database.connect()) as connection, database.errors():
        while places := [place for (place,) in connection.execute(SQL[query], values)]:
            yield places


def _delete(database: Database, places: list[int]) -> int:
    with database.session() as connection, transaction(connection):
        connection.executemany(SQL["drop_record"], [(place,) for place in places])
    return len(places)
