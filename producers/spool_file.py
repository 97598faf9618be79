"""One file of the spool: records behind their lengths and checksums, and how many the log has acknowledged.

A torn end, left by a process killed while it wrote, fails its checksum and was never promised to anybody.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ..events.errors import TasktapeError
from ..events.log.port import Headers

_MAGIC: Final = b"TTSPOOL1"
_ACKNOWLEDGED: Final = struct.Struct("<QI")
_ACKNOWLEDGED_AT: Final = (8, 24)
_HEAD: Final = 40
_FRAME: Final = struct.Struct("<II")
_LENGTH: Final = struct.Struct("<I")
_NONE: Final = 0xFFFF_FFFF


class SpoolError(TasktapeError):
    """A file is no spool file."""


class Record(NamedTuple):
    """A record on its way to the log."""

    topic: str
    key: str | None
    value: bytes | None
    headers: Headers = ()


def frame(record: Record) -> bytes:
    """A record as it lies in a file: its length, its checksum, its fields behind their lengths."""
    fields: list[bytes | None] = [record.topic.encode(), None if record.key is None else record.key.encode()]
    fields.append(record.value)
    for name, content in record.headers:
        fields += [name.encode(), content]
    data = b"".join(_LENGTH.pack(_NONE) if f is None else _LENGTH.pack(len(f)) + f for f in fields)
    return _FRAME.pack(len(data), zlib.crc32(data)) + data


def unframe(data: bytes) -> Record:
    """The record of a frame's data, without the frame's head."""
    topic, key, value, *rest = _fields(data)
    headers = tuple((_text(name), content or b"") for name, content in zip(rest[::2], rest[1::2], strict=True))
    return Record(_text(topic), None if key is None else key.decode(), value, headers)


def _text(field: bytes | None) -> str:
    return (field or b"").decode()


def _fields(data: bytes) -> Iterator[bytes | None]:
    at = 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if length == _NONE:
            yield None
        else:
            yield data[at : at + length]
            at += length


class SpoolFile:
    """Records in a file, from `front` (the first that is not acknowledged) to `end`."""

    def __init__(self, path: Path, descriptor: int, front: int, end: int) -> None:
        self.path = path
        self.front = front
        self.end = end
        self._descriptor = descriptor
        self._turn = 0

    @classmethod
    def create(cls, path: Path) -> SpoolFile:
        """Make a file. Raises `OSError` where that is impossible."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        file = cls(path, descriptor, _HEAD, 0)
        try:
            file.append(_MAGIC.ljust(_HEAD, b"\0"))
        except OSError:
            file.remove()
            raise
        return file

    @classmethod
    def open(cls, path: Path) -> SpoolFile:
        """Open a file that exists, and cut off what is torn at its end. Raises `SpoolError` where it is none."""
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        head = os.pread(descriptor, _HEAD, 0)
        if len(head) < _HEAD or not head.startswith(_MAGIC):
            os.close(descriptor)
            raise SpoolError(f"{path} is no spool file.")
        file = cls(path, descriptor, _acknowledged(head), os.fstat(descriptor).st_size)
        file.end = max((end for end, _ in file._frames()), default=file.front)
        os.ftruncate(descriptor, file.end)
        return file

    def append(self, data: bytes) -> None:
        """Write a frame. Raises `OSError` where there is no room for the whole of it; then nothing was written."""
        try:
            self._write(data)
        except OSError:
            os.ftruncate(self._descriptor, self.end)
            raise
        self.end = os.lseek(self._descriptor, 0, os.SEEK_END)

    def _write(self, data: bytes) -> None:
        if (written := os.write(self._descriptor, data)) < len(data):
            raise OSError(errno.ENOSPC, f"room for {written} of {len(data)} bytes")

    def records(self) -> Iterator[Record]:
        """The records that are not acknowledged."""
        return (unframe(data) for _, data in self._frames())

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        """Data of each whole frame from the front on, with the place after it."""
        at = self.front
        while at + _FRAME.size <= self.end:
            length, checksum = _FRAME.unpack(os.pread(self._descriptor, _FRAME.size, at))
            data = os.pread(self._descriptor, length, at + _FRAME.size)
            if len(data) < length or zlib.crc32(data) != checksum:
                return
            at += _FRAME.size + length
            yield at, data

    def acknowledge(self, most: int) -> int:
        """Let go of the first records, `most` at the most; return how many."""
        let_go = 0
        while let_go < most and self.front < self.end:
            (length,) = _LENGTH.unpack(os.pread(self._descriptor, _LENGTH.size, self.front))
            self.front += _FRAME.size + length
            let_go += 1
        if let_go:
            self._note_front()
        return let_go

    def _note_front(self) -> None:
        """Note in one of two places in turn, with a checksum, so that one of them is whole at any moment."""
        self._turn = 1 - self._turn
        offset = self.front.to_bytes(8, "little")
        note = _ACKNOWLEDGED.pack(self.front, zlib.crc32(offset))
        with contextlib.suppress(OSError), self.path.open("r+b", buffering=0) as file:  # the other one only appends
            os.pwrite(file.fileno(), note, _ACKNOWLEDGED_AT[self._turn])

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
        self.close()


def _acknowledged(head: bytes) -> int:
    fronts = [_HEAD]
    for at in _ACKNOWLEDGED_AT:
        front, checksum = _ACKNOWLEDGED.unpack_from(head, at)
        if zlib.crc32(front.to_bytes(8, "little")) == checksum:
            fronts.append(front)
    return max(fronts)
