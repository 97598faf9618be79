"""A record of the log once it is decoded: an event and where it lies. Columns of scalars stay columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from ..events.base import Event, Meta, to_us
from ..events.errors import DecodeError

if TYPE_CHECKING:
    from ..events.codec import Codec
    from ..events.log.port import LogRecord
    from ..events.scalars import ScalarColumns

SCALARS: Final = "ScalarsReported"
METRICS_TOPIC: Final = "tasktape.metrics"
FIRST_US: Final = to_us(datetime(1, 1, 1, tzinfo=UTC))
LAST_US: Final = to_us(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))


class Arrival(NamedTuple):
    """An event on the log; `us` is the append time in µs since 1970."""

    event: Event | ScalarColumns
    topic: str
    partition: int
    offset: int
    us: int
    record_key: str | None

    @property
    def meta(self) -> Meta:
        """The event's envelope."""
        return self.event.meta

    @property
    def at(self) -> int:
        """When it happened, by its emitter's clock: µs since 1970."""
        return to_us(self.event.meta.occurred_at)

    @property
    def type(self) -> str:
        """Name of the event's type."""
        return type(self.event).__name__ if isinstance(self.event, Event) else SCALARS

    @property
    def key(self) -> str:
        """Key of what it is about."""
        return self.event.key if isinstance(self.event, Event) else self.event.task

    @property
    def misplaced(self) -> str:
        """Why this is not the place for such an event, or nothing: elsewhere its order against others means nothing."""
        home = self.event.topic_name if isinstance(self.event, Event) else METRICS_TOPIC
        if home != self.topic:
            return f"it belongs on {home}"
        return "" if self.record_key == self.key else f"its record has the key {self.record_key!r}"


def decode(record: LogRecord, codec: Codec) -> Arrival:
    """Return what a record says. Raises `DecodeError` for a tombstone and for bytes that can't be read."""
    if record.value is None:
        raise DecodeError("a tombstone")
    place = (record.topic, record.partition, record.offset, record.timestamp, record.key)
    if codec.unframe(record.value).name == SCALARS:
        from ..events.scalars import read_columns  # noqa: PLC0415  NumPy is for those who read scalars

        return Arrival(read_columns(record.value, codec), *place)
    return Arrival(codec.decode(record.value), *place)


def clipped(us: int) -> int:
    """A moment within what a timestamp and a datetime can hold: years 1 to 9999."""
    return min(max(us, FIRST_US), LAST_US)
