"""From ring records to `ScalarsReported` events, with NumPy: millions a second, in the bytes that `ring_events` writes.

Imported only by what drains, in its own thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt

from ..events.codec import TYPE_HEADER, Codec
from ..events.report_events import ScalarsReported
from ..events.scalars import EVENT_NAME, ScalarColumns, encode_columns
from .ring import Ring
from .ring_events import MONITOR, Batch, has_more, meta_of
from .spool_file import Record

MOST_POINTS: Final = 16_384

_POINT: Final = np.dtype([("step", "<i8"), ("time", "<f8"), ("value", "<f8"), ("series", "<u4"), ("commit", "<u4")])
_CODEC: Final = Codec()

Points = npt.NDArray[np.void]


def ready_end(ring: Ring) -> int:
    """End of the next batch of a ring whose writers live: the first position whose record is not there yet."""
    there = _there(ring, _window(ring))
    return ring.state.tail + (len(there) if there.all() else int(there.argmin()))


def left_end(ring: Ring) -> int:
    """End of the next batch of a ring whose writers are dead: behind the last position whose record is there.

    The records missing before it were being written when their process was killed.
    """
    there = np.flatnonzero(_there(ring, _window(ring)))
    if len(there):
        return ring.state.tail + int(there[-1]) + 1
    return ring.state.tail + (_window(ring) if has_more(ring) else 0)


def _window(ring: Ring) -> int:
    """Most records of the next batch: up to the end of the ring's memory, where positions go on in front."""
    return min(MOST_POINTS, ring.capacity - ring.state.tail % ring.capacity)


def _there(ring: Ring, number: int) -> npt.NDArray[np.bool_]:
    """Which of the next `number` positions, from the tail on, hold their record."""
    start = ring.state.tail
    first = start % ring.capacity
    commits = _slots(ring)["commit"][first : first + number]
    return np.asarray(commits == np.arange(start + 1, start + 1 + number))


def _slots(ring: Ring) -> Points:
    return np.frombuffer(ring.buffer, _POINT, ring.capacity, ring.base)


def batch(ring: Ring) -> list[Batch]:
    """What the ring's batch on its way says: an event for each run of a task."""
    start, end = ring.state.tail, ring.state.end
    first = start % ring.capacity
    points = _slots(ring)[first : first + end - start].copy()
    positions = np.arange(start, end)
    known = (points["commit"] == positions + 1) & (points["series"] < len(ring.names))
    return [_batch(columns) for columns in _by_run(ring, points[known], positions[known])]


def _by_run(ring: Ring, points: Points, positions: npt.NDArray[np.int64]) -> Iterator[ScalarColumns]:
    used = np.flatnonzero(np.bincount(points["series"], minlength=len(ring.names))).tolist()
    ordered = sorted(used, key=lambda number: ring.names[number][:2])
    for run, numbers in groupby(ordered, key=lambda number: ring.names[number][:2]):
        chosen = list(numbers)
        mine = np.isin(points["series"], chosen) if len(chosen) < len(used) else slice(None)
        yield _columns(ring, run, sorted(chosen), points[mine], int(positions[mine][0]))


def _columns(ring: Ring, run: tuple[str, int], numbers: list[int], points: Points, seq: int) -> ScalarColumns:
    place = np.zeros(len(ring.names), np.int64)
    place[numbers] = np.arange(len(numbers))
    times = np.rint(points["time"] * 1e6).astype(np.int64)
    return ScalarColumns(
        meta=meta_of(ring, int(times[-1]), seq),
        task=run[0],
        run=run[1],
        series=tuple((ring.names[number].title, ring.names[number].series) for number in numbers),
        index=place[points["series"]],
        steps=points["step"].astype(np.int64),
        times=times,
        values=points["value"].astype(np.float64),
    )


def _batch(columns: ScalarColumns) -> Batch:
    value = _CODEC.frame(EVENT_NAME, encode_columns(columns), ScalarsReported.topic)
    record = Record(ScalarsReported.topic, columns.task, value, ((TYPE_HEADER, EVENT_NAME.encode()),))
    ours = np.array([not title.startswith(MONITOR) for title, _ in columns.series])
    steps = columns.steps[ours[columns.index]]
    return Batch(record, columns.task, int(steps.max()) if len(steps) else None)
