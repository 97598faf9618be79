"""When a log object may be used: until it is closed, and only in the process that opened it."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from ..errors import LogClosedError

EXIT_TIMEOUT: Final = 5.0


class _Closable(Protocol):
    def close(self, timeout: float = ...) -> None: ...


_open: weakref.WeakSet[_Closable] = weakref.WeakSet()


def close_at_exit(log: _Closable) -> None:
    """Close this log when the process ends in order, so that nothing appended is dropped in silence."""
    _open.add(log)


@atexit.register
def _close_all() -> None:
    for log in list(_open):
        log.close(EXIT_TIMEOUT)


class Lifetime:
    """The span between opening and closing, in one process."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.closed = False
        self._pid = os.getpid()

    @property
    def forked(self) -> bool:
        """Whether this is a forked child's copy."""
        return os.getpid() != self._pid

    def check(self) -> None:
        """Raise `LogClosedError` when the log must not be used any more, or not here."""
        if self.closed:
            raise LogClosedError(f"the log {self.url} is closed: open it again with `open_log`.")
        if self.forked:
            raise LogClosedError(f"the log {self.url} was opened before a fork: open one of its own in the child.")

    def end(self) -> bool:
        """Close; True for the caller that did it, False when it was closed before or belongs to the parent."""
        ends = not self.closed and not self.forked
        self.closed = True
        return ends


class PartLifetime(Lifetime):
    """The span of a reader or member: it ends with its log's, too. One thread at a time is let in by `use`."""

    def __init__(self, log: Lifetime) -> None:
        super().__init__(log.url)
        self.log = log
        self.using = threading.Lock()

    def check(self) -> None:
        """Raise `LogClosedError` when it, or its log, must not be used any more."""
        self.log.check()
        super().check()

    @contextmanager
    def use(self) -> Iterator[None]:
        """Have it for this thread alone: open, and in the right process."""
        self.check()
        with self.using:
            self.check()
            yield
