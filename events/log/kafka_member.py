"""Membership in a Kafka consumer group: which partitions are ours, and the group's positions. No records pass here."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from ..errors import NotAllowedError
from .kafka_clients import KafkaClients
from .kafka_errors import FATAL, GROUP_FORBIDDEN, TOPIC_FORBIDDEN
from .lifetime import Lifetime, PartLifetime
from .pace import until_next
from .port import Member, Positions, TopicPartition

_SERVE_EVERY: Final = 0.05
_RESTS_AFTER: Final = 5.0
"""Seconds after the last change to what is owned from which on the group counts as settled."""
_SERVE_WHILE_COMMITTING: Final = 0.01
_PAUSE: Final = 0.05
_ATTEMPT: Final = 1.0
_NOT_SUPPORTED: Final = "not supported"
"""What librdkafka says, in a fatal error without another code, of a broker that does not know KIP-848."""
_FORBIDDEN: Final = "Group authorization failed"
"""What it says, in such an error, of a group that one may describe but not join."""
_NEW_PROTOCOL: Final = {"group.protocol": "consumer"}
_CLASSIC_PROTOCOL: Final = {"group.protocol": "classic", "partition.assignment.strategy": "cooperative-sticky"}


class KafkaMember(Member):
    """A member that a thread of its own keeps alive.

    Uses the group protocol of KIP-848 (`group.protocol=consumer`), or the classic one where the broker has no other.

    confluent-kafka lets one thread at a time into a consumer, and a thread that blocks in `poll` shuts the others out
    for good. So nobody blocks there: the thread serves the group's protocol at short intervals.
    """

    def __init__(
        self,
        clients: KafkaClients,
        life: Lifetime,
        group: str,
        topics: Sequence[str],
        patience: float,
        serve_at_rest_every: float,
    ) -> None:
        self._clients = clients
        self._life = PartLifetime(life)
        self._group = group
        self._topics = list(topics)
        self._patience = patience
        self._serve_at_rest_every = serve_at_rest_every
        self._owned: frozenset[TopicPartition] = frozenset()
        self._outcomes: deque[KafkaError | None] = deque()
        self._given_up = 0
        self._denial: NotAllowedError | None = None
        self._closing = threading.Event()
        self._changed_at = 0.0
        self._protocol: Mapping[str, str] = _CLASSIC_PROTOCOL if clients.wants_classic_groups else _NEW_PROTOCOL
        self._consumer = self._subscribe()
        self._thread = threading.Thread(target=self._run, name="tasktape-log-member", daemon=True)
        self._thread.start()

    def owned(self) -> frozenset[TopicPartition]:
        """Return the partitions this member owns now."""
        self._check()
        return self._owned

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit positions for the group; waits while the group is being settled."""
        self._check()
        offsets = [KafkaPartition(*source, position) for source, position in positions.items()]
        if offsets:
            self._insist(lambda deadline: self._commit(offsets, deadline))

    def committed(self, partitions: Iterable[TopicPartition]) -> Positions:
        """Return the group's committed positions."""
        self._check()
        wanted = [KafkaPartition(*source) for source in partitions]
        found: list[KafkaPartition] = []
        if wanted:
            timeout = min(_ATTEMPT, self._patience)
            self._insist(lambda _: found.extend(self._consumer.committed(wanted, timeout=timeout)))
        return {TopicPartition(at.topic, at.partition): at.offset for at in found if at.offset >= 0}

    def close(self) -> None:
        """Leave the group."""
        if self._life.end():
            self._closing.set()
            self._thread.join(self._patience)

    def _subscribe(self) -> Consumer:
        consumer = self._clients.consumer(self._group, **self._protocol, on_commit=self._committed)
        self._changed_at = time.monotonic()
        consumer.subscribe(self._topics, on_assign=self._gained, on_revoke=self._left, on_lost=self._left)
        return consumer

    def _run(self) -> None:
        while not (self._closing.wait(self._pause()) or self._life.log.closed):
            with self._life.using:
                self._serve(0)
            self._clients.rest()
        with self._life.using:
            self._consumer.close()

    def _pause(self) -> float:
        """Seconds until the group's protocol is served again: few while partitions are being shared out."""
        is_settled = time.monotonic() - self._changed_at > _RESTS_AFTER
        return until_next(self._serve_at_rest_every) if is_settled else _SERVE_EVERY

    def _serve(self, timeout: float) -> None:
        """Serve the group's protocol. No record ever comes, since the partitions are paused."""
        message = self._consumer.poll(timeout)
        error = message.error() if message is not None else None
        if error is None:
            return
        if error.code() == GROUP_FORBIDDEN or _FORBIDDEN in error.str():
            self._denial = self._clients.caller.not_allowed("READ", f"group {self._group!r}")
        elif error.code() == TOPIC_FORBIDDEN:
            self._denial = self._clients.caller.not_allowed("READ", f"topic {' or '.join(map(repr, self._topics))}")
        if error.code() == FATAL:
            self._join_anew(_CLASSIC_PROTOCOL if _NOT_SUPPORTED in error.str() else self._protocol)

    def _join_anew(self, protocol: Mapping[str, str]) -> None:
        """Replace a consumer that has failed for good, be it because the broker does not speak its protocol."""
        self._consumer.close()
        self._owned = frozenset()
        self._protocol = protocol
        self._consumer = self._subscribe()

    def _gained(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        """Hold partitions without reading them."""
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)
        self._owned |= _sources(partitions)
        self._changed_at = time.monotonic()
        self._denial = None

    def _left(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._owned -= _sources(partitions)
        self._changed_at = time.monotonic()
        consumer.incremental_unassign(partitions)

    def _commit(self, offsets: list[KafkaPartition], deadline: float) -> None:
        """Commit and wait for the outcome until the deadline; librdkafka's own waiting has no end."""
        self._consumer.commit(offsets=offsets, asynchronous=True)
        while len(self._outcomes) <= self._given_up:
            if time.monotonic() > deadline:
                self._given_up += 1
                raise self._clients.unavailable()
            self._serve(_SERVE_WHILE_COMMITTING)
        while self._given_up:
            self._outcomes.popleft()
            self._given_up -= 1
        if (error := self._outcomes.popleft()) is not None:
            raise KafkaException(error)

    def _committed(self, error: KafkaError | None, partitions: list[KafkaPartition]) -> None:
        """Note the outcome of a commit; they come in the order of the commits."""
        self._outcomes.append(error or next((at.error for at in partitions if at.error), None))

    def _insist(self, ask: Callable[[float], None]) -> None:
        """Ask again until the group is settled or patience is at its end."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with self._life.use():
                    self._serve(0)
                    self._check()
                    return ask(deadline)
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise self._clients.unavailable(error) from error
                time.sleep(_PAUSE)

    def _check(self) -> None:
        """Raise where the member is closed, or the access rules keep it out of its group."""
        self._life.check()
        if self._denial is not None:
            raise self._denial


def _sources(partitions: Iterable[KafkaPartition]) -> frozenset[TopicPartition]:
    return frozenset(TopicPartition(at.topic, at.partition) for at in partitions)
