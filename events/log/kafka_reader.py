"""Following Kafka's partitions from given positions, without a group."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, Message
from confluent_kafka import TopicPartition as KafkaPartition

from ..errors import UnknownTopicError
from .kafka_clients import KafkaClients
from .kafka_errors import END_OF_PARTITION, TOPIC_FORBIDDEN, UNKNOWN_PLACE
from .kafka_topics import KafkaTopics
from .lifetime import Lifetime, PartLifetime
from .pace import until_next
from .port import Headers, LogRecord, Positions, Reader, TopicPartition

_FIRST_SLICE: Final = 0.1
"""Seconds for which a waiting reader keeps others out, and after which it heeds that it was woken: each time so many
times as many, as whoever reads something often has something to ask soon after."""
_GROWTH: Final = 4
_SLICE_OF_MAIN_THREAD: Final = 0.2
"""The same in the main thread, which handles signals in between: Ctrl-C is not to be waited for."""
_PATIENCE: Final = 0.4
_SHORTEST: Final = 0.001
"""Seconds that librdkafka can wait at the least: asked for less, it does not wait at all."""
_HEARD_OF_WITHIN: Final = 2.0


class KafkaReader(Reader):
    """A consumer whose partitions are assigned by hand. While the broker is away it waits, and goes on by itself.

    `longest_slice` is for how many seconds at once it may keep others out.
    """

    def __init__(
        self,
        clients: KafkaClients,
        topics: KafkaTopics,
        life: Lifetime,
        positions: Mapping[TopicPartition, int],
        longest_slice: float,
    ) -> None:
        self._clients = clients
        self._longest_slice = longest_slice
        self._topics = topics
        self._unseen: dict[str, float] = {}
        self._life = PartLifetime(life)
        self._positions: Positions = {}
        self._woken = False
        self._consumer = clients.consumer("tasktape-reader", **{"enable.partition.eof": True})
        self.add(positions)

    def poll(self, timeout: float = 0.0, limit: int = 1000) -> Sequence[LogRecord]:
        """Return the next records; wait up to `timeout` seconds for the first."""
        deadline = time.monotonic() + timeout
        pause = _FIRST_SLICE
        while True:
            left = deadline - time.monotonic()
            with self._life.use():
                messages = self._fetch(max(0.0, min(left, pause)), limit)
                found = [record for message in messages if (record := self._take(message)) is not None]
                if not messages and self._unseen:
                    self._look_for_topics()
            if found or self._woken or (left < _SHORTEST and not messages):
                self._woken = False
                return found
            pause = min(_GROWTH * pause, self._longest())

    def _longest(self) -> float:
        return _SLICE_OF_MAIN_THREAD if _is_main_thread() else max(_SHORTEST, until_next(self._longest_slice))

    def wake(self) -> None:
        """Have the poll that waits return after its slice; else the next one."""
        self._woken = True

    def positions(self) -> Positions:
        """Return, for each partition read, the offset of the next record."""
        with self._life.use():
            return dict(self._positions)

    def is_at_end(self) -> bool:
        """Return whether there is nothing more, as far as the broker has said with the records it sent."""
        with self._life.use():
            return all(0 <= self._end(source) <= position for source, position in self._positions.items())

    def _end(self, source: TopicPartition) -> int:
        """The high watermark as the broker sent it last; negative before it has."""
        return int(self._consumer.get_watermark_offsets(KafkaPartition(*source), cached=True)[1])

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions too, from these positions."""
        with self._life.use():
            new = {source: offset for source, offset in positions.items() if source not in self._positions}
            if new:
                self._consumer.incremental_assign([KafkaPartition(*source, offset) for source, offset in new.items()])
            self._positions.update(new)
            self._unseen.update((source.topic, time.monotonic()) for source in new)

    def close(self) -> None:
        """Stop reading and let go of the consumer."""
        if self._life.end():
            with self._life.using:
                self._consumer.close()

    def _fetch(self, timeout: float, limit: int) -> list[Message[Any, Any]]:
        """Wait for one message, then take what has arrived besides: `consume` would wait for all that it is asked for.

        `poll` would wait as well, but wake up each 200 ms meanwhile.
        """
        messages = self._consumer.consume(1, timeout)
        return messages and messages + self._consumer.consume(limit - 1, 0)

    def _take(self, message: Message[Any, Any]) -> LogRecord | None:
        """Return the record of a message; None for an end of partition, or for trouble that goes by."""
        source = TopicPartition(message.topic() or "", message.partition() or 0)
        offset = message.offset() or 0
        self._unseen.pop(source.topic, None)
        if (error := message.error()) is not None:
            self._judge(source, error, offset)
            return None
        self._positions[source] = offset + 1
        key = message.key()
        return LogRecord(
            *source,
            offset,
            message.timestamp()[1] * 1000,
            None if key is None else key.decode(errors="backslashreplace"),
            message.value(),
            _headers(message),
        )

    def _look_for_topics(self) -> None:
        """Raise `UnknownTopicError` for a topic that all brokers had the time to hear of: librdkafka waits for ever."""
        existing = self._topics.existing(_PATIENCE)
        for topic, since in list(self._unseen.items()):
            if topic in existing:
                del self._unseen[topic]
            elif existing and time.monotonic() - since > _HEARD_OF_WITHIN:
                raise UnknownTopicError(topic)

    def _judge(self, source: TopicPartition, error: KafkaError, offset: int) -> None:
        if error.code() == END_OF_PARTITION:
            self._positions[source] = max(self._positions[source], offset)
        elif error.code() in UNKNOWN_PLACE:
            raise UnknownTopicError(source.topic)
        elif error.code() == TOPIC_FORBIDDEN:
            raise self._clients.caller.not_allowed("READ", f"topic {source.topic!r}")
        elif error.fatal():
            raise self._clients.unavailable(error)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _headers(message: Message[Any, Any]) -> Headers:
    """Headers of a message; librdkafka hands them out as a list, contents as bytes or None."""
    found: Any = message.headers() or ()
    return tuple((name, content or b"") for name, content in found)
