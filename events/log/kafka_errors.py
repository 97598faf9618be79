"""What librdkafka's error codes mean to us."""
# ruff: noqa: SLF001  the codes of librdkafka itself, as opposed to the broker's, are public and begin with an underscore

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from confluent_kafka import KafkaError

from ..errors import (
    AppendError,
    NotAllowedError,
    RecordNotAllowedError,
    RecordRefusedError,
    TasktapeError,
    UnknownTopicError,
)

FATAL: Final = KafkaError._FATAL
END_OF_PARTITION: Final = KafkaError._PARTITION_EOF
TOPIC_EXISTS: Final = KafkaError.TOPIC_ALREADY_EXISTS
TOPIC_FORBIDDEN: Final = KafkaError.TOPIC_AUTHORIZATION_FAILED
GROUP_FORBIDDEN: Final = KafkaError.GROUP_AUTHORIZATION_FAILED
CLUSTER_FORBIDDEN: Final = KafkaError.CLUSTER_AUTHORIZATION_FAILED
FORBIDDEN: Final = {TOPIC_FORBIDDEN, GROUP_FORBIDDEN, CLUSTER_FORBIDDEN}
UNKNOWN_TOPIC: Final = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}
UNKNOWN_PLACE: Final = UNKNOWN_TOPIC | {KafkaError._UNKNOWN_PARTITION}

NO_ANSWER: Final = KafkaError._TIMED_OUT
ALL_DOWN: Final = KafkaError._ALL_BROKERS_DOWN
UNRESOLVED: Final = KafkaError._RESOLVE
REFUSES_CLIENT: Final = {KafkaError._AUTHENTICATION, KafkaError._SSL}
"""A broker was reached, and waiting changes nothing: names, passwords, mechanisms or certificates are wrong."""

PURGED: Final = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}
_REFUSED: Final = {
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_RECORD,
    KafkaError.POLICY_VIOLATION,
}


class Caller(NamedTuple):
    """Who asks whom, as errors name them."""

    url: str
    principal: str

    def not_allowed(self, operation: str, resource: str) -> NotAllowedError:
        """Return the error that the access rules forbid something."""
        return NotAllowedError(*self, operation, resource)


def principal_of(properties: Mapping[str, str]) -> str:
    """Kafka's name for whoever has these properties, as far as a client knows it: a certificate's is the broker's."""
    protocol = properties.get("security.protocol", "plaintext").lower()
    if protocol.startswith("sasl"):
        name = properties.get("sasl.username") or properties.get("sasl.kerberos.principal")
        return f"User:{name}" if name else "This client's user"
    return "This client's certificate" if protocol == "ssl" else "User:ANONYMOUS"


def append_failure(topic: str, error: KafkaError, caller: Caller) -> TasktapeError:
    """Return our error for a record that was not delivered."""
    if error.code() in FORBIDDEN:
        return RecordNotAllowedError(*caller, "WRITE", f"topic {topic!r}")
    if error.code() in UNKNOWN_TOPIC:
        return UnknownTopicError(topic)
    if error.code() in _REFUSED:
        return RecordRefusedError(f"topic {topic!r} does not take the record: {error.str()}.")
    if error.code() in PURGED:
        return AppendError(f"not known to be appended to {topic!r}: the log was closed before Kafka confirmed it.")
    return AppendError(f"not appended to {topic!r}: {error.str()}.")
