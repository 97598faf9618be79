"""A controller's hold on the log: what it and its children have said, and its own decisions, written and read back.

A decision counts once it has been read back. A log that is away is waited for, however long: the children go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from ...events.base import TaskEvent
from ...events.errors import DecodeError, LogUnavailableError, NotAllowedError
from ...events.log.past import past
from ...events.log.port import Log, LogRecord, Positions, Reader, TopicPartition, partition_of
from ...events.task_events import TasksEvent
from ...events.topics import TOPICS
from ...events.wire import read_event
from ..queue_desk import deliver
from ..warn import LOGGER

if TYPE_CHECKING:
    from ...events.base import Event
    from ..session import Session

TOPIC: Final = TasksEvent.topic
_RETRY_SECONDS: Final = 1.0
T = TypeVar("T")


class Channel:
    """Reads topics of tasks for the controller `task`, and appends for it. One thread reads, any may append.

    It yields what `tasktape.tasks` holds about that task or one of its `children`, and other `topics` about those.
    Close it.
    """

    def __init__(self, session: Session, task: str, children: Container[str], topics: Sequence[str] = ()) -> None:
        self.task = task
        self._topics = [TOPIC, *topics]
        self._codec = session.codec
        self._children = children
        self._reader: Reader | None = None
        self.log: Log = session.open_log()
        self.log.create_topics(TOPICS)
        self._positions: Positions = self.log.end_positions(self._topics)
        partitions = sum(source.topic == TOPIC for source in self._positions)
        self._own = TopicPartition(TOPIC, partition_of(task, partitions))
        self._read_up_to = 0

    @property
    def horizon(self) -> list[int]:
        """From where on in each partition what comes is read."""
        return [self._positions[source] for source in sorted(self._positions)]

    def history(self) -> Iterator[TasksEvent]:
        """Yield what was said about the controller's task up to now."""
        end = self._positions[self._own]
        for record in past(self.log, {self._own: end}):
            if record.key == self.task:
                yield from (event for event in self._decoded(record) if isinstance(event, TasksEvent))
        self._read_up_to = end

    def go_back(self, horizon: Sequence[int]) -> Positions:
        """Read on from a horizon of an earlier run; returns where everything ended when this was called."""
        ends = dict(self._positions)
        sources = sorted(self._positions)
        self._positions = {source: min(at, ends[source]) for source, at in zip(sources, horizon, strict=True)}
        return ends

    def ends(self) -> Positions:
        """Where everything ends now."""
        return patient(lambda: self.log.end_positions(self._topics))

    def is_beyond(self, ends: Positions) -> bool:
        """Whether all before these positions has been read."""
        return all(self._positions[source] >= end for source, end in ends.items())

    def poll(self, timeout: float) -> list[TaskEvent]:
        """Return what was said since; wait up to `timeout` seconds for it."""
        try:
            if self._reader is None:
                self._reader = self.log.read(self._positions)
            records = self._reader.poll(timeout)
            self._positions = self._reader.positions()
        except NotAllowedError:
            raise
        except LogUnavailableError as error:
            self._stop_reading()
            _wait(error)
            return []
        return [event for record in records if self._is_news(record) for event in self._decoded(record)]

    def append(self, events: Sequence[Event]) -> None:
        """Bring events to the log, the first of them first; returns when they are there.

        Raises:
            RecordRefusedError: The log will never take one.

        """
        while events:
            try:
                return deliver(self.log, self._codec, events)
            except NotAllowedError:
                raise
            except LogUnavailableError as error:
                _wait(error)
        return None

    def close(self) -> None:
        """Stop reading and let go of the log."""
        self._stop_reading()
        self.log.close()

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _is_news(self, record: LogRecord) -> bool:
        if record.key == self.task and record.topic == TOPIC:
            return record.source != self._own or record.offset >= self._read_up_to
        return record.key is not None and record.key != self.task and record.key in self._children

    def _decoded(self, record: LogRecord) -> Iterator[TaskEvent]:
        try:
            event = read_event(record, codec=self._codec)
        except DecodeError:
            return
        if isinstance(event, TaskEvent):
            yield event


def patient(ask: Callable[[], T]) -> T:
    """Ask until the log answers, however long it is away."""
    while True:
        try:
            return ask()
        except NotAllowedError:
            raise
        except LogUnavailableError as error:
            _wait(error)


def _wait(error: LogUnavailableError) -> None:
    LOGGER.warning("%s The controller waits for it.", error, extra={"action": "wait_for_log"})
    time.sleep(_RETRY_SECONDS)
