"""Connections to SQLite that are in the gate against forks whenever they are inside its C code."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Self

from .fork_gate import gate


class GatedCursor(sqlite3.Cursor):
    """A cursor that is in the gate whenever it is in SQLite."""

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        """Execute a statement."""
        with gate:
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Self:
        """Execute a statement with each of the parameters; they are listed before the gate."""
        listed = list(parameters)
        with gate:
            return super().executemany(sql, listed)

    def executescript(self, script: str, /) -> sqlite3.Cursor:
        """Execute all statements of a text."""
        with gate:
            return super().executescript(script)

    def fetchone(self) -> Any:
        """Return the next row."""
        with gate:
            return super().fetchone()

    def fetchmany(self, size: int | None = 1) -> list[Any]:
        """Return so many of the rows that are left: in the gate once, which takes longer than a row."""
        with gate:
            return super().fetchmany(size)

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        with gate:
            return super().fetchall()

    def __next__(self) -> Any:
        with gate:
            return super().__next__()

    def __del__(self) -> None:
        """Reset the statement here: the interpreter would do it outside the gate, with its own lock released."""
        with gate, suppress(sqlite3.Error):
            self.close()


class GatedConnection(sqlite3.Connection):
    """A connection whose cursors are `GatedCursor`s."""

    def cursor(self, factory: Callable[[sqlite3.Connection], Any] | None = None) -> Any:
        """Make a cursor."""
        return super().cursor(factory or GatedCursor)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement."""
        cursor: sqlite3.Cursor = self.cursor().execute(sql, parameters)
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        """Execute a statement with each of the parameters."""
        cursor: sqlite3.Cursor = self.cursor().executemany(sql, parameters)
        return cursor

    def executescript(self, script: str, /) -> sqlite3.Cursor:
        """Execute all statements of a text."""
        cursor: sqlite3.Cursor = self.cursor().executescript(script)
        return cursor

    def close(self) -> None:
        """Let go of the database."""
        with gate:
            super().close()


def connect(uri: str, timeout: float) -> sqlite3.Connection:
    """Open a connection in autocommit mode that any thread may use."""
    with gate:
        return sqlite3.connect(
            uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False, factory=GatedConnection
        )
