"""The log on Apache Kafka: idempotent appends, readers without groups, and consumer groups for ownership alone."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ..topics import TopicSpec
from .kafka_appender import Appender
from .kafka_clients import KafkaClients
from .kafka_member import KafkaMember
from .kafka_reader import KafkaReader
from .kafka_topics import KafkaTopics
from .lifetime import Lifetime, close_at_exit
from .pace import BRISK, Pace
from .port import Headers, Log, Member, OnDelivery, Positions, Reader, TopicPartition

PATIENCE: Final = 10.0
"""Seconds for which a call that needs the broker waits for it."""


class KafkaLog(Log):
    """The log at these bootstrap servers (`host:port[,host:port]`).

    `properties` are librdkafka's, such as `security.protocol`. Making a log waits for nothing and never fails because a
    broker is away; calls that need its answer raise `LogUnavailableError` after `patience` seconds. Append times are
    exact to the millisecond, as Kafka keeps them. Raises `SettingsError` for properties that can't be used.
    """

    def __init__(
        self,
        servers: str,
        properties: Mapping[str, str] | None = None,
        pace: Pace = BRISK,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self._clients = KafkaClients(servers, properties or {})
        self.url = self._clients.url
        self._life = Lifetime(self.url)
        self._pace = pace
        self._patience = patience
        self._topics = KafkaTopics(self._clients, patience)
        self._appender = Appender(self._clients, pace.rest)
        self._users: weakref.WeakSet[KafkaReader | KafkaMember] = weakref.WeakSet()
        close_at_exit(self)

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Create topics that do not exist yet, with the broker's default number of replicas."""
        self._life.check()
        self._topics.create(specs)

    def topics(self) -> dict[str, TopicSpec]:
        """Return all topics by name."""
        self._life.check()
        return self._topics.describe()

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
        """Queue a record; while the broker is away it waits."""
        self._life.check()
        self._appender.append(topic, key, value, headers, partition, on_delivery)

    def flush(self, timeout: float | None = None) -> int:
        """Wait until all appended records are delivered or failed; return how many are still open."""
        self._life.check()
        return self._appender.flush(timeout)

    def end_positions(self, topics: Iterable[str]) -> Positions:
        """Return the end of every partition of these topics."""
        self._life.check()
        return self._topics.ends(topics)

    def start_positions(self, topics: Iterable[str]) -> Positions:
        """Return position 0 of every partition of these topics."""
        self._life.check()
        return dict.fromkeys(self._topics.partitions(topics), 0)

    def read(self, positions: Mapping[TopicPartition, int]) -> Reader:
        """Open a reader at these positions."""
        self._life.check()
        reader = KafkaReader(self._clients, self._topics, self._life, positions, self._pace.slice)
        self._users.add(reader)
        return reader

    def join(self, group: str, topics: Sequence[str]) -> Member:
        """Join a consumer group for these topics."""
        self._life.check()
        self._topics.partitions(topics)
        member = KafkaMember(self._clients, self._life, group, topics, self._patience, self._pace.serve)
        self._users.add(member)
        return member

    def committed(self, group: str) -> Positions:
        """Return all positions that a group has committed."""
        self._life.check()
        return self._topics.committed(group)

    def close(self, timeout: float = 10.0) -> None:
        """Deliver what is open within the timeout, then let go of all clients."""
        if self._life.end():
            self._appender.close(timeout)
            for user in list(self._users):
                user.close()
