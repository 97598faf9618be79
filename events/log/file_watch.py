"""Waiting for a file's time to change, whoever changes it: by inotify where the system has it, else by looking."""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
from pathlib import Path
from typing import Final, Protocol

_IN_ATTRIB: Final = 0x4
_LOOK_EVERY: Final = 0.012
_STILL_FRESH_NS: Final = 20_000_000


class FileWatch(Protocol):
    """Tells when a file may have been touched. Used by one thread at a time, but for `wake`."""

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; whether the file may have been touched since the last call."""

    def wake(self) -> None:
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
    """Costs nothing while nothing happens. See inotify(7): `IN_ATTRIB` events of one inode.

    Raises `OSError` when the user's instances or watches are used up, `AttributeError` where the C library has none.
    """

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = _checked(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            _checked(libc.inotify_add_watch(self._fd, os.fsencode(path), _IN_ATTRIB))
            self._waker = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        except OSError:
            os.close(self._fd)
            raise
        self._is_closed = False
        self._closing = threading.Lock()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._poll.register(self._waker, select.POLLIN)

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; whether the file was touched since the last call."""
        ready = {descriptor for descriptor, _ in self._poll.poll(timeout * 1000)}
        for descriptor in ready:
            os.read(descriptor, 65536)
        return self._fd in ready

    def wake(self) -> None:
        """End the wait of another thread, else the next one."""
        with self._closing:
            if not self._is_closed:
                os.eventfd_write(self._waker, 1)

    def close(self) -> None:
        """Let go of the watch."""
        with self._closing:
            self._is_closed = True
            os.close(self._fd)
            os.close(self._waker)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class TimeWatch:
    """Looks at the time of the last change, which on many systems is only exact to some milliseconds."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self._seen = 0
        self._is_woken = False

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; whether the file may have been touched since the last call."""
        deadline = time.monotonic() + timeout
        while not (touched := self._is_touched()) and not self._is_woken and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(_LOOK_EVERY, left))
        self._is_woken = False
        return touched

    def wake(self) -> None:
        """End the wait of another thread, else the next one."""
        self._is_woken = True

    def _is_touched(self) -> bool:
        """Whether the time has changed; one that is fresh counts again, since the next one may be the same."""
        changed = os.fstat(self._fd).st_mtime_ns
        touched = changed != self._seen
        if time.time_ns() - changed > _STILL_FRESH_NS:
            self._seen = changed
        return touched

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)
