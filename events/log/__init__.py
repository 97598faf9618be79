"""The message log: one port, and the logs behind it, chosen by URL."""

from .open import open_log
from .port import (
    MAX_RECORD_BYTES,
    Delivery,
    Headers,
    Log,
    LogRecord,
    Member,
    OnDelivery,
    Positions,
    Reader,
    TopicPartition,
    partition_of,
)

__all__ = [
    "MAX_RECORD_BYTES",
    "Delivery",
    "Headers",
    "Log",
    "LogRecord",
    "Member",
    "OnDelivery",
    "Positions",
    "Reader",
    "TopicPartition",
    "open_log",
    "partition_of",
]
