"""Follows topics in a thread of its own: decodes what an agent needs and hands it on, in order, in bounded batches."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..events.base import Event
from ..events.codec import TYPE_HEADER, Codec
from ..events.errors import (
    DecodeError,
    LogClosedError,
    LogUnavailableError,
    NotAllowedError,
    RegistryUnavailableError,
)
from ..events.log.port import Log, LogRecord, Positions, Reader, TopicPartition
from ..events.task_events import TasksEvent
from ..events.wire import read_event
from .run_ledger import RELEVANT

LOGGER = logging.getLogger(__name__)
_POLL_SECONDS: Final = 60.0
"""For how long a follower waits where nobody wakes its reader."""
_POLL_SECONDS_TO_MARK: Final = 0.02
"""The same while a mark is to be passed, which may have been passed already: then no record comes to tell."""
_RETRY_SECONDS: Final = 1.0
_ROOM_SECONDS: Final = 0.4
_RECORDS_AT_ONCE: Final = 100
_BATCHES_AHEAD: Final = 16
"""How much of a long past is in memory at once."""


class Reading(NamedTuple):
    """A record, and its event where that matters to an agent and can be read."""

    record: LogRecord
    event: Event | None

    @property
    def kind(self) -> str:
        """Name of the event's type, as the record's header has it."""
        return kind_of(self.record)


def kind_of(record: LogRecord) -> str:
    """Name of the type of a record's event; empty where its header does not tell."""
    return next((value.decode(errors="replace") for name, value in record.headers if name == TYPE_HEADER), "")


def is_wanted(record: LogRecord) -> bool:
    """Whether an agent needs to know what a record says."""
    return record.value is not None and (record.topic != TasksEvent.topic or kind_of(record) in RELEVANT)


def decode(record: LogRecord, codec: Codec) -> Reading:
    """Decode a record; of `tasktape.tasks` only what the run ledger needs, as most of that topic is not for agents."""
    try:
        return Reading(record, read_event(record, codec=codec) if is_wanted(record) else None)
    except DecodeError as error:
        place = f"{record.topic}/{record.partition}/{record.offset}"
        LOGGER.warning("%s is left out: %s", place, error, extra={"action": "skip_record", "record": place})
        return Reading(record, None)


@dataclass(frozen=True)
class Batch:
    """What a follower hands on: readings in order, and the marks that it has passed. `handled` is to be called once."""

    name: str
    readings: Sequence[Reading]
    marks: tuple[str, ...]
    handled: Callable[[], None] = field(repr=False)


@dataclass(frozen=True)
class FollowerDied:
    """A follower can't go on."""

    name: str
    error: Exception


Post = Callable[[Batch | FollowerDied], None]


