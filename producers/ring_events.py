"""From ring records to `ScalarsReported` events: a few at a time, in plain Python, since NumPy takes 0.1 s to import.

A batch is a function of the ring's bytes from its start to its end: made again, after a crash, it is the same events
with the same session and seq. For many records, and for what is not usual, `ring_arrays` makes the very same bytes.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Iterator
from itertools import chain, groupby, pairwise
from operator import eq
from typing import Final, NamedTuple

from ..events.base import Meta, from_us, uuid7_of
from ..events.codec import encode, header
from ..events.report_events import ScalarsReported, Series
from .ring import RECORD, SHIFT, Ring
from .spool_file import Record

FEW: Final = 256
MONITOR: Final = ":monitor:"


class Batch(NamedTuple):
    """An event's record, and the last step of it that is not of the machine's own curves."""

    record: Record
    task: str
    last_step: int | None


class _Point(NamedTuple):
    position: int
    step: int
    time_us: int
    value: float
    series: int


def ready_end(ring: Ring) -> int | None:
    """End of the next batch of a ring whose writers live, or None where there are more than a few records."""
    tail = ring.state.tail
    end = min(tail + FEW, tail + ring.capacity - tail % ring.capacity)
    missing = (position for position in range(tail, end) if not ring.committed(position))
    return next(missing, None if end == tail + FEW else end)


def has_more(ring: Ring) -> bool:
    """Whether the record of any position from the tail on is there."""
    tail, capacity = ring.state.tail, ring.capacity
    lap = tail - tail % capacity
    expected = chain(range(lap + capacity + 1, tail + capacity + 1), range(tail + 1, lap + capacity + 1))
    return any(map(eq, _commits(ring), expected))


def _commits(ring: Ring) -> memoryview:
    """Commit word of each slot."""
    slots = memoryview(ring.buffer)[ring.base : ring.base + (ring.capacity << SHIFT)]
    words = RECORD.size // 4
    return slots.cast("I")[words - 1 :: words]


def batch(ring: Ring) -> list[Batch] | None:
    """What the ring's batch on its way says, an event for each run of a task; None where that is not for us."""
    if ring.state.end - ring.state.tail > FEW:
        return None
    points = list(_points(ring))
    if any(math.isnan(point.value) for point in points):  # not every Python keeps all bits of one in single precision
        return None
    return list(_by_run(ring, points))


def _points(ring: Ring) -> Iterator[_Point]:
    for position in range(ring.state.tail, ring.state.end):
        at = ring.base + ((position & ring.mask) << SHIFT)
        step, time, value, series, commit = RECORD.unpack_from(ring.buffer, at)
        if commit == position + 1 and series < len(ring.names):
            yield _Point(position, step, round(time * 1e6), value, series)


def _by_run(ring: Ring, points: list[_Point]) -> Iterator[Batch]:
    def run_of(point: _Point) -> tuple[str, int]:
        return ring.names[point.series][:2]

    for _, chosen in groupby(sorted(points, key=run_of), key=run_of):
        yield _batch(ring, list(chosen))


def _batch(ring: Ring, points: list[_Point]) -> Batch:
    event = _event(ring, points)
    ours = [point.step for point in points if not ring.names[point.series].title.startswith(MONITOR)]
    return Batch(Record(event.topic, event.task, encode(event), header(event)), event.task, max(ours, default=None))


def _event(ring: Ring, points: list[_Point]) -> ScalarsReported:
    used = sorted({point.series for point in points})
    names = [ring.names[number] for number in used]
    values = [point.value for point in points]
    single = all(map(fits_single, values))
    return ScalarsReported(
        meta=meta_of(ring, points[-1].time_us, points[0].position),
        task=names[0].task,
        run=names[0].run,
        series=[Series(title=name.title, series=name.series) for name in names],
        index=[used.index(point.series) for point in points],
        steps=_differences(point.step for point in points),
        times=_differences(point.time_us for point in points),
        values32=values if single else [],
        values64=[] if single else values,
    )


def fits_single(value: float) -> bool:
    """Whether single precision holds this number, which is not NaN, bit for bit."""
    try:
        (back,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:
        return False
    return bool(back == value)


def _differences(numbers: Iterable[int]) -> list[int]:
    """First number, then differences, in 64 bits as their sum is."""
    return [_in_64_bits(after - before) for before, after in pairwise([0, *numbers])]


def _in_64_bits(number: int) -> int:
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def meta_of(ring: Ring, time_us: int, seq: int) -> Meta:
    """Envelope that depends on nothing but the ring: `seq` is the position of the event's first record."""
    session, actor = ring.identity
    randomness = hashlib.sha256(f"{session}:{seq}".encode()).digest()[:10]
    event_id = uuid7_of(time_us // 1000, randomness)
    return Meta(event_id=event_id, occurred_at=from_us(time_us), actor=actor, session=session, seq=seq)
