"""Columns of scalars to Avro and back with NumPy: the same bytes fastavro writes, at millions of points per second.

Only what moves many points imports this module: it needs NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from .base import Meta, from_us, to_us
from .codec import Codec, decode_body
from .errors import DecodeError
from .report_events import ScalarsReported, Series

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Bytes: TypeAlias = npt.NDArray[np.uint8]

EVENT_NAME: Final = "ScalarsReported"
_MAX_VARINT: Final = 10
_MORE: Final = 0x80
_LOW: Final = 0x7F


@dataclass(frozen=True, slots=True)
class ScalarColumns:
    """The points of one `ScalarsReported`, as arrays of one length.

    Point i belongs to `series[index[i]]`, a pair of title and series; `steps` and `times` (µs since 1970) are the
    numbers themselves, not their differences.
    """

    meta: Meta
    task: str
    run: int
    series: tuple[tuple[str, str], ...]
    index: Ints
    steps: Ints
    times: Ints
    values: Floats

    def __len__(self) -> int:
        return len(self.values)


def read_columns(value: bytes, codec: Codec) -> ScalarColumns:
    """Columns of a record's bytes that are known to be a `ScalarsReported`; whatever schema it was written with.

    Raises `DecodeError` where the bytes are damaged, of another event, or contradict themselves.
    """
    body = codec.unframe(value)
    if body.name == EVENT_NAME and body.writer is None:
        return decode_columns(body.data)
    event = decode_body(body)
    if not isinstance(event, ScalarsReported):
        raise DecodeError(f"a {body.name} is no {EVENT_NAME}")
    return columns_of(event)


def columns_of(event: ScalarsReported) -> ScalarColumns:
    """Columns of an event. Raises `DecodeError` where its lists contradict each other."""
    return _checked(
        ScalarColumns(
            meta=event.meta,
            task=event.task,
            run=event.run,
            series=tuple((entry.title, entry.series) for entry in event.series),
            index=np.array(event.index, np.int64),
            steps=np.array(event.steps, np.int64).cumsum(),
            times=np.array(event.times, np.int64).cumsum(),
            values=np.array([*event.values32, *event.values64], np.float64),
        ),
    )


def event_of(columns: ScalarColumns) -> ScalarsReported:
    """The event that holds these columns."""
    single = fits_single(columns.values)
    values: list[float] = columns.values.tolist()
    return ScalarsReported(
        meta=columns.meta,
        task=columns.task,
        run=columns.run,
        series=[Series(title=title, series=series) for title, series in columns.series],
        index=columns.index.tolist(),
        steps=_differences(columns.steps).tolist(),
        times=_differences(columns.times).tolist(),
        values32=values if single else [],
        values64=[] if single else values,
    )


def fits_single(values: Floats) -> bool:
    """Whether single precision holds every one of these bit for bit, NaN's payload and the sign of zero included."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        back = values.astype(np.float32).astype(np.float64)
    return bool(np.array_equal(back.view(np.uint64), values.view(np.uint64)))


def _differences(numbers: Ints) -> Ints:
    """First number, then differences, modulo 2**64 as their sum is."""
    return np.diff(numbers, prepend=np.int64(0))


def encode_columns(columns: ScalarColumns) -> bytes:
    """Avro body of the `ScalarsReported` that holds these columns.

    Source: Avro specification, "Binary encoding" (zigzag varints, arrays in blocks, little-endian IEEE floats).
    """
    single = fits_single(columns.values)
    return b"".join(
        (
            _encode_meta(columns.meta),
            _encode_text(columns.task),
            _encode_long(columns.run),
            _encode_series(columns.series),
            _encode_longs(columns.index),
            _encode_longs(_differences(columns.steps)),
            _encode_longs(_differences(columns.times)),
            _encode_floats(columns.values.astype("<f4") if single else columns.values[:0]),
            _encode_floats(columns.values[:0] if single else columns.values.astype("<f8", copy=False)),
        ),
    )


def _encode_meta(meta: Meta) -> bytes:
    texts = (meta.actor, meta.session)
    return b"".join(
        (
            _encode_text(meta.event_id),
            _encode_long(to_us(meta.occurred_at)),
            *map(_encode_text, texts),
            _encode_long(meta.seq),
        ),
    )


def _encode_long(number: int) -> bytes:
    rest = (number << 1) ^ (number >> 63)
    encoded = bytearray()
    while rest > _LOW:
        encoded.append(rest & _LOW | _MORE)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def _encode_text(text: str) -> bytes:
    data = text.encode()
    return _encode_long(len(data)) + data


def _encode_series(series: tuple[tuple[str, str], ...]) -> bytes:
    items = b"".join(_encode_text(title) + _encode_text(name) for title, name in series)
    return _block(len(series), items)


def _block(count: int, items: bytes) -> bytes:
    return _encode_long(count) + items + b"\0" if count else b"\0"


def _encode_floats(values: npt.NDArray[np.floating]) -> bytes:
    return _block(len(values), values.tobytes())


def _encode_longs(numbers: Ints) -> bytes:
    return _block(len(numbers), varints(numbers).tobytes())


def varints(numbers: Ints) -> Bytes:
    """Zigzag varints of 64-bit integers, one after the other."""
    rest = (numbers.view(np.uint64) << np.uint64(1)) ^ (numbers >> np.int64(63)).view(np.uint64)
    if not len(rest) or rest.max() <= _LOW:
        return rest.astype(np.uint8)
    lengths = _lengths(rest)
    places = np.cumsum(lengths) - lengths
    encoded = np.empty(int(lengths.sum()), np.uint8)
    while len(rest):
        more = rest > _LOW
        encoded[places] = (rest & np.uint64(_LOW)).astype(np.uint8) | (more.view(np.uint8) << np.uint8(7))
        rest, places = rest[more] >> np.uint64(7), places[more] + 1
    return encoded


