"""Appending to Kafka: an idempotent producer and the thread that hands out its delivery reports."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ..errors import AppendError, RecordRefusedError, TasktapeError
from .kafka_clients import KafkaClients
from .kafka_errors import CLUSTER_FORBIDDEN, FATAL, PURGED, append_failure
from .pace import until_next
from .port import Delivery, Headers, OnDelivery, check_record
from .reports import Reports, call

_POLL: Final = 0.2
"""Seconds; confluent-kafka wakes up as often within a longer poll."""
_PURGE: Final = 1.0


class Appender:
    """The producer of one log object. Neither the broker nor its absence holds up the caller.

    `rest` is after how many seconds without records it looks what is said of it.
    """

    def __init__(self, clients: KafkaClients, rest: float) -> None:
        self._clients = clients
        self._seconds_at_rest = rest
        self._producer = clients.producer()
        self._refusals = Reports()
        self._replacing = threading.Lock()
        self._changed = threading.Condition()
        self._open = 0
        self._failure: KafkaError | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tasktape-log-kafka", daemon=True)
        self._thread.start()

    def append(
        self,
        topic: str,
        key: str | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None,
        on_delivery: OnDelivery | None,
    ) -> None:
        """Hand a record to the producer; a record without a key goes to partition 0, as `partition_of` has it."""
        wanted = 0 if partition is None and key is None else partition
        report = partial(self._report, on_delivery)
        with self._changed:
            self._open += 1
            if self._open == 1:
                self._changed.notify_all()
        try:
            check_record(topic, key, value, headers)
            self._produce(topic, key, value, headers, wanted, report)
        except TasktapeError as error:
            self._refusals.put(report, Delivery(topic, -1 if wanted is None else wanted, -1, -1, error))

    def _produce(
        self,
        topic: str,
        key: str | None,
        value: bytes | None,
        headers: Headers,
        partition: int | None,
        report: OnDelivery,
    ) -> None:
        if partition is not None and partition < 0:
            raise RecordRefusedError(f"topic {topic!r} has no partition {partition}.")
        record = {
            "value": value,
            "key": None if key is None else key.encode(),
            "partition": -1 if partition is None else partition,
            "headers": list(headers),
            "on_delivery": partial(self._delivered, topic, report),
        }
        try:
            self._try(topic, record)
        except BufferError as error:
            raise AppendError(f"not appended to {topic!r}: too many records wait for {self._clients.url}.") from error
        except KafkaException as error:
            raise append_failure(topic, error.args[0], self._clients.caller) from error

    def _try(self, topic: str, record: dict[str, Any]) -> None:
        """Produce; a producer that has failed for good is replaced once, its records are reported as failed."""
        producer = self._producer
        try:
            producer.produce(topic, **record)
        except KafkaException as error:
            if not _is_fatal(error.args[0]):
                raise
            self._replace(producer, error.args[0])
            self._producer.produce(topic, **record)

    def _replace(self, broken: Producer, error: KafkaError) -> None:
        with self._replacing:
            if self._producer is broken:
                self._producer = self._clients.producer()
                self._failure = error
                _purge(broken)

    def _report(self, on_delivery: OnDelivery | None, delivery: Delivery) -> None:
        if on_delivery is not None:
            call(on_delivery, delivery)
        with self._changed:
            self._open -= 1
            if not self._open:
                self._changed.notify_all()

    def flush(self, timeout: float | None) -> int:
        """Wait until all records are delivered or failed; return how many are open.

        The producer's own flush would compete with the thread for its reports, and then look only every 10 ms.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._open, timeout)
            return self._open

    def close(self, timeout: float) -> None:
        """Deliver within the timeout, report the rest as failed; the thread has nothing left to do, and ends."""
        if self.flush(timeout):
            self._failure = None
            self._producer.purge()
            self.flush(_PURGE)
        with self._changed:
            self._stopped.set()
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._stopped.is_set():
            producer = self._producer
            try:
                if not producer.poll(_POLL):
                    self._rest()
            except KafkaException as error:
                self._give_up(producer, error.args[0])

    def _rest(self) -> None:
        """Sleep while nothing is open: no report can come, and of what is wrong with a broker one hears in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._open or self._stopped.is_set(), until_next(self._seconds_at_rest))

    def _give_up(self, producer: Producer, error: KafkaError) -> None:
        """Report all that a producer holds that has failed for good; one fails whose user may write nothing at all."""
        if producer is self._producer:
            self._failure = error
        _purge(producer)

    def _delivered(self, topic: str, report: OnDelivery, error: KafkaError | None, message: Message[Any, Any]) -> None:
        partition = message.partition()
        partition = -1 if partition is None else partition
        if error is None:
            report(Delivery(topic, partition, message.offset() or 0, message.timestamp()[1] * 1000))
            return
        reason = self._failure if self._failure is not None and error.code() in PURGED else error
        report(Delivery(topic, partition, -1, -1, append_failure(topic, reason, self._clients.caller)))


def _is_fatal(error: KafkaError) -> bool:
    """Whether the producer does nothing any more: it has failed, or its user could write nothing when it began."""
    return error.code() in {FATAL, CLUSTER_FORBIDDEN}


def _purge(producer: Producer) -> None:
    """Give up what waits and hand out the reports that say so."""
    producer.purge()
    producer.flush(_PURGE)
