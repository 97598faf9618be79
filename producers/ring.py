"""The ring file: fixed-size records of scalars in a memory map, which outlives the process that wrote them.

Layout (little-endian): a page with the ring's identity and two state slots, the names of series, the record slots.
What makes it safe against SIGKILL at any instruction, and against a reader that looks while it is written:

- A record's commit word, position + 1, is its last bytes; a slot counts only when it holds the position's own word.
- A name's length is written after the name; names end at a length of 0 or a wrong checksum.
- The state (how far the ring is drained) alternates between two slots, each with a generation and a checksum.

Power failure is another matter: the kernel writes the map to the disk in its own time.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from ..events.errors import TasktapeError

RECORD: Final = struct.Struct("<qddII")
"""Step, time (seconds since 1970), value, number of the series, commit word."""

SHIFT: Final = 5
VOID: Final = 0xFFFF_FFFF
"""Series of a slot that was taken and holds no point."""

_MAGIC: Final = b"TTRING1\n"
_HEAD: Final = struct.Struct("<8sIIII")
_HEAD_PAGE: Final = 4096
_STATE: Final = struct.Struct("<QQQ")
_CHECKSUM: Final = struct.Struct("<I")
_STATE_SLOTS: Final = (2048, 3072)
_NAME: Final = struct.Struct("<II")
_LAST_POSITION: Final = 0xFFFF_FFFE


class RingError(TasktapeError):
    """A file is no ring, or its head was never finished."""


class RingIdentity(NamedTuple):
    """Who writes the ring: its records become events of this session and actor, with their positions as seq."""

    session: str
    actor: str


class SeriesName(NamedTuple):
    """A series of one run of a task."""

    task: str
    run: int
    title: str
    series: str


class RingState(NamedTuple):
    """What is drained: all before `tail`. The records from there to `end` are on their way as one batch, or were."""

    generation: int
    tail: int
    end: int


class Ring:
    """One ring. Positions count records from 0; slot `position % capacity` holds them in turn.

    Writers call `take`, and write to the slot if the position is below `limit`. One drain calls `intend` and `advance`.
    A ring holds 2**32 - 2 records in its life, at the most. Once it is retired nobody takes positions from `final` on.
    """

    __slots__ = (
        "_names_end",
        "base",
        "buffer",
        "capacity",
        "final",
        "identity",
        "ids",
        "limit",
        "names",
        "path",
        "state",
        "take",
    )

    def __init__(self, buffer: mmap.mmap, path: Path | None) -> None:
        self.capacity, self.base, self.identity = _read_head(buffer)
        self.buffer = buffer
        self.path = path
        self.take: Callable[[], int] = itertools.count().__next__
        self.names: list[SeriesName] = []
        self._names_end = _HEAD_PAGE
        self._read_names()
        self.ids = {name: number for number, name in enumerate(self.names)}
        self.state = max(_read_states(buffer))
        self.limit = 0
        self.final: int | None = None

    @classmethod
    def create(
        cls,
        path: Path | None,
        identity: RingIdentity,
        *,
        capacity: int = 1 << 16,
        names_bytes: int = 508 << 10,
    ) -> Ring:
        """Make a ring with its disk space reserved; in memory alone where `path` is None.

        `capacity` is in records and a power of two. Raises `OSError` where there is no room.
        """
        base = _HEAD_PAGE + names_bytes
        size = base + (capacity << SHIFT)
        buffer = mmap.mmap(-1, size) if path is None else _new_map(path, size)
        _write_state(buffer, RingState(1, 0, 0))
        _write_head(buffer, capacity, base, identity)
        return cls(buffer, path)

    @classmethod
    def open(cls, path: Path) -> Ring:
        """Open a ring that exists. Raises `RingError` for what is none, `OSError` for what can't be read."""
        with path.open("r+b") as file:
            if os.fstat(file.fileno()).st_size < _HEAD_PAGE:
                raise RingError(f"{path} is too short to be a ring.")
            return cls(mmap.mmap(file.fileno(), 0), path)

    @property
    def mask(self) -> int:
        """Position & mask is the number of its slot."""
        return self.capacity - 1

    def put(self, position: int, step: int, time: float, value: float, series: int) -> None:
        """Write the record of a position that was taken. Raises `struct.error` for a step beyond 64 bits."""
        at = self.base + ((position & self.mask) << SHIFT)
        RECORD.pack_into(self.buffer, at, step, time, value, series, position + 1)

    def committed(self, position: int) -> bool:
        """Whether the record of this position is there."""
        at = self.base + ((position & self.mask) << SHIFT)
        return bool(RECORD.unpack_from(self.buffer, at)[-1] == position + 1)

    def allow(self, limit: int) -> None:
        """Let writers use the positions below `limit`, as far as the ring has room and commit words."""
        self.limit = min(limit, self.state.tail + self.capacity, _LAST_POSITION)

    def retire(self) -> None:
        """Let nobody write any more, but those who already hold a position below `final`."""
        self.limit = 0
        self.final = min(self.take(), self.state.tail + self.capacity, _LAST_POSITION)

    def number(self, name: SeriesName) -> int | None:
        """Number of a series; None when there is no room for another name. One thread at a time."""
        if name not in self.ids and self._append_name(json.dumps(name, ensure_ascii=False).encode()):
            self.ids[name] = len(self.names)
            self.names.append(name)
        return self.ids.get(name)

    def _append_name(self, text: bytes) -> bool:
        start = self._names_end + _NAME.size
        if start + len(text) > self.base:
            return False
        self.buffer[start : start + len(text)] = text
        checksum, length = (number.to_bytes(4, "little") for number in (zlib.crc32(text), len(text)))
        self.buffer[start - 4 : start] = checksum
        self.buffer[start - 8 : start - 4] = length
        self._names_end = start + len(text)
        return True

    def _read_names(self) -> None:
        while (start := self._names_end + _NAME.size) <= self.base:
            length, checksum = _NAME.unpack_from(self.buffer, self._names_end)
            text = self.buffer[start : min(start + length, self.base)]
            if not length or zlib.crc32(text) != checksum:
                return
            self.names.append(SeriesName(*json.loads(text)))
            self._names_end = start + length

    def intend(self, end: int) -> None:
        """Note, before a batch is sent, where it ends: whoever has to send it again sends exactly this batch."""
        self._set(self.state.tail, end)

    def advance(self) -> None:
        """Note that the batch is safe elsewhere: its slots may be used again."""
        self._set(self.state.end, self.state.end)

    def _set(self, tail: int, end: int) -> None:
        self.state = RingState(self.state.generation + 1, tail, end)
        _write_state(self.buffer, self.state)

    def remove(self) -> None:
        """Let go of the map and remove the file."""
        with contextlib.suppress(BufferError):  # a view of it is still alive: the map goes with the last one
            self.buffer.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _new_map(path: Path, size: int) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        _reserve(descriptor, size)
        return mmap.mmap(descriptor, size)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _reserve(descriptor: int, size: int) -> None:
    """Give the file its disk blocks now: writing to a map that has none ends the process when the disk is full."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.pwrite(descriptor, bytes(size), 0)


def _write_head(buffer: mmap.mmap, capacity: int, base: int, identity: RingIdentity) -> None:
    text = json.dumps(identity).encode()
    buffer[_HEAD.size : _HEAD.size + len(text)] = text
    buffer[: _HEAD.size] = _HEAD.pack(_MAGIC, capacity, base, len(text), _head_checksum(capacity, base, text))


def _head_checksum(capacity: int, base: int, text: bytes) -> int:
    return zlib.crc32(text, capacity ^ base)


def _read_head(buffer: mmap.mmap) -> tuple[int, int, RingIdentity]:
    magic, capacity, base, length, checksum = _HEAD.unpack_from(buffer)
    text = buffer[_HEAD.size : min(_HEAD.size + length, _STATE_SLOTS[0])]
    if magic != _MAGIC or checksum != _head_checksum(capacity, base, text) or not _fits(buffer, capacity, base):
        raise RingError("no ring, or one whose head was never finished.")
    return capacity, base, RingIdentity(*json.loads(text))


def _fits(buffer: mmap.mmap, capacity: int, base: int) -> bool:
    return len(buffer) == base + (capacity << SHIFT) and base >= _HEAD_PAGE and capacity.bit_count() == 1


def _write_state(buffer: mmap.mmap, state: RingState) -> None:
    at = _STATE_SLOTS[state.generation % 2]
    data = _STATE.pack(*state)
    buffer[at : at + len(data) + _CHECKSUM.size] = data + _CHECKSUM.pack(zlib.crc32(data))


def _read_states(buffer: mmap.mmap) -> list[RingState]:
    """The states that are whole, with the empty one as the last resort."""
    found = [RingState(0, 0, 0)]
    for at in _STATE_SLOTS:
        data = buffer[at : at + _STATE.size]
        if _CHECKSUM.unpack_from(buffer, at + _STATE.size)[0] == zlib.crc32(data):
            found.append(RingState(*_STATE.unpack(data)))
    return found
