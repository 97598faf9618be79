"""A projection held by this process: its database, the log it comes from, and how it is kept up to date.

DuckDB gives a file to one process. Within it, whoever opens the same projection shares one holding.
"""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..events.log.open import sqlite_path
from .database import Database
from .follower import Follower
from .projector import OnProgress, Projector, ends

if TYPE_CHECKING:
    from ..events.log.port import Log
    from ..events.settings import Settings

SILENCE_SECONDS: Final = 30.0


class Holding:
    """A database that is brought up to date on request, or all the time. Its methods may be called from any thread."""

    def __init__(self, settings: Settings, log: Log, database: Database) -> None:
        self.database = database
        self.users = 0
        self.pid = os.getpid()
        self._settings = settings
        self._log = log
        self._codec = settings.codec()
        self._lock = threading.Lock()
        self._projector: Projector | None = None
        self._follower: Follower | None = None

    @classmethod
    def open(cls, settings: Settings, path: Path | None) -> Holding:
        """Open the projection in this file, in memory without one.

        Raises:
            ProjectionLockedError: Another process holds the file.
            ProjectionWriteError: The file can't be written.
            LogUnavailableError: The log does not answer.

        """
        log = settings.open_log()
        try:
            database = Database.open(path, settings.log) if path else Database.in_memory(settings.log)
            holding = cls(settings, log, database)
            if holding._new_projector().contradicted():
                holding.database = database.renewed(settings.log)
        except BaseException:
            log.close()
            raise
        return holding

    def refresh(self, on_progress: OnProgress = lambda _done, _total: None) -> None:
        """Bring the database up to where the log ends now.

        Raises:
            ProjectionBehindError: Nothing came from the log for `SILENCE_SECONDS`.
            ProjectionWriteError: The disk is full, or fails.

        """
        with self._lock:
            follower = self._follower
            if follower is None:
                self._projector = self._projector or self._new_projector()
                self._projector.catch_up(timeout=SILENCE_SECONDS, on_progress=on_progress)
                return
        follower.wait(ends(self._log), SILENCE_SECONDS)

    def follow(self) -> None:
        """Keep the database up to date from now on."""
        with self._lock:
            self._drop_projector()
            self._follower = self._follower or Follower(self._new_projector)

    def stop_following(self) -> None:
        """Bring the database up to date on request only, again."""
        with self._lock:
            follower, self._follower = self._follower, None
        if follower is not None:
            follower.stop()

    def close(self) -> None:
        """Let go of database and log."""
        self.stop_following()
        with self._lock:
            self._drop_projector()
            self.database.close()
            self._log.close()

    def _new_projector(self) -> Projector:
        return Projector(self._log, self.database, self._codec, lease=self._settings.claim_lease)

    def _drop_projector(self) -> None:
        if self._projector is not None:
            self._projector.close()
            self._projector = None


def database_path(settings: Settings) -> Path:
    """File of the projection of these settings' log: one for the home's own log, one for each other log."""
    scheme, _, rest = settings.log.partition("://")
    if scheme == "sqlite" and sqlite_path(rest) == settings.home / "log.db":
        return settings.home / "projection.duckdb"
    return settings.home / f"projection-{hashlib.sha256(settings.log.encode()).hexdigest()[:8]}.duckdb"


_lock = threading.Lock()
_held: dict[Path, Holding] = {}


def hold(settings: Settings) -> Holding:
    """Take part in this process's holding of the projection; raises as `Holding.open`. To be given to `release`."""
    path = database_path(settings)
    with _lock:
        holding = _held.get(path)
        if holding is None or holding.pid != os.getpid():
            holding = _held[path] = Holding.open(settings, path)
        holding.users += 1
        return holding


def hold_in_memory(settings: Settings) -> Holding:
    """Return a holding of the caller's own, empty, without a file. To be given to `release`."""
    holding = Holding.open(settings, None)
    holding.users = 1
    return holding


def is_held(path: Path) -> bool:
    """Whether this process holds the projection in this file."""
    with _lock:
        holding = _held.get(path)
        return holding is not None and holding.pid == os.getpid()


def release(holding: Holding) -> None:
    """Take part no longer; the last one to leave closes it."""
    with _lock:
        holding.users -= 1
        if holding.users > 0:
            return
        for path in [path for path, held in _held.items() if held is holding]:
            del _held[path]
        holding.close()
