"""Kafka's topics: creating and describing them, their partitions, where these end and how far groups have come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import ConfigResource, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from ..errors import LogSettingsError, TopicMismatchError, UnknownTopicError
from ..topics import TopicSpec
from .kafka_clients import ROOM_FOR_FRAMING, KafkaClients
from .kafka_errors import FORBIDDEN, NO_ANSWER, TOPIC_EXISTS
from .port import MAX_RECORD_BYTES, Positions, TopicPartition

_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_ATTEMPT: Final = 3.0
_MOMENT: Final = 0.1
"""Share of the patience after which wrong settings, which show at once, are looked for."""
_FOR_EVER: Final = "-1"

T = TypeVar("T")


class KafkaTopics:
    """What one log object knows of the cluster's topics. All of it asks the broker, for at most `patience` seconds."""

    def __init__(self, clients: KafkaClients, patience: float) -> None:
        self._clients = clients
        self._patience = patience
        self._counting = threading.Lock()
        self._counts: dict[str, int] = {}

    def create(self, specs: Iterable[TopicSpec]) -> None:
        """Create topics that do not exist yet and wait until their partitions have leaders."""
        wanted = {spec.name: spec for spec in specs}
        self._check_counts(wanted)
        missing = [spec for name, spec in wanted.items() if name not in self._counts]
        if missing:
            futures = self._clients.admin.create_topics(
                [_new_topic(spec) for spec in missing], request_timeout=self._patience
            )
            for name, future in futures.items():
                self._result(future, "see or CREATE", name, ignore={TOPIC_EXISTS})
            self._wait_for_leaders({spec.name for spec in missing})
            self._check_counts(wanted)

    def describe(self) -> dict[str, TopicSpec]:
        """Return all topics by name, Kafka's own left out."""
        counts = self._load_counts()
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in counts]
        futures = self._clients.admin.describe_configs(resources, request_timeout=self._patience) if resources else {}
        configs = {
            resource.name: self._result(future, "DESCRIBE_CONFIGS", resource.name)
            for resource, future in futures.items()
        }
        return {name: _spec(name, count, configs[name]) for name, count in sorted(counts.items())}

    def partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        """Return the partitions of these topics; their number never changes, so the broker is asked once."""
        names = list(topics)
        if any(name not in self._counts for name in names):
            self._load_counts()
        for name in names:
            if name not in self._counts:
                raise UnknownTopicError(name)
        return [TopicPartition(name, number) for name in names for number in range(self._counts[name])]

    def existing(self, timeout: float) -> set[str]:
        """Return the names of all topics; none when no broker answers within `timeout` seconds."""
        try:
            return set(self._clients.admin.list_topics(timeout=timeout).topics)
        except KafkaException:
            return set()

    def ends(self, topics: Iterable[str]) -> Positions:
        """Return the high watermarks."""
        partitions = self.partitions(topics)
        return self._insist(lambda: self._ask_for_ends(partitions), _named(source.topic for source in partitions))

    def _ask_for_ends(self, partitions: list[TopicPartition]) -> Positions:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {KafkaPartition(*source): latest for source in partitions}
        timeout = min(_ATTEMPT, self._patience)
        futures = self._clients.admin.list_offsets(asked, request_timeout=timeout) if asked else {}
        return {TopicPartition(at.topic, at.partition): _end(future) for at, future in futures.items()}

    def committed(self, group: str) -> Positions:
        """Return all positions that a group has committed."""
        return self._insist(lambda: self._ask_for_committed(group), f"group {group!r}")

    def _ask_for_committed(self, group: str) -> Positions:
        wanted = [ConsumerGroupTopicPartitions(group)]
        (future,) = self._clients.admin.list_consumer_group_offsets(
            wanted, request_timeout=min(_ATTEMPT, self._patience)
        ).values()
        found = future.result().topic_partitions or ()
        return {TopicPartition(at.topic, at.partition): at.offset for at in found if at.offset >= 0}

    def _insist(self, ask: Callable[[], T], resource: str) -> T:
        """Ask again, while leaders change and connections break, until patience is at its end.

        librdkafka asks the leaders it remembers, and takes a broker's "not leader" as the answer: so look them up anew.
        """
        deadline = time.monotonic() + self._patience
        pause = _PAUSE
        while True:
            try:
                return ask()
            except KafkaException as error:
                if time.monotonic() > deadline or error.args[0].code() in FORBIDDEN:
                    raise self._failure(error, "DESCRIBE", resource) from error
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                self._metadata()

    def _result(self, future: Any, operation: str, topic: str, ignore: frozenset[int] | set[int] = frozenset()) -> Any:
        try:
            return future.result()
        except KafkaException as error:
            if error.args[0].code() in ignore:
                return None
            raise self._failure(error, operation, _named([topic])) from error

    def _failure(self, error: KafkaException, operation: str, resource: str) -> Exception:
        if error.args[0].code() in FORBIDDEN:
            return self._clients.caller.not_allowed(operation, resource)
        return self._unavailable(error)

    def _unavailable(self, error: KafkaException) -> Exception:
        self._clients.admin.poll(0)
        return self._clients.unavailable(error)

    def _check_counts(self, wanted: dict[str, TopicSpec]) -> None:
        counts = self._load_counts()
        for spec in wanted.values():
            if counts.get(spec.name, spec.partitions) != spec.partitions:
                raise TopicMismatchError(spec.name, counts[spec.name], spec.partitions)

    def _load_counts(self) -> dict[str, int]:
        topics = self._metadata().topics.values()
        counts = {topic.topic: len(topic.partitions) for topic in topics if not topic.topic.startswith("__")}
        with self._counting:
            self._counts |= counts
        return counts

    def _metadata(self) -> Any:
        """Ask for all topics: first for a moment only, after which wrong settings have shown."""
        failures = []
        for share in (_MOMENT, 1 - _MOMENT):
            try:
                return self._clients.admin.list_topics(timeout=share * self._patience)
            except KafkaException as error:
                failures.append(self._unavailable(error))
            if isinstance(failures[-1], LogSettingsError):
                break
        raise failures[-1]

    def _wait_for_leaders(self, names: set[str]) -> None:
        deadline = time.monotonic() + self._patience
        while not self._have_leaders(names):
            if time.monotonic() > deadline:
                raise self._clients.unavailable()
            time.sleep(_PAUSE)

    def _have_leaders(self, names: set[str]) -> bool:
        topics = self._metadata().topics
        partitions = [part for name in names & topics.keys() for part in topics[name].partitions.values()]
        return names <= topics.keys() and bool(partitions) and all(part.leader >= 0 for part in partitions)


