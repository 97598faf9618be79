"""Holds the projection for the pages, and serves it to others; where another process does, asks that one."""

from __future__ import annotations

import atexit
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from ..events.log.port import lag
from ..projections import open_queries, serving
from ..projections.errors import ProjectionLockedError

if TYPE_CHECKING:
    from ..events.log import Log
    from ..events.settings import Settings
    from ..projections.query import Queries

_RETRY_SECONDS: Final = 2.0
_SETTLE_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.02


class Holder:
    """One for each dashboard process; used by all its sessions' threads. Opening the log may raise `TasktapeError`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._held = ExitStack()
        self._serving = False
        self._next_try = 0.0
        self._log: Log | None = None

    def queries(self) -> Queries:
        """Queries that know the log up to a moment ago. The caller closes them."""
        with self._lock:
            self._serve()
        return open_queries(self._settings, fresh=not self._serving)

    def behind(self) -> int:
        """How many records of the log the answers do not know yet."""
        with self._lock:
            return self._behind()

    def close(self) -> None:
        """Let go of the projection and the log."""
        with self._lock:
            self._held.close()
            self._serving, self._log = False, None
        atexit.unregister(self.close)

    def _serve(self) -> None:
        """Take the projection over as soon as nobody else holds it."""
        if self._serving or self._settings.projection or time.monotonic() < self._next_try:
            return
        self._next_try = time.monotonic() + _RETRY_SECONDS
        try:
            self._held.enter_context(serving(self._settings))
        except ProjectionLockedError:
            return
        self._serving = True
        atexit.register(self.close)  # after the log's own, so that it comes before: last registered, first called
        self._settle()

    def _settle(self) -> None:
        """Let the first answers know the whole log, if that does not take long."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while self._behind() and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)

    def _behind(self) -> int:
        log = self._log = self._log or self._held.enter_context(self._settings.open_log())
        ends = log.end_positions(topic for topic in log.topics() if topic.startswith("tasktape."))
        with open_queries(self._settings, fresh=not self._serving) as asked:
            return lag(ends, asked.positions())
