"""Following the embedded log: asks SQLite for news without reading, and reads only partitions that have grown."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Final

from ..errors import UnknownTopicError
from .file_watch import FileWatch, watch_file
from .fork_gate import gate
from .headers import unpack
from .lifetime import Lifetime, PartLifetime
from .pace import until_next
from .port import LogRecord, Positions, Reader, TopicPartition
from .sqlite_database import OFFSET_BITS, SQL, Database

_BYTES_PER_POLL: Final = 32 * 1024 * 1024
_UNKNOWN: Final = -1
"""No version of the file: something may be there to be read although nobody has written since."""
_ROWS_AT_ONCE: Final = 16
_OFFSET: Final = (1 << OFFSET_BITS) - 1


class SqliteReader(Reader):
    """A reader with a connection of its own, woken by the file's bell, whoever rings it.

    It listens from its first wait on: who reads the past alone does without, since to stop listening takes some 10 ms.
    It looks every `glance` seconds besides: an appending process may die between its commit and the bell.
    """

    def __init__(
        self, database: Database, life: Lifetime, positions: Mapping[TopicPartition, int], glance: float
    ) -> None:
        self._life = PartLifetime(life)
        self._database = database
        self._connection = database.connect()
        self._glance = glance
        self._watch: FileWatch | None = None
        self._identities: dict[TopicPartition, int] = {}
        self._positions: Positions = {}
        self._version = _UNKNOWN
        self._woken = False
        try:
            self.add(positions)
        except BaseException:
            self.close()
            raise

    def poll(self, timeout: float = 0.0, limit: int = 1000) -> Sequence[LogRecord]:
        """Return the next records; wait up to `timeout` seconds for the first."""
        deadline = time.monotonic() + timeout
        has_changed, found = self._has_changed(), list[LogRecord]()
        while True:
            if has_changed:
                with self._life.use():
                    found = self._take(limit)
            if found or not (has_changed := self._wait(deadline)):
                return found

    def wake(self) -> None:
        """Have the poll that waits return at once; else the next one."""
        self._woken = True
        if self._watch is not None:
            self._watch.wake()

    def positions(self) -> Positions:
        """Return, for each partition read, the offset of the next record."""
        with self._life.use():
            return dict(self._positions)

    def is_at_end(self) -> bool:
        """Return whether there is nothing more."""
        with self._life.use():
            ends = dict(self._execute("ends").fetchall())
            return all(self._positions[source] >= ends[identity] for source, identity in self._identities.items())

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions too, from these positions."""
        with self._life.use():
            rows = self._execute("partitions")
            known = {TopicPartition(topic, number): identity for identity, topic, number, _ in rows}
            for source in positions:
                if source not in known:
                    raise UnknownTopicError(source.topic)
            self._identities.update((source, known[source]) for source in positions)
            self._positions = {**positions, **self._positions}
            self._version = _UNKNOWN

    def close(self) -> None:
        """Stop reading and let go of the connection."""
        if self._life.end():
            self.wake()
            with self._life.using:
                self._connection.close()
                if self._watch is not None:
                    self._watch.close()

    def _execute(self, name: str, *values: int) -> sqlite3.Cursor:
        with self._database.errors():
            return self._connection.execute(SQL[name], values)

    def _wait(self, deadline: float) -> bool:
        """Wait until another connection has committed; False when the deadline or `wake` comes first."""
        while not self._woken and (now := time.monotonic()) < deadline:
            self._listen(min(until_next(self._glance), deadline - now))
            if self._has_changed():
                return True
        self._woken = False
        return False

    def _listen(self, timeout: float) -> None:
        """Wait for the bell. The first time there is no waiting: it may have rung before anybody listened."""
        with self._life.use():
            if self._watch is None:
                self._watch = watch_file(self._database.hang_bell())
            else:
                self._watch.wait(timeout)

    def _has_changed(self) -> bool:
        with self._life.use():
            return self._data_version() != self._version

    def _data_version(self) -> int:
        with self._database.errors(), gate:
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _take(self, limit: int) -> list[LogRecord]:
        """Read on. What has rung so far is heard before, or it would wake the reader once more."""
        if self._watch is not None:
            self._watch.wait(0)
        self._version = self._data_version()
        ends = dict(self._execute("ends").fetchall())
        found: list[LogRecord] = []
        size = 0
        for source, identity in list(self._identities.items()):
            if self._positions[source] >= ends[identity]:
                continue
            if len(found) >= limit or size >= _BYTES_PER_POLL:
                self._version = _UNKNOWN
                break
            taken = self._take_from(source, ends[identity], limit - len(found))
            size += sum(len(record.value or b"") for record in taken)
            found += taken
        return found

    def _take_from(self, source: TopicPartition, end: int, limit: int) -> list[LogRecord]:
        """Read on in one partition, up to `end`; a partition that has been read goes behind the others."""
        identity = self._identities.pop(source)
        self._identities[source] = identity
        base, position = identity << OFFSET_BITS, self._positions[source]
        rows = self._execute("records", base + position, base + end, limit)
        taken: list[LogRecord] = []
        size = 0
        while size < _BYTES_PER_POLL and (some := rows.fetchmany(_ROWS_AT_ONCE)):
            taken += [
                LogRecord(*source, place & _OFFSET, timestamp, key, value, unpack(headers))
                for place, timestamp, key, value, headers in some
            ]
            size += sum(len(record.value or b"") for record in taken[-len(some) :])
        whole = len(taken) < limit and size < _BYTES_PER_POLL
        self._positions[source] = end if whole else taken[-1].offset + 1
        self._version = self._version if whole else _UNKNOWN
        return taken