def _end(future: Any) -> int:
    """Where a partition ends. Where its leader did not answer, librdkafka reports a negative offset and no error."""
    offset: int = future.result().offset
    if offset < 0:
        raise KafkaException(KafkaError(NO_ANSWER, "a partition's leader did not answer"))
    return offset


def _new_topic(spec: TopicSpec) -> NewTopic:
    policies = ["compact"] * (spec.compact_after_ms is not None)
    if spec.retention_ms is not None or not policies:
        policies.append("delete")
    config = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_RECORD_BYTES + ROOM_FOR_FRAMING),
        "cleanup.policy": ",".join(policies),
        "retention.ms": _FOR_EVER if spec.retention_ms is None else str(spec.retention_ms),
    }
    if spec.compact_after_ms is not None:
        config["min.compaction.lag.ms"] = str(spec.compact_after_ms)
    return NewTopic(spec.name, spec.partitions, -1, config=config)


def _spec(name: str, partitions: int, config: Any) -> TopicSpec:
    policies = config["cleanup.policy"].value
    retention = config["retention.ms"].value
    keeps = "delete" not in policies or retention == _FOR_EVER
    compacts = "compact" in policies
    return TopicSpec(
        name,
        partitions,
        None if keeps else int(retention),
        int(config["min.compaction.lag.ms"].value) if compacts else None,
    )


def _named(topics: Iterable[str]) -> str:
    return f"topic {' or '.join(sorted(map(repr, set(topics))))}"
