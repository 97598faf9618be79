"""Questions about one task read that task's rows alone: DuckDB is asked how it would answer, not how long it takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tasktape.projections.database import Database
from tasktape.projections.source import statement

TASK = "t5"
OF_ONE_TASK: dict[str, dict[str, object]] = {
    "task": {},
    "spec": {},
    "runs": {},
    "parameters": {},
    "configurations": {},
    "steps": {},
    "trials": {},
    "all_scalars": {"title": None, "series": None},
    "scalars": {"title": None, "series": None, "samples": 100},
    "last_scalars": {},
    "single_values": {},
    "plots": {"iterations": None},
    "media": {"iterations": None},
    "texts": {},
    "console_tail": {"limit": 10, "run": None},
    "console_after": {"limit": 10, "run": None, "offset": 0, "index": 0},
    "artifacts": {},
    "task_entries": {},
}


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """A projection with rows of many tasks in every table that has a column for them."""
    made = Database.in_memory("")
    columns = (
        "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND column_name IN ('task', 'id')"
    )
    tables = {name for (name,) in made.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    for table, column in made.connection.execute(columns).fetchall():
        if table in tables and (column == "task" or table == "task_states"):
            made.connection.execute(f"INSERT INTO {table} ({column}) SELECT 't' || range FROM range(5000)")
    made.connection.execute("UPDATE reports SET kind = ['plot', 'text', 'image'][1 + length(task) % 3]")
    made.connection.execute("UPDATE task_states SET created_at = make_timestamp(1), deleted = length(id) % 2 = 0")
    yield made
    made.close()


def scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "SCAN" in node.get("name", ""):
        yield node["extra_info"]
    for child in node.get("children", []):
        yield from scans(child)


@pytest.mark.parametrize("question", OF_ONE_TASK)
def test_a_question_about_one_task_reads_no_other(database: Database, question: str) -> None:
    values = {"task": TASK, **OF_ONE_TASK[question]}
    found = database.connection.execute(f"EXPLAIN (FORMAT json) {statement(question)}", values).fetchone()
    assert found is not None
    tables = [scan for plan in json.loads(found[1]) for scan in scans(plan)]
    assert tables
    assert [scan["Table"] for scan in tables if f"'{TASK}'" not in str(scan.get("Filters"))] == []
