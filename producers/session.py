"""One process's way to speak and to ask: its settings, its stamp on events, its outbox, and the task it runs.

A forked child keeps session and task: the stamp and the outbox know themselves that they are in another process.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from ..events.base import Meta, Stamper
from ..events.errors import LogUnavailableError
from .outbox import Outbox

if TYPE_CHECKING:
    from pathlib import Path

    from ..events.base import Event
    from ..events.blobs import BlobStore
    from ..events.codec import Codec
    from ..events.log.port import Log
    from ..events.settings import Settings
    from ..projections.query import Queries
    from .task_init import InitMixin

SYNC_SECONDS: Final = 10.0
AWAY_SECONDS: Final = 15.0


class Session:
    """Settings, stamp and outbox of one process; the `folder` of an offline session. Thread-safe."""

    def __init__(self, settings: Settings, stamp: Stamper | None = None, *, folder: Path | None = None) -> None:
        self.settings = settings
        self.folder = folder
        self._away_until = 0.0
        self._stamp = stamp or Stamper()
        self.outbox = Outbox(settings, self._stamp)

    def stamp(self) -> Meta:
        """Envelope for the next event."""
        return self._stamp()

    @property
    def actor(self) -> str:
        """Who speaks: `user@host`."""
        return self._stamp.actor

    def emit(self, event: Event) -> None:
        """Say an event; never raises, never waits for a network."""
        self.outbox.emit(event)

    def queries(self) -> Queries:
        """Open the projection, with all that this session has said in it. The caller closes it.

        Raises:
            LogUnavailableError: The log does not answer within some seconds; for a while after that at once.

        """
        if time.monotonic() < self._away_until:
            raise LogUnavailableError(self.settings.log, f"it did not within the last {AWAY_SECONDS:g} s")
        try:
            return self._open_queries()
        except LogUnavailableError:
            self._away_until = time.monotonic() + AWAY_SECONDS
            raise

    def _open_queries(self) -> Queries:
        from ..projections import open_queries  # noqa: PLC0415  DuckDB is for those who ask

        if not self.outbox.synced(SYNC_SECONDS):
            raise LogUnavailableError(
                self.settings.log, f"it did not take what was said here within {SYNC_SECONDS:g} s"
            )
        return open_queries(self.settings, fresh=True)

    def open_log(self) -> Log:
        """Open the log for reading. The caller closes it."""
        return self.settings.open_log()

    @cached_property
    def codec(self) -> Codec:
        """The codec that the settings ask for."""
        return self.settings.codec()

    @cached_property
    def blobs(self) -> BlobStore:
        """The blob store."""
        return self.settings.blob_store()

    def close(self) -> None:
        """Deliver what is open, within the settings' `close_timeout`; what remains is in the spool."""
        self.outbox.close()


@dataclass
class Process:
    """What this process holds: at most one session and one task. `random_seed` is ClearML's default.

    `is_offline` is None until the script says; the environment decides then. `monitor_timing` is for the curves of the
    machine's load.
    """

    lock: threading.RLock = field(default_factory=threading.RLock)
    session: Session | None = None
    task: InitMixin | None = None
    random_seed: int | None = 1337
    is_offline: bool | None = None
    monitor_timing: dict[str, float] = field(default_factory=dict)

    def forked(self) -> None:
        """Go on in a forked child: a lock that another thread held would never be released there."""
        self.lock = threading.RLock()
        if self.task is not None:
            self.task.forked()


process = Process()
os.register_at_fork(after_in_child=process.forked)


def offline_session(task_id: str) -> Session:
    """A session whose log and blobs are in a folder of their own, for an offline run of a task."""
    from ..events.settings import load_settings  # noqa: PLC0415  heavy: pydantic-settings
    from .offline import offline_settings  # noqa: PLC0415  only for those who work offline

    settings = load_settings()
    folder = settings.home / "offline" / f"offline-{task_id}"
    return Session(offline_settings(settings, folder), folder=folder)


def current_session() -> Session:
    """Return this process's session; made from the settings on first use."""
    with process.lock:
        if process.session is None:
            from ..events.settings import load_settings  # noqa: PLC0415  heavy: pydantic-settings

            process.session = Session(load_settings())
        return process.session


def change_session(session: Session | None) -> None:
    """Use another session from now on (None: a new one from the settings on next use); the former is closed."""
    with process.lock:
        former, process.session = process.session, session
    if former is not None:
        former.close()
