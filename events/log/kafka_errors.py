"""What librdkafka's error codes mean to us."""
# ruff: noqa: SLF001  the codes of librdkafka itself, as opposed to the broker's, are public and begin with an underscore

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError

from ..errors import AppendError, RecordRefusedError, TasktapeError, UnknownTopicError

FATAL: Final = KafkaError._FATAL
END_OF_PARTITION: Final = KafkaError._PARTITION_EOF
TOPIC_EXISTS: Final = KafkaError.TOPIC_ALREADY_EXISTS
FORBIDDEN: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
}
UNKNOWN_TOPIC: Final = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}
UNKNOWN_PLACE: Final = UNKNOWN_TOPIC | {KafkaError._UNKNOWN_PARTITION}

_PURGED: Final = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}
_REFUSED: Final = FORBIDDEN | {
    KafkaError._UNKNOWN_PARTITION,
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_RECORD,
    KafkaError.POLICY_VIOLATION,
}


def append_failure(topic: str, error: KafkaError) -> TasktapeError:
    """Return our error for a record that was not delivered."""
    if error.code() in UNKNOWN_TOPIC:
        return UnknownTopicError(topic)
    if error.code() in _REFUSED:
        return RecordRefusedError(f"topic {topic!r} does not take the record: {error.str()}.")
    if error.code() in _PURGED:
        return AppendError(f"not known to be appended to {topic!r}: the log was closed before Kafka confirmed it.")
    return AppendError(f"not appended to {topic!r}: {error.str()}.")