def _lengths(unsigned: npt.NDArray[np.uint64]) -> Ints:
    """Bytes each number takes: one per seven bits, one at the least."""
    lengths = np.ones(len(unsigned), np.int64)
    for bits in range(7, 64, 7):
        longer = unsigned >= np.uint64(1 << bits)
        if not longer.any():
            break
        lengths += longer
    return lengths


def decode_columns(data: bytes) -> ScalarColumns:
    """Columns of an Avro body. Raises `DecodeError` where it is truncated, corrupt or contradicts itself."""
    cursor = _Cursor(data)
    try:
        columns = _read_body(cursor)
    except (UnicodeDecodeError, OverflowError) as error:
        raise DecodeError(f"{EVENT_NAME}: {error}") from error
    if trailing := len(data) - cursor.at:
        raise DecodeError(f"{EVENT_NAME}: {trailing} bytes too many")
    return _checked(columns)


def _read_body(cursor: _Cursor) -> ScalarColumns:
    meta = Meta(
        event_id=cursor.text(),
        occurred_at=from_us(cursor.long()),
        actor=cursor.text(),
        session=cursor.text(),
        seq=cursor.long(),
    )
    task, run, series = cursor.text(), cursor.long(), cursor.series()
    index, steps, times = cursor.longs(), cursor.longs().cumsum(), cursor.longs().cumsum()
    values = np.concatenate((cursor.floats("<f4"), cursor.floats("<f8")))
    return ScalarColumns(meta, task, run, series, index, steps, times, values)


def _checked(columns: ScalarColumns) -> ScalarColumns:
    lengths = {len(columns.index), len(columns.steps), len(columns.times), len(columns.values)}
    if len(lengths) != 1:
        raise DecodeError(f"{EVENT_NAME}: columns of different lengths: {sorted(lengths)}")
    if len(columns) and not 0 <= columns.index.min() <= columns.index.max() < len(columns.series):
        raise DecodeError(f"{EVENT_NAME}: a point of a series that is not among its {len(columns.series)}")
    return columns


class _Cursor:
    """Reads Avro values from bytes, one after the other; `at` is the next byte's place."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._bytes: Bytes = np.frombuffer(data, np.uint8)
        self.at = 0

    def long(self) -> int:
        number = shift = 0
        while True:
            byte = self._take(1)[0]
            number |= (byte & _LOW) << shift
            shift += 7
            if byte < _MORE:
                return (number >> 1) ^ -(number & 1)
            if shift >= 7 * _MAX_VARINT:
                raise DecodeError(f"{EVENT_NAME}: a number of more than {_MAX_VARINT} bytes at {self.at}")

    def text(self) -> str:
        return self._take(self.long()).decode()

    def series(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.text(), self.text()) for count in self._blocks() for _ in range(count))

    def longs(self) -> Ints:
        blocks = [self._varints(count) for count in self._blocks()]
        return np.concatenate(blocks) if blocks else np.empty(0, np.int64)

    def floats(self, dtype: str) -> Floats:
        size = np.dtype(dtype).itemsize
        blocks = [np.frombuffer(self._take(count * size), dtype) for count in self._blocks()]
        return np.concatenate(blocks).astype(np.float64) if blocks else np.empty(0, np.float64)

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self._data):
            raise DecodeError(f"{EVENT_NAME}: {size} bytes wanted at {self.at} of {len(self._data)}")
        taken, self.at = self._data[self.at : end], end
        return taken

    def _blocks(self) -> Iterator[int]:
        """Counts of an array's blocks; a negative one is followed by the block's size in bytes."""
        while count := self.long():
            if count < 0:
                self.long()
            if abs(count) > len(self._data) - self.at:
                raise DecodeError(f"{EVENT_NAME}: {abs(count)} items in {len(self._data) - self.at} bytes")
            yield abs(count)

    def _varints(self, count: int) -> Ints:
        ends = self._ends(count)
        starts = np.concatenate(([np.int64(self.at)], ends[:-1] + 1))
        lengths = ends - starts + 1
        if lengths.max() > _MAX_VARINT:
            raise DecodeError(f"{EVENT_NAME}: a number of more than {_MAX_VARINT} bytes after {self.at}")
        self.at = int(ends[-1]) + 1
        unsigned = _gather(self._bytes, starts, lengths)
        return (unsigned >> np.uint64(1)).view(np.int64) ^ -(unsigned & np.uint64(1)).view(np.int64)

    def _ends(self, count: int) -> Ints:
        """Places of the last bytes of the next `count` varints, looked for in a window that grows."""
        window = count + count // 2 + _MAX_VARINT
        while True:
            ends = np.flatnonzero(self._bytes[self.at : self.at + window] < _MORE)
            if len(ends) >= count:
                return ends[:count].astype(np.int64, copy=False) + self.at
            if self.at + window >= len(self._data):
                raise DecodeError(f"{EVENT_NAME}: {count} numbers wanted at {self.at}, {len(ends)} are there")
            window *= 2


def _gather(source: Bytes, starts: Ints, lengths: Ints) -> npt.NDArray[np.uint64]:
    """Unsigned numbers of the varints at these places."""
    unsigned = (source[starts] & np.uint8(_LOW)).astype(np.uint64)
    left = np.flatnonzero(lengths > 1)
    for byte in range(1, int(lengths.max())):
        unsigned[left] |= (source[starts[left] + byte] & np.uint8(_LOW)).astype(np.uint64) << np.uint64(7 * byte)
        left = left[lengths[left] > byte + 1]
    return unsigned
