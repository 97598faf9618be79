"""Rows in and out of the projection's tables, many at a time: one statement per table and batch.

DuckDB takes a millisecond for each row of an `executemany`, and ten microseconds for each when columns travel as lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..events.base import to_us
from ..events.named_sql import load_sql

if TYPE_CHECKING:
    import numpy.typing as npt
    from duckdb import DuckDBPyConnection

Row = tuple[Any, ...]

KEYS: Final[dict[str, tuple[str, ...]]] = {
    "positions": ("topic", "partition"),
    "sessions": ("topic", "partition", "session"),
    "task_states": ("id",),
    "run_states": ("task", "run"),
    "task_parameters": ("task",),
    "task_configurations": ("task",),
    "pipeline_states": ("task",),
    "step_states": ("task", "name"),
    "search_states": ("task",),
    "trial_states": ("task", "number"),
    "series": ("task", "number"),
    "outputs": ("task", "run"),
    "entry_states": ("queue", "partition", "id"),
    "judged": ("queue", "partition", "entry"),
    "limit_states": ("scope",),
    "permit_states": ("id",),
    "worker_states": ("id",),
    "scaler_states": ("name",),
    "instance_states": ("scaler", "instance"),
}
_FOLDER: Final = Path(__file__).parent


@cache
def sql(name: str) -> dict[str, str]:
    """Return the named blocks of one of this package's SQL files."""
    return load_sql(_FOLDER / f"{name}.sql")


def us(moment: datetime | None) -> int | None:
    """A moment as rows hold it."""
    return None if moment is None else to_us(moment)


class Tables:
    """Writes and reads rows as tuples in the order of a table's columns; moments are µs since 1970."""

    def __init__(self, connection: DuckDBPyConnection) -> None:
        self.connection = connection
        self._known: dict[str, list[tuple[str, str]]] = {}

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Append rows."""
        self._execute("insert", table, list(rows), self._columns(table))

    def delete(self, table: str, keys: Iterable[Row]) -> None:
        """Delete the rows with these keys (see `KEYS`)."""
        self._execute("delete", table, list(keys), self._key(table))

    def replace(self, table: str, rows: Sequence[Row]) -> None:
        """Put these rows in place of those with the same keys."""
        places = [self._place(table, column) for column, _ in self._key(table)]
        self.delete(table, {tuple(row[place] for place in places) for row in rows})
        self.insert(table, rows)

    def select(self, table: str, keys: Iterable[Row], by: tuple[str, ...] = ()) -> list[Row]:
        """Return the rows with these keys, or with these values of the columns `by`."""
        columns = [(column, kind) for column, kind in self._columns(table) if column in (by or KEYS[table])]
        found = self._execute("select", table, list(keys), columns)
        return [] if found is None else found.fetchall()

    def all(self, table: str) -> list[Row]:
        """Return all rows of a table that is small."""
        columns = ", ".join(_read(column, kind) for column, kind in self._columns(table))
        return self.connection.execute(sql("save")["all"].format(table=table, columns=columns)).fetchall()

    def insert_points(self, columns: dict[str, npt.NDArray[Any]], tasks: list[str]) -> None:
        """Append points from arrays: `task` counts in `tasks`, `number`, `step`, `time` (µs) and `value`."""
        self.connection.register("new_points", columns)
        self.connection.execute(sql("save")["insert_points"], {"tasks": tasks})
        self.connection.unregister("new_points")

    def _execute(
        self, block: str, table: str, rows: Sequence[Row], columns: Sequence[tuple[str, str]]
    ) -> DuckDBPyConnection | None:
        if not rows:
            return None
        statement = sql("save")[block].format(
            table=table,
            keys=", ".join(f'"{column}"' for column, _ in columns),
            columns=", ".join(_read(column, kind) for column, kind in self._columns(table)),
            values=", ".join(_values(number, kind) for number, (_, kind) in enumerate(columns, start=1)),
        )
        return self.connection.execute(statement, [list(column) for column in zip(*rows, strict=True)])

    def _columns(self, table: str) -> list[tuple[str, str]]:
        """Return names and types of a table's columns."""
        if table not in self._known:
            found = self.connection.execute(sql("save")["columns"].format(table=table)).fetchall()
            self._known[table] = [(column, kind) for column, kind, *_ in found]
        return self._known[table]

    def _key(self, table: str) -> list[tuple[str, str]]:
        return [(column, kind) for column, kind in self._columns(table) if column in KEYS[table]]

    def _place(self, table: str, column: str) -> int:
        return [name for name, _ in self._columns(table)].index(column)


def _values(number: int, kind: str) -> str:
    return f"make_timestamp(unnest(${number}::BIGINT[]))" if kind == "TIMESTAMP" else f"unnest(${number}::{kind}[])"


def _read(column: str, kind: str) -> str:
    return f'epoch_us("{column}")' if kind == "TIMESTAMP" else f'"{column}"'
