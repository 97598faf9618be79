"""Appending to the embedded log: whoever comes first writes what all threads have put down, in one transaction."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Final, NamedTuple

from ..errors import AppendError, TasktapeError, UnknownTopicError
from .clock import Clock
from .headers import pack
from .lifetime import Lifetime
from .port import Delivery, Headers, OnDelivery, check_record, place
from .reports import call
from .sqlite_cleaning import EVERY_US, clean_if_due
from .sqlite_database import OFFSET_BITS, SQL, BusyError, Database, transaction

LINGER: Final = 0.001
BATCH: Final = 10_000
CLEAN_AFTER: Final = 60.0
_WAITS_BEFORE_SLEEP: Final = 50
_SHORT_SLEEP: Final = _WAITS_BEFORE_SLEEP * LINGER
"""Seconds of sleep that were not worth it: waking a thread costs the appending one more than its append."""


class Append(NamedTuple):
    """One record on its way."""

    topic: str
    key: str | None
    value: bytes | None
    headers: Headers
    partition: int | None
    on_delivery: OnDelivery | None


class Writer:
    """The one connection of a log object that appends. A thread writes what nobody flushes.

    Its id and the sequence of its last record are written with the records, so that a commit of unknown outcome can be
    looked up instead of being repeated. `clocks` are the wall's and the machine's, in µs.
    """

    def __init__(self, database: Database, life: Lifetime, clocks: tuple[Clock, Clock]) -> None:
        self._database = database
        self._life = life
        self._now, self._uptime = clocks
        self._id = uuid.uuid4().hex
        self._sequence = 0
        self._connection = database.connect_to_write()
        self._partitions: dict[str, list[int]] = {}
        self._writing = threading.RLock()
        self._changed = threading.Condition()
        self._waiting: deque[Append] = deque()
        self._open = 0
        self._asleep = False
        self._thread: threading.Thread | None = None
        self._next_cleaning = time.monotonic() + CLEAN_AFTER

    def put(self, append: Append) -> None:
        """Put a record down to be written."""
        with self._changed:
            self._life.check()
            self._waiting.append(append)
            self._open += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tasktape-log-writer", daemon=True)
                self._thread.start()
            if self._asleep:
                self._asleep = False
                self._changed.notify_all()

    def flush(self, timeout: float | None) -> int:
        """Write what waits in this thread, at the latest until the timeout; return how many records are open."""
        deadline = inf if timeout is None else time.monotonic() + timeout
        while self._open and self._writing.acquire(
            timeout=-1 if timeout is None else max(0, deadline - time.monotonic())
        ):
            try:
                progress = self._write(deadline)
            finally:
                self._writing.release()
            if not progress:
                break
        return self._open

    def close(self, timeout: float) -> None:
        """Write within the timeout what waits, report the rest as failed, let go of the connection."""
        self.flush(timeout)
        with self._writing:
            while batch := self._take():
                self._report(
                    batch, [_failed(append, "the log was closed before it could be written") for append in batch]
                )
            with self._changed:
                self._changed.notify_all()
            self._connection.close()

    def _run(self) -> None:
        """Write what nobody flushes; short waits first, so that records gather and a flush can come before.

        Falls asleep at once where records come seldom, and after a while without any where its last sleep was short.
        """
        idle = waits = 0
        while not self._life.closed:
            time.sleep(LINGER)
            idle = 0 if self._waiting else idle + 1
            if not idle:
                self._write_unless_closed()
            self._clean()
            if idle > waits:
                began = time.monotonic()
                self._sleep()
                waits = _WAITS_BEFORE_SLEEP if time.monotonic() - began < _SHORT_SLEEP else 0

    def _write_unless_closed(self) -> None:
        with self._writing:
            if not self._life.closed:
                self._write(time.monotonic() + 1)

    def _sleep(self) -> None:
        with self._changed:
            self._asleep = not self._waiting
            self._changed.wait_for(lambda: not self._asleep or self._life.closed)

    def _clean(self) -> None:
        """Do the hour's cleaning where it is due; processes that live for less than a minute leave it to others."""
        if time.monotonic() >= self._next_cleaning and not self._life.closed:
            self._next_cleaning = time.monotonic() + EVERY_US / 1e6
            clean_if_due(self._database, self._now)

    def _write(self, deadline: float) -> bool:
        """Write one batch; False when there was none, or others kept the write lock until the deadline."""
        batch = self._take()
        if not batch:
            return False
        try:
            deliveries = self._deliver(batch, deadline)
        except BusyError:
            with self._changed:
                self._waiting.extendleft(reversed(batch))
            return False
        self._report(batch, deliveries)
        return True

    def _take(self) -> list[Append]:
        with self._changed:
            return [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]

    def _deliver(self, batch: list[Append], deadline: float) -> list[Delivery]:
        deliveries: list[Delivery] = []
        self._sequence += len(batch)
        try:
            self._database.check_file()
            with transaction(self._connection, deadline):
                deliveries += self._insert(batch)
        except (sqlite3.Error, TasktapeError) as error:
            if not self._is_committed():
                return [_failed(append, f"{self._database.url}: {error}") for append in batch]
        self._database.ring()
        return deliveries

    def _is_committed(self) -> bool:
        """Whether the transaction that failed is on the log all the same."""
        try:
            row = self._connection.execute(SQL["sequence"], (self._id,)).fetchone()
        except sqlite3.Error:
            return False
        return row is not None and row[0] == self._sequence

    def _insert(self, batch: list[Append]) -> list[Delivery]:
        """Write the records of a batch, all with one append time, inside the transaction."""
        (timestamp,) = self._connection.execute(SQL["tick"], (self._now(), self._uptime())).fetchone()
        places = [self._place(append) for append in batch]
        offsets = self._reserve(identity for _, identity, error in places if error is None)
        rows: list[tuple[int, int, str | None, bytes | None, bytes | None]] = []
        deliveries = []
        for append, (partition, identity, error) in zip(batch, places, strict=True):
            if error is not None:
                deliveries.append(Delivery(append.topic, partition, -1, -1, error))
                continue
            offset = next(offsets[identity])
            place = identity << OFFSET_BITS | offset
            rows.append((place, timestamp, append.key, append.value, pack(append.headers)))
            deliveries.append(Delivery(append.topic, partition, offset, timestamp))
        self._connection.executemany(SQL["add_record"], rows)
        self._connection.execute(SQL["set_sequence"], (self._id, self._sequence, timestamp))
        return deliveries

    def _reserve(self, identities: Iterable[int]) -> dict[int, Iterator[int]]:
        """Offsets for as many records as each partition is named, in order."""
        reserved: dict[int, Iterator[int]] = {}
        for identity, count in Counter(identities).items():
            (end,) = self._connection.execute(SQL["move_end"], (count, identity)).fetchone()
            reserved[identity] = iter(range(end - count, end))
        return reserved

    def _place(self, append: Append) -> tuple[int, int, TasktapeError | None]:
        """Partition's number and id of a record, or why it can't be written."""
        try:
            check_record(append.topic, append.key, append.value, append.headers)
            if append.topic not in self._partitions:
                self._load_partitions()
            if (identities := self._partitions.get(append.topic)) is None:
                raise UnknownTopicError(append.topic)
            partition = place(append.topic, append.key, len(identities), append.partition)
        except TasktapeError as error:
            return -1 if append.partition is None else append.partition, -1, error
        return partition, identities[partition], None

    def _load_partitions(self) -> None:
        found: dict[str, list[int]] = {}
        for identity, topic, _, _ in self._connection.execute(SQL["partitions"]):
            found.setdefault(topic, []).append(identity)
        self._partitions = found

    def _report(self, batch: Sequence[Append], deliveries: Sequence[Delivery]) -> None:
        for append, delivery in zip(batch, deliveries, strict=True):
            if append.on_delivery is not None:
                call(append.on_delivery, delivery)
        self._open -= len(batch)


def _failed(append: Append, reason: str) -> Delivery:
    partition = -1 if append.partition is None else append.partition
    return Delivery(append.topic, partition, -1, -1, AppendError(f"not appended to {append.topic!r}: {reason}."))
