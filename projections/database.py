"""The DuckDB database that holds the projection of one log: opened, checked, and rebuilt when it does not fit.

What lies in it can always be had from the log again: a database of another version, of another log, or a damaged one is
dropped without a question.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .errors import ProjectionLockedError, ProjectionWriteError
from .tables import Tables, sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

FOLD_VERSION: Final = 1
"""To be raised when a fold makes other rows of the same events, so that databases made before are rebuilt."""

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": False,
    "python_enable_replacements": False,
    "autoinstall_known_extensions": False,
}


class Database:
    """An open projection. One thread writes; readers of this process take cursors of their own."""

    def __init__(self, connection: DuckDBPyConnection, path: Path | None) -> None:
        self.path = path
        self.connection = connection
        self._reader = connection.cursor()
        self._reading = threading.Lock()
        self.tables = Tables(connection)

    @classmethod
    def open(cls, path: Path, log_url: str) -> Database:
        """Open the database of this log's projection, made anew where there is none that fits.

        Raises:
            ProjectionLockedError: Another process holds it.
            ProjectionWriteError: File or folder can't be written.

        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            connection = _fitting(path, log_url)
            if connection is None:
                _remove(path)
                connection = _made(_connect(path), log_url)
                path.chmod(0o600)
        except OSError as error:
            raise ProjectionWriteError(str(path), str(error)) from error
        return cls(connection, path)

    @classmethod
    def in_memory(cls, log_url: str) -> Database:
        """Make a database that lives as long as this object."""
        return cls(_made(_connect(None), log_url), None)

    @contextmanager
    def transaction(self) -> Iterator[Tables]:
        """Write in one transaction. Raises `ProjectionWriteError` where the disk is full or fails."""
        import duckdb  # noqa: PLC0415  heavy

        self.connection.execute("BEGIN")
        try:
            yield self.tables
            self.connection.execute("COMMIT")
        except BaseException as error:
            with suppress(duckdb.Error):
                self.connection.execute("ROLLBACK")
            if isinstance(error, duckdb.Error):
                raise ProjectionWriteError(str(self.path), str(error)) from error
            raise

    def cursor(self) -> DuckDBPyConnection:
        """Return a connection for reading, for the calling thread alone; to be closed."""
        with self._reading:
            return self._reader.cursor()

    def renewed(self, log_url: str) -> Database:
        """Close it and return an empty one in its place."""
        self.close()
        if self.path is None:
            return Database.in_memory(log_url)
        _remove(self.path)
        return Database.open(self.path, log_url)

    def close(self) -> None:
        """Let go of the file."""
        self._reader.close()
        self.connection.close()


class _DamagedError(Exception):
    """The file is no database, or was made by another DuckDB."""


def _connect(path: Path | None) -> DuckDBPyConnection:
    import duckdb  # noqa: PLC0415  heavy

    try:
        return duckdb.connect(path or ":memory:", config=_CONFIG)
    except duckdb.Error as error:
        if "Could not set lock" in str(error):
            raise ProjectionLockedError(str(path)) from None
        if "Cannot open file" in str(error):
            raise OSError(str(error)) from error
        raise _DamagedError from error


def _fitting(path: Path, log_url: str) -> DuckDBPyConnection | None:
    """Open what lies there; None where that is no projection of this log that can be understood."""
    import duckdb  # noqa: PLC0415  heavy

    if not path.exists():
        return None
    try:
        connection = _connect(path)
    except _DamagedError:
        return None
    with suppress(duckdb.Error):  # without that table it is no projection, and is made anew
        if connection.execute("SELECT version, log FROM meta").fetchone() == (version(), _name(log_url)):
            return connection
    connection.close()
    return None


def _remove(path: Path) -> None:
    for file in (path, path.with_name(path.name + ".wal")):
        file.unlink(missing_ok=True)


@cache
def version() -> str:
    """Return what a database must have been made with to be understood."""
    return hashlib.sha256(f"{FOLD_VERSION} {sql('schema')}".encode()).hexdigest()[:16]


def _made(connection: DuckDBPyConnection, log_url: str) -> DuckDBPyConnection:
    import duckdb  # noqa: PLC0415  heavy

    try:
        connection.execute("BEGIN")
        for block in sql("schema").values():
            connection.execute(block)
        connection.execute("INSERT INTO meta VALUES ($1, $2)", [version(), _name(log_url)])
        connection.execute("COMMIT")
    except duckdb.Error as error:
        connection.close()
        raise OSError(str(error)) from error
    return connection


def _name(log_url: str) -> str:
    """Tell logs apart without keeping their URLs."""
    return hashlib.sha256(log_url.encode()).hexdigest()[:16]
