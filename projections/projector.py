"""Follows a log into a projection: batches of records, each with the positions after it, in one transaction.

With `until`, partitions are read up to those positions and no further: the state of things at that moment.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from ..events.log.port import LogRecord, Positions, Reader, TopicPartition, lag
from .batch import Folds
from .errors import ProjectionBehindError
from .queue_fold import CLAIM_LEASE
from .tables import sql

if TYPE_CHECKING:
    from ..events.codec import Codec
    from ..events.log.port import Log
    from .database import Database

TOPIC_PREFIX: Final = "tasktape."
POLL_RECORDS: Final = 200
BATCH_RECORDS: Final = 5000
BATCH_BYTES: Final = 4 << 20
DISCOVERY_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 0.2
COMPARE_SECONDS: Final = 2.0
Stored = tuple[int, int]
OnProgress = Callable[[int, int], object]
"""Told how many records were read, of how many there are to read."""


class Projector:
    """Feeds one database from one log. Used by one thread. `lease` is the claim lease in seconds."""

    def __init__(
        self,
        log: Log,
        database: Database,
        codec: Codec,
        *,
        lease: float = CLAIM_LEASE,
        until: Positions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._database = database
        self._folds = Folds(codec, lease)
        self._until = until
        self._clock = clock
        self._stored = _load_positions(database)
        self._reader: Reader | None = None
        self._discovered_at = -DISCOVERY_SECONDS
        self._written_at = -math.inf

    def discover(self) -> None:
        """Start to read topics that are new."""
        self._discovered_at = self._clock()
        topics = [topic for topic in self._log.topics() if topic.startswith(TOPIC_PREFIX)]
        known = set() if self._reader is None else {source.topic for source in self._reader.positions()}
        if new := [topic for topic in topics if topic not in known]:
            starts = {source: self._stored.get(source, (0, 0))[0] for source in self._log.start_positions(new)}
            self._add({source: start for source, start in starts.items() if self._wanted(source, start)})

    def positions(self) -> Positions:
        """Return, for each partition known, the position up to which the log is in the database."""
        stored = {source: offset for source, (offset, _) in self._stored.items()}
        return stored if self._reader is None else stored | self._reader.positions()

    def contradicted(self) -> bool:
        """Whether the log is another one than the database was made from: it lacks what is known of it."""
        there = ends(self._log)
        lacks = any(offset > there.get(source, 0) for source, (offset, _) in self._stored.items())
        return lacks or self._differs()

    def _differs(self) -> bool:
        """Whether another record lies where the latest known one should; one that is kept no more tells nothing."""
        if not self._stored:
            return False
        source, (offset, us) = max(self._stored.items(), key=lambda stored: stored[1][1])
        with self._log.read({source: offset - 1}) as reader:
            found = reader.poll(COMPARE_SECONDS, 1)
        return any(record.offset < offset and record.timestamp != us for record in found)

    def reached(self, positions: Positions) -> bool:
        """Whether everything before these positions is in the database."""
        here = self.positions()
        return all(here.get(source, 0) >= offset for source, offset in positions.items())

    def step(self, timeout: float = 0.0, gather: float = 0.0) -> int:
        """Write the next batch, waiting up to `timeout` seconds for its first record; return its number of records.

        A batch that is not full waits for more until `gather` seconds after the last one: each costs a transaction.
        """
        if self._clock() - self._discovered_at >= DISCOVERY_SECONDS:
            self.discover()
        records = self._read(timeout, self._written_at + gather)
        if records:
            self._write(records)
            self._written_at = self._clock()
        return len(records)

    def catch_up(
        self,
        positions: Positions | None = None,
        timeout: float | None = None,
        on_progress: OnProgress = lambda _done, _total: None,
    ) -> None:
        """Read up to these positions (by default to where the log ends now).

        Raises:
            ProjectionBehindError: `timeout` seconds passed without a single new record.

        """
        goal = positions if positions is not None else self._until or ends(self._log)
        self.discover()
        total = lag(goal, self.positions())
        waiting_since = self._clock()
        while not self.reached(goal):
            if self.step(PATIENCE_SECONDS):
                on_progress(total - lag(goal, self.positions()), total)
                waiting_since = self._clock()
            elif timeout is not None and self._clock() - waiting_since > timeout:
                raise ProjectionBehindError(timeout)

    def close(self) -> None:
        """Stop reading; database and log stay open."""
        if self._reader is not None:
            self._reader.close()

    def _add(self, starts: Positions) -> None:
        if self._reader is None:
            self._reader = self._log.read(starts)
        elif starts:
            self._reader.add(starts)

    def _wanted(self, source: TopicPartition, position: int) -> bool:
        return self._until is None or position < self._until.get(source, 0)

    def _read(self, timeout: float, until: float) -> list[LogRecord]:
        if self._reader is None:
            return []
        records = list(self._reader.poll(timeout, POLL_RECORDS))
        while records and len(records) < BATCH_RECORDS and _size(records) < BATCH_BYTES:
            more = self._reader.poll(max(0.0, until - self._clock()), POLL_RECORDS)
            if not more:
                break
            records += more
        return [record for record in records if self._wanted(record.source, record.offset)]

    def _write(self, records: Sequence[LogRecord]) -> None:
        stored = self._stored | _positions_after(records, self._stored)
        changed = {record.source for record in records}
        with self._database.transaction() as tables:
            self._folds.write(tables, records)
            tables.replace("positions", [(*source, *stored[source]) for source in changed])
        self._stored = stored


def ends(log: Log) -> Positions:
    """Return where the log ends now, in the topics of tasktape."""
    return log.end_positions(topic for topic in log.topics() if topic.startswith(TOPIC_PREFIX))


def _size(records: Iterable[LogRecord]) -> int:
    return sum(len(record.value or b"") for record in records)


def _positions_after(
    records: Iterable[LogRecord], stored: Mapping[TopicPartition, Stored]
) -> dict[TopicPartition, Stored]:
    """Return the position after the last record of each partition, and the latest append time there."""
    found: dict[TopicPartition, Stored] = {}
    for record in records:
        source = record.source
        _, latest = found.get(source) or stored.get(source) or (0, 0)
        found[source] = (record.offset + 1, max(latest, record.timestamp))
    return found


def _load_positions(database: Database) -> dict[TopicPartition, Stored]:
    rows = database.connection.execute(sql("save")["load_positions"]).fetchall()
    return {TopicPartition(topic, partition): (offset, us) for topic, partition, offset, us in rows}
