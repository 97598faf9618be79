"""Appending to the embedded log: whoever comes first writes what all threads have put down, in one transaction."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Final, NamedTuple

from ..errors import AppendError, TasktapeError, UnknownTopicError
from .clock import Clock, next_timestamp
from .headers import pack
from .lifetime import Lifetime
from .port import Delivery, Headers, OnDelivery, check_record, place
from .sqlite_cleaning import EVERY_US, clean_if_due
from .sqlite_database import OFFSET_BITS, SQL, BusyError, Database, transaction

LINGER: Final = 0.001
BATCH: Final = 10_000
CLEAN_AFTER: Final = 60.0

_logger = logging.getLogger("tasktape.log")


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
    looked up instead of being repeated. `written` is called after each commit.
    """

    def __init__(
        self, database: Database, life: Lifetime, clocks: tuple[Clock, Clock], written: Callable[[], None]
    ) -> None:
        self._database = database
        self._life = life
        self._now, self._uptime = clocks
        self._written = written
        self._id = uuid.uuid4().hex
        self._sequence = 0
        self._connection = database.connect_to_write()
        self._partitions: dict[str, list[int]] = {}
        self._writing = threading.RLock()
        self._changed = threading.Condition()
        self._waiting: deque[Append] = deque()
        self._open = 0
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
            if len(self._waiting) == 1:
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
        """Write what nobody flushes; a short wait first, so that records gather and a flush can come before."""
        while not self._life.closed:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._life.closed)
            time.sleep(LINGER)
            with self._writing:
                if not self._life.closed:
                    self._write(time.monotonic() + 1)
            self._clean()

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
        try:
            self._database.check_file()
            with transaction(self._connection, deadline):
                deliveries += self._insert(batch)
        except (sqlite3.Error, TasktapeError) as error:
            if not self._is_committed():
                return [_failed(append, f"{self._database.url}: {error}") for append in batch]
        self._written()
        return deliveries

    def _is_committed(self) -> bool:
        """Whether the transaction that failed is on the log all the same."""
        try:
            row = self._connection.execute(SQL["sequence"], (self._id,)).fetchone()
        except sqlite3.Error:
            return False
        return row is not None and row[0] == self._sequence

    def _insert(self, batch: list[Append]) -> list[Delivery]:
        execute = self._connection.execute
        timestamp = self._tick()
        ends: dict[int, int] = {}
        rows: list[tuple[int, int, str | None, bytes | None, bytes | None]] = []
        deliveries = []
        for append in batch:
            try:
                partition, identity = self._place(append)
            except TasktapeError as error:
                deliveries.append(Delivery(append.topic, -1, -1, -1, error))
                continue
            if identity not in ends:
                ends[identity] = execute(SQL["end"], (identity,)).fetchone()[0]
            offset = ends[identity]
            ends[identity] += 1
            row = identity << OFFSET_BITS | offset, timestamp, append.key, append.value, pack(append.headers)
            rows.append(row)
            deliveries.append(Delivery(append.topic, partition, offset, timestamp))
        self._connection.executemany(SQL["add_record"], rows)
        self._connection.executemany(SQL["set_end"], [(end, identity) for identity, end in ends.items()])
        self._sequence += len(batch)
        execute(SQL["set_sequence"], (self._id, self._sequence, timestamp))
        return deliveries

    def _tick(self) -> int:
        """Move the log's clock on, in the transaction; all records of a batch have one append time."""
        last, last_uptime = self._connection.execute(SQL["clock"]).fetchone()
        uptime = self._uptime()
        timestamp = next_timestamp(last, last_uptime, self._now(), uptime)
        self._connection.execute(SQL["set_clock"], (timestamp, uptime))
        return timestamp

    def _place(self, append: Append) -> tuple[int, int]:
        """Partition's number and id of a record that may be written."""
        check_record(append.topic, append.key, append.value, append.headers)
        if append.topic not in self._partitions:
            self._load_partitions()
        if (identities := self._partitions.get(append.topic)) is None:
            raise UnknownTopicError(append.topic)
        partition = place(append.topic, append.key, len(identities), append.partition)
        return partition, identities[partition]

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


def call(on_delivery: OnDelivery, delivery: Delivery) -> None:
    """Hand out a delivery report; what the callback raises is logged, since nobody else could catch it."""
    try:
        on_delivery(delivery)
    except Exception:
        _logger.exception("A delivery callback failed", extra={"action": "delivery_callback_failed"})


def _failed(append: Append, reason: str) -> Delivery:
    partition = -1 if append.partition is None else append.partition
    return Delivery(append.topic, partition, -1, -1, AppendError(f"not appended to {append.topic!r}: {reason}."))