class Follower:
    """Reads partitions from given positions on, for ever. `post` gets batches from its thread."""

    def __init__(self, log: Log, codec: Codec, name: str, positions: Mapping[TopicPartition, int], post: Post) -> None:
        self._log = log
        self._codec = codec
        self._name = name
        self._post = post
        self._room = threading.BoundedSemaphore(_BATCHES_AHEAD)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._added: Positions = {}
        self._positions: Positions = dict(positions)
        self._asked: list[tuple[str, tuple[str, ...]]] = []
        self._open: dict[str, Positions] = {}
        self._has_passed = False
        self._reader: Reader | None = None
        self._thread = threading.Thread(target=self._run, name=f"tasktape-follow-{name}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions too."""
        with self._lock:
            self._added |= positions
            self._wake()

    def mark(self, mark: str, topics: Iterable[str]) -> None:
        """Hand on `mark` once all that was on these topics at some moment after this call has been handed on."""
        with self._lock:
            self._asked.append((mark, tuple(topics)))
            self._wake()

    def check(self, mark: str, topics: Iterable[str]) -> None:
        """Do as `mark` does, but ask the log in this thread: the reader's need not wake up where all has been read."""
        if not self._place(mark, tuple(topics)):
            with self._lock:
                self._wake()
        elif passed := self._passed(self.positions()):
            self._post(Batch(self._name, [], passed, lambda: None))

    def positions(self) -> Positions:
        """Return how far all has been handed on; of partitions added a moment ago, where they are to begin."""
        with self._lock:
            return self._added | self._positions

    def close(self) -> None:
        """Stop reading; returns when the thread has ended."""
        self._closing.set()
        with self._lock:
            self._wake()
        self._thread.join()

    def _wake(self) -> None:
        """Have what was asked be seen to now. Under the lock."""
        if self._reader is not None:
            self._reader.wake()

    @contextmanager
    def _waking(self, reader: Reader) -> Iterator[None]:
        """Have what is asked meanwhile wake this reader."""
        with self._lock:
            self._reader = reader
        try:
            yield
        finally:
            with self._lock:
                self._reader = None

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._read()
        except LogClosedError:
            return
        except Exception as error:  # noqa: BLE001  whatever it is, the agent must not go on without eyes
            self._post(FollowerDied(self._name, error))

    def _read(self) -> None:
        """Read on with a reader; one that fails because the log is away is replaced after a moment.

        So is one whose rights are taken away, as they may be given back; who never had them need not wait.
        """
        try:
            with self._log.read(self._positions) as reader, self._waking(reader):
                while not self._closing.is_set():
                    self._obey(reader)
                    self._hand_on(reader.poll(self._patience(), _RECORDS_AT_ONCE), reader)
        except LogUnavailableError as error:
            if isinstance(error, NotAllowedError) and not self._has_passed:
                raise
            LOGGER.warning("%s", error, extra={"action": "wait_for_log", "follower": self._name})
            self._closing.wait(_RETRY_SECONDS)

    def _patience(self) -> float:
        """Seconds to wait for records; few where a mark is to be passed, or could not be placed."""
        if self._open:
            return _POLL_SECONDS_TO_MARK
        return _RETRY_SECONDS if self._asked else _POLL_SECONDS

    def _obey(self, reader: Reader) -> None:
        with self._lock:
            added, self._added = self._added, {}
            asked, self._asked = self._asked, []
            self._positions |= added
        if added:
            reader.add(added)
        for mark, topics in asked:
            self._place(mark, topics)

    def _place(self, mark: str, topics: tuple[str, ...]) -> bool:
        """Note where the topics end now; a log that is away is asked again. Whether it has answered."""
        try:
            ends = self._log.end_positions(topics)
        except LogUnavailableError:
            with self._lock:
                self._asked.append((mark, topics))
            return False
        with self._lock:
            self._open[mark] = ends
        return True

    def _hand_on(self, records: Sequence[LogRecord], reader: Reader) -> None:
        if not records and not self._open:
            return
        readings = [self._decode(record) for record in records]
        positions = reader.positions()
        if self._post_batch(Batch(self._name, readings, self._passed(positions), self._room.release)):
            self._positions = positions

    def _post_batch(self, batch: Batch) -> bool:
        """Hand a batch on once there is room; False when the follower is closed before."""
        if not batch.readings and not batch.marks:
            return True
        while not self._room.acquire(timeout=_ROOM_SECONDS):
            if self._closing.is_set():
                return False
        self._post(batch)
        return True

    def _passed(self, positions: Positions) -> tuple[str, ...]:
        with self._lock:
            passed = tuple(mark for mark, ends in self._open.items() if _reached(positions, ends))
            for mark in passed:
                del self._open[mark]
                self._has_passed = True
        return passed

    def _decode(self, record: LogRecord) -> Reading:
        """Decode; while the schema registry is away wait for it, as leaving a record out would be wrong."""
        while True:
            try:
                return decode(record, self._codec)
            except RegistryUnavailableError as error:
                LOGGER.warning("%s", error, extra={"action": "wait_for_registry", "follower": self._name})
                if self._closing.wait(_RETRY_SECONDS):
                    return Reading(record, None)


def _reached(positions: Positions, ends: Positions) -> bool:
    return all(positions[source] >= end for source, end in ends.items() if source in positions)
