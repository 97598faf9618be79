"""Folders that are expensive to make, shared by all agents of a machine, within limits.

An entry is made where it will stay (programs in an environment hold its path) and counts only once its completion is
noted: one whose maker died is made anew. Whoever makes or removes an entry holds its lock alone, whoever uses it shares
the lock for as long. Locks are the system's, so they end with the process that held them, however it ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_COMPLETE: Final = "tasktape-complete.json"
_LOOK_SECONDS: Final = 0.05
_GIGABYTE: Final = 1_000_000_000
_NOW: Final = fcntl.LOCK_NB


@dataclass(frozen=True)
class Limits:
    """How many entries a cache may hold, and how large they may be together; those in use may exceed that."""

    count: int = 50
    gigabytes: float = 50.0

    def exceeded_by(self, entries: list[Entry]) -> bool:
        """Whether these are too many, or too much."""
        return len(entries) > self.count or sum(entry.size for entry in entries) > self.gigabytes * _GIGABYTE


@dataclass(frozen=True)
class Entry:
    """A complete entry: when it was last taken into use (ns since 1970), and its size in bytes."""

    folder: Path
    used_at: int
    size: int


class Held:
    """An entry that can't be removed until it is released."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock

    def release(self) -> None:
        """Let go of the entry, once."""
        os.close(self._lock)


class EnvironmentCache:
    """The entries below `root`."""

    def __init__(self, root: Path, limits: Limits | None = None) -> None:
        self._root = root
        self._limits = limits or Limits()

    def take(self, key: str, make: Callable[[Path], None], check: Callable[[], None]) -> Held:
        """Hold the entry of this name; `make` fills its folder if it isn't there, and then the oldest make room.

        `check` is called while somebody else makes it, and raises to give up.
        """
        folder = self._root / key
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        while (lock := self._enter(folder, make)) is None:
            check()
            time.sleep(_LOOK_SECONDS)
        os.utime(folder / _COMPLETE)
        return Held(folder, lock)

    def _enter(self, folder: Path, make: Callable[[Path], None]) -> int | None:
        """Share the entry's lock, once it is made if nobody is at it; None: somebody else has it alone for now.

        What is complete is never waited for alone: whoever uses it may do so for days.
        """
        if not is_complete(folder) and (alone := _try(folder, fcntl.LOCK_EX)) is not None:
            self._make(folder, alone, make)
        lock = _try(folder, fcntl.LOCK_SH)
        if lock is None or is_complete(folder):
            return lock
        os.close(lock)
        return None

    def _make(self, folder: Path, lock: int, make: Callable[[Path], None]) -> None:
        try:
            if is_complete(folder):
                return
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            _note_completion(folder)
            self._make_room()
        finally:
            os.close(lock)

    def _make_room(self) -> None:
        """Remove what has been unused for longest, unless another process does so at this moment."""
        with _at_once(self._root / "cleaning") as may:
            if not may:
                return
            for folder in list(self._root.iterdir()):
                if folder.is_dir() and not is_complete(folder):
                    _remove(folder)
            entries = sorted(self._entries(), key=lambda entry: entry.used_at)
            for entry in list(entries):
                if self._limits.exceeded_by(entries) and _remove(entry.folder):
                    entries.remove(entry)

    def _entries(self) -> Iterator[Entry]:
        for note in self._root.glob(f"*/{_COMPLETE}"):
            with contextlib.suppress(OSError, ValueError):
                yield Entry(note.parent, note.stat().st_mtime_ns, int(json.loads(note.read_bytes())["bytes"]))


def is_complete(folder: Path) -> bool:
    """Whether an entry was made to its end."""
    return (folder / _COMPLETE).exists()


def _remove(folder: Path) -> bool:
    """Remove an entry that nobody makes or uses; its note goes first, and its lock last."""
    with _at_once(folder) as may:
        if may:
            (folder / _COMPLETE).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            _lock_of(folder).unlink(missing_ok=True)
    return may


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


@contextlib.contextmanager
def _at_once(folder: Path) -> Iterator[bool]:
    """Lock an entry alone if nobody has it; tells whether that went well."""
    lock = _try(folder, fcntl.LOCK_EX)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def _try(folder: Path, kind: int) -> int | None:
    """A lock on the entry, or None: somebody has it, or has just removed the file that was locked."""
    path = _lock_of(folder)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, kind | _NOW)
        if os.fstat(lock).st_ino == path.stat().st_ino:
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass  # that is what None says
    os.close(lock)
    return None


def _note_completion(folder: Path) -> None:
    """Write the note so that it is there whole, after all else, or not at all."""
    note = folder / _COMPLETE
    incoming = note.with_suffix(".incoming")
    with incoming.open("w") as file:
        json.dump({"bytes": _size(folder)}, file)
        file.flush()
        os.fsync(file.fileno())
    incoming.rename(note)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))
