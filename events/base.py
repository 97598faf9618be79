"""What all events share: the envelope `Meta`, who stamps it, and the frozen pydantic base class."""

from __future__ import annotations

import getpass
import itertools
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_us() -> int:
    """Wall clock in microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def from_us(microseconds: int) -> datetime:
    """Aware UTC datetime of microseconds since 1970, exact to the microsecond."""
    return EPOCH + timedelta(microseconds=microseconds)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of an aware datetime."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def uuid7() -> str:
    """Time-ordered UUID of now."""
    return uuid7_of(time.time_ns() // 1_000_000, os.urandom(10))


def uuid7_of(milliseconds: int, randomness: bytes) -> str:
    """UUID version 7 of RFC 9562 section 5.7: 48 bits of milliseconds since 1970, then 10 bytes of randomness."""
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(randomness)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_task_id() -> str:
    """32 hexadecimal digits, the form of id ClearML's users know; time-ordered."""
    return uuid7().replace("-", "")


class AvroType(NamedTuple):
    """Names the Avro type of a field where it is not the usual one of its Python type."""

    name: str


Float32 = Annotated[float, AvroType("float")]
"""A number that single precision holds without loss: 4 bytes on the wire."""


class Part(BaseModel):
    """A record inside an event."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Meta(Part):
    """The envelope of every event: who said it, when, and its place in the emitter's own sequence."""

    event_id: str
    occurred_at: datetime
    actor: str
    session: str
    seq: int


class Event(Part):
    """An immutable fact. Subclasses name their `topic`; `key` decides their partition.

    For queue events the class attribute is the prefix `tasktape.queue.` and `topic_name` adds the queue.
    """

    topic: ClassVar[str]

    meta: Meta

    @property
    def key(self) -> str:
        """The key of what the event is about, which is also its partition key."""
        raise NotImplementedError

    @property
    def topic_name(self) -> str:
        """The topic this event belongs on."""
        return self.topic


class TaskEvent(Event):
    """An event about one task."""

    task: str

    @property
    def key(self) -> str:
        """The task's id."""
        return self.task


def default_actor() -> str:
    """`user@host` of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


class Stamper:
    """Stamps events: one per emitter, `seq` counts from 0 within `session` without gaps; thread-safe.

    In a forked child it goes on with a session of its own.
    """

    def __init__(
        self,
        actor: str | None = None,
        *,
        session: str | None = None,
        clock: Callable[[], int] = now_us,
        ids: Callable[[], str] = uuid7,
    ) -> None:
        self.actor = actor or default_actor()
        self.session = session or ids()
        self._clock = clock
        self._ids = ids
        self._seq = itertools.count()
        self._pid = os.getpid()

    def __call__(self) -> Meta:
        """Return the next envelope."""
        if self._pid != os.getpid():
            self.session, self._seq, self._pid = self._ids(), itertools.count(), os.getpid()
        return Meta(
            event_id=self._ids(),
            occurred_at=from_us(self._clock()),
            actor=self.actor,
            session=self.session,
            seq=next(self._seq),
        )
