"""The embedded log: one SQLite file in WAL mode, used by any number of processes of one machine at once."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..base import now_us
from ..errors import TopicMismatchError, UnknownTopicError
from ..topics import TopicSpec
from .clock import Clock, uptime_us
from .lifetime import Lifetime, close_at_exit
from .pace import BRISK, Pace
from .port import Headers, Log, Member, OnDelivery, Positions, Reader, TopicPartition
from .sqlite_cleaning import clean
from .sqlite_database import SQL, Database, Queries, transaction
from .sqlite_groups import Groups
from .sqlite_reader import SqliteReader
from .sqlite_writer import Append, Writer


class SqliteLog(Log):
    """The log in the file at `path`, which is made (mode 0600) when it is not there.

    `now` and `uptime` are the clocks, in µs: the wall's for append times, the machine's for leases. Raises
    `LogUnavailableError` when the file can't be used.
    """

    def __init__(self, path: Path, *, now: Clock = now_us, uptime: Clock = uptime_us, pace: Pace = BRISK) -> None:
        self._database = Database(path.absolute())
        self.url = self._database.url
        self._life = Lifetime(self.url)
        self._now = now
        self._readers: weakref.WeakSet[SqliteReader] = weakref.WeakSet()
        self._queries = Queries(self._database)
        self._pace = pace
        self._groups = Groups(self._database, self._queries, self._life, uptime, pace.lease)
        self._writer = Writer(self._database, self._life, (now, uptime))
        close_at_exit(self)

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Create topics that do not exist yet."""
        wanted = list(specs)
        if not _missing(wanted, self.topics()):
            return
        with self._database.session() as connection, transaction(connection):
            existing = {row[0]: TopicSpec(*row) for row in connection.execute(SQL["topics"])}
            missing = _missing(wanted, existing)
            partitions = [(spec.name, number) for spec in missing for number in range(spec.partitions)]
            connection.executemany(SQL["add_topic"], missing)
            connection.executemany(SQL["add_partition"], partitions)

    def topics(self) -> dict[str, TopicSpec]:
        """Return all topics by name."""
        self._life.check()
        return {row[0]: TopicSpec(*row) for row in self._queries.rows("topics")}

    def append(
        self,
        topic: str,
        key: str | None,
        value: bytes | None,
        *,
        headers: Headers = (),
        partition: int | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> None:
        """Put a record down; it is written within a few milliseconds, or at once by `flush`."""
        self._writer.put(Append(topic, key, value, tuple(headers), partition, on_delivery))

    def flush(self, timeout: float | None = None) -> int:
        """Write what waits, in this thread; return how many records are still open."""
        self._life.check()
        return self._writer.flush(timeout)

    def end_positions(self, topics: Iterable[str]) -> Positions:
        """Return the end of every partition of these topics."""
        self._life.check()
        found: dict[str, Positions] = {}
        for _, topic, number, end in self._queries.rows("partitions"):
            found.setdefault(topic, {})[TopicPartition(topic, number)] = end
        return {source: end for topic in topics for source, end in _of(topic, found).items()}

    def read(self, positions: Mapping[TopicPartition, int]) -> Reader:
        """Open a reader at these positions."""
        self._life.check()
        reader = SqliteReader(self._database, self._life, positions, self._pace.glance)
        self._readers.add(reader)
        return reader

    def join(self, group: str, topics: Sequence[str]) -> Member:
        """Join a consumer group for these topics."""
        self._life.check()
        return self._groups.join(group, topics)

    def committed(self, group: str) -> Positions:
        """Return all positions that a group has committed."""
        self._life.check()
        return self._groups.committed(group)

    def clean(self) -> int:
        """Delete what the topics no longer keep; return the number of records. Happens by itself once an hour."""
        self._life.check()
        return clean(self._database, self._now())

    def close(self, timeout: float = 10.0) -> None:
        """Write what waits within the timeout, then let go of the file."""
        if self._life.end():
            self._writer.close(timeout)
            self._groups.close()
            for reader in list(self._readers):
                reader.close()
            self._queries.close()


def _missing(wanted: Iterable[TopicSpec], existing: Mapping[str, TopicSpec]) -> list[TopicSpec]:
    """Topics to be made, each once; one that exists with other partitions raises `TopicMismatchError`."""
    missing: dict[str, TopicSpec] = {}
    for spec in wanted:
        found = existing.get(spec.name) or missing.setdefault(spec.name, spec)
        if found.partitions != spec.partitions:
            raise TopicMismatchError(spec.name, found.partitions, spec.partitions)
    return list(missing.values())


def _of(topic: str, found: Mapping[str, Positions]) -> Positions:
    if topic not in found:
        raise UnknownTopicError(topic)
    return found[topic]
