"""Where events meet the log: one function appends an event, one reads it back."""

from __future__ import annotations

from . import codec as codec_module
from .base import Event
from .codec import Codec
from .errors import DecodeError
from .log.port import Log, LogRecord, OnDelivery


def append_event(
    log: Log,
    event: Event,
    *,
    codec: Codec,
    on_delivery: OnDelivery | None = None,
    partition: int | None = None,
) -> None:
    """Append an event to its topic under its key, in the background as `Log.append` does.

    Raises `EncodeError` where the event does not fit its schema.
    """
    log.append(
        event.topic_name,
        event.key,
        codec.encode(event),
        headers=codec_module.header(event),
        partition=partition,
        on_delivery=on_delivery,
    )


def read_event(record: LogRecord, *, codec: Codec) -> Event:
    """Event of a record. Raises `DecodeError` for a tombstone and for bytes that can't be read."""
    if record.value is None:
        raise DecodeError(f"the record at {record.topic}/{record.partition}/{record.offset} is a tombstone")
    return codec.decode(record.value)
