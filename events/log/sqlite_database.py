"""The embedded log's file: creating it, connecting to it, and transactions that never say "database is locked"."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from ..errors import LogUnavailableError
from ..named_sql import load_sql, statements
from .fork_gate import gate
from .sqlite_gated import connect

SQL: Final = load_sql(Path(__file__).with_name("sqlite.sql"))
VERSION: Final = 1
OLDEST_SQLITE: Final = (3, 37, 0)
OFFSET_BITS: Final = 40
PATIENCE: Final = 30.0
ROOM: Final = 1 << 20
"""Bytes that SQLite needs on the disk to get anything done, at the most."""

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_creating = threading.Lock()


def _forget_lock() -> None:
    """Go on in a forked child: a lock that another thread held would never be released there."""
    global _creating  # noqa: PLW0603  one lock for the process
    _creating = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


class BusyError(Exception):
    """Other processes kept the write lock for longer than we were ready to wait."""


class Database:
    """One SQLite file, and an empty one beside it, the bell, whose time changes with each append.

    Connections are in autocommit mode and may pass from thread to thread.
    Raises `LogUnavailableError` when the file can't be made, opened or understood.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bell = path.with_name(f"{path.name}-bell")
        self.url = f"sqlite://{path}"
        self._inode = 0
        with _creating:
            self._create()

    def _create(self) -> None:
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            raise self.unavailable(f"it needs SQLite 3.37, this Python has {sqlite3.sqlite_version}")
        try:
            _make_private(self.path)
            self._inode = self.path.stat().st_ino
            with self.session() as connection:
                if (found := _lay_out(connection)) != VERSION:
                    raise self.unavailable(f"its format is {found}, this version knows {VERSION}: upgrade tasktape")
        except OSError as error:
            raise self.unavailable(f"{error.filename or self.path}: {error.strerror}") from error

    def unavailable(self, reason: str) -> LogUnavailableError:
        """Return the error that this database can't be used."""
        return LogUnavailableError(self.url, reason)

    def connect(self) -> sqlite3.Connection:
        """Open a connection to read with."""
        uri = f"{self.path.as_uri()}?mode=rw"
        with self.errors():
            connection = connect(uri, PATIENCE)
            connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def connect_to_write(self) -> sqlite3.Connection:
        """Open a connection for `transaction` alone, which does its own waiting.

        What is committed survives the death of any process; the last commits may go with the machine's power.
        """
        connection = self.connect()
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    @contextmanager
    def session(self) -> Iterator[sqlite3.Connection]:
        """Open a connection to write with for a while."""
        with closing(self.connect_to_write()) as connection, self.errors():
            yield connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what SQLite raises, and a lock that is never free, into `LogUnavailableError`."""
        try:
            yield
        except BusyError as error:
            raise self.unavailable("another process keeps it locked") from error
        except sqlite3.Error as error:
            raise self.unavailable(f"{error}{self._shortage()}") from error

    def _shortage(self) -> str:
        """What SQLite does not say of a full disk, on which even reading needs a little room."""
        with suppress(OSError):
            if shutil.disk_usage(self.path.parent).free < ROOM:
                return f" (its disk is full: free some space at {self.path.parent})"
        return ""

    def hang_bell(self) -> Path:
        """Return the bell's path, for who is about to listen; made anew where somebody has removed it."""
        try:
            _make_private(self.bell)
        except OSError as error:
            raise self.unavailable(f"{error.filename or self.bell}: {error.strerror}") from error
        return self.bell

    def ring(self) -> None:
        """Wake everybody who waits for records, once they are committed. Who finds no bell looks now and then."""
        with suppress(OSError):
            os.utime(self.bell)

    def check_file(self) -> None:
        """Raise `LogUnavailableError` when the file was removed or replaced since it was opened."""
        with suppress(OSError):
            if self.path.stat().st_ino == self._inode:
                return
        raise self.unavailable("its file was removed or replaced while it was open; start this process anew")


class Queries:
    """One connection for short reads of any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._using = threading.Lock()
        self._connection = database.connect()

    def rows(self, name: str, *values: str) -> list[tuple[Any, ...]]:
        """Return the rows of a named query."""
        with self._using, self._database.errors():
            return self._connection.execute(SQL[name], values).fetchall()

    def close(self) -> None:
        """Let go of the connection."""
        with self._using:
            self._connection.close()


def _make_private(path: Path) -> None:
    """Create the file for its user alone. Never reopened here: closing it would drop SQLite's own locks on it."""
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _lay_out(connection: sqlite3.Connection) -> int:
    """Create the tables where there are none and return the format; others who do it at once wait."""
    deadline = time.monotonic() + PATIENCE
    if found := int(_insist(connection, "PRAGMA user_version", deadline)):
        return found
    _insist(connection, "PRAGMA auto_vacuum = INCREMENTAL", deadline)
    _insist(connection, "PRAGMA journal_mode = WAL", deadline)
    with transaction(connection, deadline):
        if not _insist(connection, "PRAGMA user_version", deadline):
            for statement in statements(SQL["schema"]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
    return VERSION


@contextmanager
def transaction(connection: sqlite3.Connection, deadline: float | None = None) -> Iterator[None]:
    """Run a write transaction. Waits for the write lock until `deadline` (monotonic), then raises `BusyError`."""
    with ExitStack() as inside:
        _insist(connection, "BEGIN IMMEDIATE", time.monotonic() + PATIENCE if deadline is None else deadline, inside)
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _insist(connection: sqlite3.Connection, statement: str, deadline: float, inside: ExitStack | None = None) -> Any:
    """Execute a statement that needs a lock, again and again after short random waits; return its first value.

    Once it has the lock, the thread stays in the fork gate as long as `inside` is open.

    SQLite's own busy handler waits longer the longer it has waited: with 20 busy writers some waited 1.6 s for it, and
    60 ms for this.
    """
    while True:
        try:
            with ExitStack() as attempt:
                attempt.enter_context(gate)
                row = connection.execute(statement).fetchone()
                if inside is not None:
                    inside.push(attempt.pop_all())
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _BUSY:
                raise
        else:
            return row and row[0]
        if time.monotonic() > deadline:
            raise BusyError
        time.sleep(random.uniform(0.0002, 0.003))  # noqa: S311  spreads writers, hides nothing
