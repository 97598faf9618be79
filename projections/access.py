"""How a process gets its questions answered: by whoever holds the projection, else by holding it for that moment."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .address import Address, live_address, remove_address, write_address
from .errors import ProjectionLockedError, ProjectionUnavailableError, ProjectionWriteError
from .holding import Holding, database_path, hold, hold_in_memory, is_held, release
from .projector import OnProgress
from .query import Queries
from .source import DatabaseSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..events.settings import Settings
    from .flight import FlightSource

LOGGER: Final = logging.getLogger(__name__)
LOCK_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.02


def open_queries(
    settings: Settings, *, fresh: bool = True, on_progress: OnProgress = lambda _done, _total: None
) -> Queries:
    """Open the projection of the settings' log; with `fresh` the answers know all that was on the log at this call.

    Close it soon: where nobody serves the projection, this process holds it, and others wait. Where it can be neither
    asked nor held, it is made anew in memory, which takes as long as the log is. `on_progress` is told how far it is.

    Raises:
        LogUnavailableError: The log does not answer.
        ProjectionUnavailableError: The server that the settings name does not answer.

    """
    if settings.projection:
        from .flight import FlightSource  # noqa: PLC0415  heavy: gRPC

        return _asking(FlightSource.of_url(settings.projection), fresh=fresh)
    deadline = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < deadline:
        try:
            return _served(settings, fresh=fresh) or _answering(hold(settings), fresh, on_progress)
        except ProjectionLockedError:
            time.sleep(_PAUSE_SECONDS)
        except ProjectionWriteError as error:
            LOGGER.warning("%s. The answer is made in memory.", error, extra={"action": "projection_in_memory"})
            break
    return _answering(hold_in_memory(settings), fresh, on_progress)


@contextmanager
def serving(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: tuple[Path, Path] | None = None,
    token: str | None = None,
) -> Iterator[Address]:
    """Hold the projection, follow the log live and serve it, until the context ends; yields where.

    `port` 0 takes a free one. `tls` is certificate and key, as PEM files. Without a `token` a new one is made.

    Raises:
        ProjectionLockedError: Another process holds it.

    """
    from .flight import ProjectionServer  # noqa: PLC0415  heavy: gRPC

    path = database_path(settings)
    holding = _holding(settings)
    try:
        holding.follow()
        token = token or secrets.token_urlsafe(32)
        server = ProjectionServer(
            DatabaseSource(holding.database), holding.refresh, token, host=host, port=port, tls=tls
        )
        with server:
            address = Address(server.address, token, os.getpid())
            with _announced(path, address):
                yield address
    finally:
        holding.stop_following()
        release(holding)


def serve_projection(
    settings: Settings,
    *,
    ready: Callable[[Address], None] | None = None,
    stop: threading.Event | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: tuple[Path, Path] | None = None,
    token: str | None = None,
) -> None:
    """Do what `serving` does until `stop` is set; `ready` is called when questions can be asked."""
    with serving(settings, host=host, port=port, tls=tls, token=token) as address:
        if ready is not None:
            ready(address)
        (stop or threading.Event()).wait()


def _served(settings: Settings, *, fresh: bool) -> Queries | None:
    """Ask the process that serves the projection; None where there is none, or where this one holds it."""
    path = database_path(settings)
    address = None if is_held(path) else live_address(path)
    if address is None:
        return None
    from .flight import FlightSource  # noqa: PLC0415  heavy: gRPC

    with suppress(ProjectionUnavailableError):
        return _asking(FlightSource(address.address, address.token), fresh=fresh)
    return None


def _asking(source: FlightSource, *, fresh: bool) -> Queries:
    try:
        if fresh:
            source.refresh()
    except BaseException:
        source.close()
        raise
    return Queries(source)


def _answering(holding: Holding, fresh: bool, on_progress: OnProgress) -> Queries:
    try:
        if fresh:
            holding.refresh(on_progress)
    except BaseException:
        release(holding)
        raise
    return Queries(DatabaseSource(holding.database, on_close=lambda: release(holding)))


def _holding(settings: Settings) -> Holding:
    try:
        return hold(settings)
    except ProjectionWriteError as error:
        LOGGER.warning("%s. It is held in memory.", error, extra={"action": "projection_in_memory"})
        return hold_in_memory(settings)


@contextmanager
def _announced(path: Path, address: Address) -> Iterator[None]:
    """Tell other processes where to ask."""
    try:
        write_address(path, address)
    except OSError as error:
        LOGGER.warning("others can't find this projection: %s", error, extra={"action": "address_not_written"})
    try:
        yield
    finally:
        remove_address(path)
