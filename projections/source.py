"""Answers from a database in this process: the named queries and the user's own SELECT, each on its own cursor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from .errors import QueryError
from .filters import COLUMN_ORDER, ORDER_FIELDS
from .tables import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from .database import Database
    from .query import Values

SQL_SECONDS: Final = 60.0


class DatabaseSource:
    """Reads a database; several threads may, beside the one that writes. `on_close` is called once by `close`."""

    def __init__(self, database: Database, on_close: Callable[[], None] | None = None) -> None:
        self._database = database
        self._on_close = on_close

    def rows(self, query: str, values: Values, order: Sequence[str] = ()) -> list[tuple[Any, ...]]:
        """Answer a named query with plain tuples."""
        with self._cursor() as cursor:
            return cursor.execute(statement(query, order), values).fetchall()

    def table(self, query: str, values: Values, order: Sequence[str] = ()) -> pa.Table:
        """Answer a named query with Arrow."""
        with self._cursor() as cursor:
            return cursor.sql(statement(query, order), params=values).to_arrow_table()

    def sql(self, query: str) -> pa.Table:
        """Answer one SELECT of the user's, within `SQL_SECONDS`; anything else raises `QueryError`."""
        check_select(query)
        with self._cursor() as cursor, _limited(cursor):
            return cursor.sql(query).to_arrow_table()

    def close(self) -> None:
        """Let go of the database."""
        if self._on_close is not None:
            self._on_close()
            self._on_close = None

    @contextmanager
    def _cursor(self) -> Iterator[DuckDBPyConnection]:
        import duckdb  # noqa: PLC0415  heavy

        cursor = self._database.cursor()
        try:
            yield cursor
        except duckdb.InterruptException as error:
            raise QueryError(f"the query took longer than {SQL_SECONDS:g} s: ask for less at a time.") from error
        except duckdb.Error as error:
            raise QueryError(str(error)) from error
        finally:
            cursor.close()


def check_select(query: str) -> None:
    """Raise `QueryError` unless the text is a single SELECT, as DuckDB's own parser reads it."""
    import duckdb  # noqa: PLC0415  heavy

    try:
        found = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    if [statement.type for statement in found] != [duckdb.StatementType.SELECT]:
        raise QueryError("only a single SELECT can be asked of a projection.")


@contextmanager
def _limited(cursor: DuckDBPyConnection) -> Iterator[None]:
    """Interrupt what takes too long; nothing is written by accident."""
    timer = threading.Timer(SQL_SECONDS, cursor.interrupt)
    timer.daemon = True
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def statement(query: str, order: Sequence[str] = ()) -> str:
    """Return a named query with its parts put in, sorted by these columns. Raises `QueryError` for unknown names."""
    text = _expanded(query)
    return text.replace("{order}", ", ".join(_sorted_by(name) for name in order))


def _sorted_by(name: str) -> str:
    column = name.removeprefix("-")
    if column not in ORDER_FIELDS and column not in COLUMN_ORDER:
        raise QueryError(f"there is no {column!r} to sort by.")
    return f'"{column}" {"DESC" if name.startswith("-") else "ASC"} NULLS LAST'


@cache
def _expanded(query: str) -> str:
    blocks = sql("queries")
    if query not in blocks:
        raise QueryError(f"there is no query {query!r}.")
    text = blocks[query]
    for part in ("matching", "sort_values"):
        text = text.replace(f"{{{part}}}", blocks[part])
    return text
