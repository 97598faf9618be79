"""Keeps forks out of SQLite: a child that is forked while another thread is inside its C code can never use it again.

SQLite has locks of its own for memory and files. One that is held at the moment of a fork stays held in the child, the
write lock of a transaction of the parent's among them. Our threads import modules in the gate too: one that is half
imported at the moment of a fork stays so in the child.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, Self

PATIENCE: Final = 5.0
"""Seconds that a fork waits for other threads at the most: it is the user's, and must not hang on ours."""


class ForkGate:
    """Threads enter it to use SQLite, as often as they like; a fork waits until all are out, and lets nobody in."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, as in a forked child: nobody else is there."""
        self._changed = threading.Condition()
        self._inside = 0
        self._forking = 0
        self._mine = threading.local()

    def __enter__(self) -> Self:
        depth = getattr(self._mine, "depth", 0)
        if not depth:
            self._come_in()
        self._mine.depth = depth + 1
        return self

    def __exit__(self, *exc: object) -> None:
        self._mine.depth -= 1
        if not self._mine.depth:
            self._go_out()

    def _come_in(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._forking in {0, threading.get_ident()})
            self._inside += 1

    def _go_out(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in, and wait until all are out."""
        with self._changed:
            self._forking = threading.get_ident()
            self._changed.wait_for(lambda: not self._inside, PATIENCE)

    def open(self) -> None:
        """Let everybody in again."""
        with self._changed:
            self._forking = 0
            self._changed.notify_all()


gate: Final = ForkGate()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=gate.close, after_in_parent=gate.open, after_in_child=gate.reset)


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
