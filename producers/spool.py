"""The spool: records on their way to the log, in files that outlive the process; in memory only while the disk is full.

Records leave from the front when the log has acknowledged them, and a file goes when all of its records have left. On
disk nothing is bounded: an outage may last as long as there is room. In memory there are 64 MiB at the most, then the
spool refuses.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Final

from .spool_file import Record, SpoolError, SpoolFile, frame, unframe
from .warn import forget, warn_once

FILE_BYTES: Final = 8 << 20
MEMORY_BYTES: Final = 64 << 20
_FRAME_HEAD: Final = 8


class Receipt:
    """What the sender of a record holds: `safe` once the record is in a file or on the log."""

    __slots__ = ("safe",)

    def __init__(self, *, safe: bool = False) -> None:
        self.safe = safe


class Spool:
    """A queue of records. `folder` gives where files go, None while there is no such place. Thread-safe.

    `file_bytes` is when the next file is begun, `memory_bytes` what may wait in memory.
    """

    def __init__(
        self,
        folder: Callable[[], Path | None],
        *,
        file_bytes: int = FILE_BYTES,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._folder = folder
        self._file_bytes = file_bytes
        self._memory_bytes = memory_bytes
        self._lock = threading.RLock()
        self._files: deque[SpoolFile] = deque()
        self._numbers = count(1)
        self._memory: deque[tuple[bytes, Receipt]] = deque()
        self._in_memory = 0

    @classmethod
    def open(cls, folder: Path) -> Spool:
        """Open what another process left in this folder."""
        spool = cls(lambda: folder)
        for path in sorted(folder.glob("*.spool")):
            try:
                spool._files.append(SpoolFile.open(path))
            except SpoolError:  # killed before its head was written: there is nothing in it
                path.unlink(missing_ok=True)
        last = max((int(file.path.stem) for file in spool._files), default=0)
        spool._numbers = count(last + 1)
        return spool

    def append(self, record: Record) -> Receipt | None:
        """Take a record at the end; None where neither disk nor memory has room."""
        data = frame(record)
        with self._lock:
            if self.settle() and self._write(data):
                return Receipt(safe=True)
            if self._in_memory + len(data) > self._memory_bytes:
                return None
            receipt = Receipt()
            self._memory.append((data, receipt))
            self._in_memory += len(data)
            return receipt

    def settle(self) -> bool:
        """Move what is in memory to the disk; False while there is no room."""
        with self._lock:
            while self._memory:
                if not self._write(self._memory[0][0]):
                    return False
                self._forget_first()
            return True

    def _write(self, data: bytes) -> bool:
        try:
            self._last_file().append(data)
        except OSError as error:
            _warn(error)
            return False
        forget("spool_in_memory")
        return True

    def _last_file(self) -> SpoolFile:
        if not self._files or self._files[-1].end >= self._file_bytes:
            folder = self._folder()
            if folder is None:
                raise OSError(errno.EROFS, "there is no folder that can be written")
            self._files.append(SpoolFile.create(folder / f"{next(self._numbers):08}.spool"))
        return self._files[-1]

    def _forget_first(self) -> None:
        data, receipt = self._memory.popleft()
        self._in_memory -= len(data)
        receipt.safe = True

    def front(self, most: int, most_bytes: int) -> list[Record]:
        """The first records, up to `most` of them and about `most_bytes`; they stay until they are acknowledged."""
        found: list[Record] = []
        with self._lock:
            for record in islice(self._records(), most):
                found.append(record)
                most_bytes -= len(record.value or b"")
                if most_bytes <= 0:
                    break
        return found

    def _records(self) -> Iterator[Record]:
        for file in self._files:
            yield from file.records()
        for data, _ in self._memory:
            yield unframe(data[_FRAME_HEAD:])

    def acknowledge(self, number: int) -> None:
        """Let go of the first `number` records: they are on the log."""
        with self._lock:
            for file in self._files:
                number -= file.acknowledge(number)
            self._remove_done()
            for _ in range(number):
                self._forget_first()

    def _remove_done(self) -> None:
        """Remove the files whose records have all left; the last one stays until it is worth a new file."""
        while self._files and self._files[0].front == self._files[0].end:
            if len(self._files) == 1 and self._files[0].end < self._file_bytes // 8:
                return
            self._files.popleft().remove()

    def __bool__(self) -> bool:
        """Whether a record waits."""
        with self._lock:
            return bool(self._memory) or any(file.front < file.end for file in self._files)

    def waiting(self) -> tuple[int, int]:
        """How many records wait in files, and how many in memory alone."""
        with self._lock:
            return sum(1 for file in self._files for _ in file.records()), len(self._memory)

    def close(self) -> None:
        """Let go of all files; they stay on the disk."""
        with self._lock:
            while self._files:
                self._files.popleft().close()


def _warn(error: OSError) -> None:
    warn_once(
        "spool_in_memory",
        f"the spool can't be written ({error.strerror or error}): up to {MEMORY_BYTES >> 20} MiB of events wait in "
        "memory until it can, or until the log takes them. Free some disk space, or set TASKTAPE_HOME to another disk.",
    )
