"""Waiting for a file to be written by any process: by inotify where the system has it, else by looking at its time."""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
from pathlib import Path
from typing import Final, Protocol

_IN_MODIFY: Final = 0x2
_LOOK_EVERY: Final = 0.012
_STILL_FRESH_NS: Final = 20_000_000


class FileWatch(Protocol):
    """Tells when a file may have been written to. Used by one thread at a time, but for `ring`."""

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; whether the file may have been written since the last call."""

    def ring(self) -> None:
        """End the wait of another thread, else the next one. Does nothing once closed."""

    def close(self) -> None:
        """Let go of all resources."""


def watch_file(path: Path) -> FileWatch:
    """Watch a file that exists."""
    try:
        return InotifyWatch(path)
    except (OSError, AttributeError):
        return TimeWatch(path)


class InotifyWatch:
    """Costs nothing while nothing happens. See inotify(7): `IN_MODIFY` events of one inode.

    Raises `OSError` when the user's instances or watches are used up, `AttributeError` where the C library has none.
    """

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = _checked(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            _checked(libc.inotify_add_watch(self._fd, os.fsencode(path), _IN_MODIFY))
            self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            os.close(self._fd)
            raise
        self._is_closed = False
        self._closing = threading.Lock()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._poll.register(self._bell, select.POLLIN)

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; whether the file was written since the last call."""
        ready = {descriptor for descriptor, _ in self._poll.poll(timeout * 1000)}
        for descriptor in ready:
            os.read(descriptor, 65536)
        return self._fd in ready

    def ring(self) -> None:
        """End the wait of another thread, else the next one."""
        with self._closing:
            if not self._is_closed:
                os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Let go of the watch."""
        with self._closing:
            self._is_closed = True
            os.close(self._fd)
            os.close(self._bell)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class TimeWatch:
    """Looks at the time of the last change, which on many systems is only exact to some milliseconds."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self._seen = 0
        self._is_rung = False

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; whether the file may have been written since the last call."""
        deadline = time.monotonic() + timeout
        while not (written := self._is_written()) and not self._is_rung and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(_LOOK_EVERY, left))
        self._is_rung = False
        return written

    def ring(self) -> None:
        """End the wait of another thread, else the next one."""
        self._is_rung = True

    def _is_written(self) -> bool:
        """Whether the time has changed; one that is fresh counts again, since a second write may have the same."""
        changed = os.fstat(self._fd).st_mtime_ns
        written = changed != self._seen
        if time.time_ns() - changed > _STILL_FRESH_NS:
            self._seen = changed
        return written

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)
