"""The live table of tasks: a click on a name opens it, selected rows are compared.

Streamlit knows selected and clicked rows by their places. So the ids shown last are kept, and while rows are selected
the table goes on showing just these, in their order, though tasks change below it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pandas as pd
import streamlit as st

from ..producers.text import counted
from ..projections.query import Queries
from ..projections.rows import MetricColumn, ParameterColumn, TaskFilter
from . import navigation as to
from .columns import Task, column_name, parameter_value
from .formatting import ago, duration, one_line, status_look
from .source import queries
from .widgets import LIVE, STATUS_COLORS, STATUS_LABELS, nothing, now

Columns = Sequence[ParameterColumn | MetricColumn]

PER_PAGE: Final = 50
_SHOWN: Final = "_shown_tasks"
_ASKED: Final = "_asked_tasks"
_ROUND: Final = "_table_round"
_CLICK: Final = "task-click"


@st.fragment(run_every=LIVE)
def draw(wanted: TaskFilter, columns: Columns) -> None:
    """Draw the tasks that match, a page of them at a time."""
    _start_afresh_when_asked_anew(wanted, columns)
    shown: list[str] = st.session_state.get(_SHOWN, [])
    if click := st.session_state.get(_CLICK):
        to.open_task(shown[click["row"]])
    selected = [shown[row] for row in _selected_rows() if row < len(shown)]
    actions = st.container(horizontal=True, vertical_alignment="center")
    table = st.container()
    with queries() as asked:
        total = asked.count_tasks(wanted)
        place = _page(total)
        tasks = _frozen(asked, shown, columns) if selected else _page_of_tasks(asked, wanted, columns, place)
    st.session_state[_SHOWN] = [task["id"] for task in tasks]
    with actions:
        _actions(selected, total)
    with table:
        _table(tasks, columns)


def _start_afresh_when_asked_anew(wanted: TaskFilter, columns: Columns) -> None:
    """Another filter drops the selection: a table under another key knows nothing of it."""
    question = (wanted, tuple(columns))
    if st.session_state.get(_ASKED) != question:
        st.session_state[_ASKED] = question
        st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1


def _table_key() -> str:
    return f"tasks-{st.session_state[_ROUND]}"


def _selected_rows() -> list[int]:
    state = st.session_state.get(_table_key())
    return list(state["selection"]["rows"]) if state else []


def _page(total: int) -> int:
    pages = max(1, -(-total // PER_PAGE))
    return st.pagination(pages, key="page") if pages > 1 else 1


def _page_of_tasks(asked: Queries, wanted: TaskFilter, columns: Columns, place: int) -> list[Task]:
    page = replace(wanted, limit=PER_PAGE, offset=(place - 1) * PER_PAGE)
    return asked.task_rows(page, columns)


def _frozen(asked: Queries, ids: Sequence[str], columns: Columns) -> list[Task]:
    found: dict[str, Task] = {task["id"]: task for task in asked.task_rows(TaskFilter(ids=tuple(ids)), columns)}
    return [found[one] for one in ids if one in found]


def _actions(selected: Sequence[str], total: int) -> None:
    enough = len(selected) > 1
    label = f"Compare {len(selected)} tasks" if enough else "Compare"
    if st.button(label, icon=":material/compare_arrows:", type="primary", disabled=not enough, key="compare"):
        to.open_comparison(selected)
    if selected and st.button("Clear", type="tertiary", key="clear"):
        st.session_state[_ROUND] += 1
        st.rerun(scope="fragment")
    hint = "Select another row to compare." if selected else "Click a name to open it, select rows to compare."
    st.caption(f"{counted(total, 'task')}. {'' if enough else hint}", width="content")


def _table(tasks: Sequence[Task], columns: Columns) -> None:
    if not tasks:
        nothing("No task matches.")
        return
    moment = now()
    st.dataframe(
        frame([_row(task, columns, moment) for task in tasks]),
        hide_index=True,
        height="content",
        key=_table_key(),
        on_select="rerun",
        selection_mode="multi-row",
        placeholder="",
        column_config=_column_config(columns),
    )


def _row(task: Task, columns: Columns, moment: datetime) -> dict[str, Any]:
    ended = task["ended_at"] or moment
    runtime = duration((ended - task["started_at"]).total_seconds()) if task["started_at"] else ""
    return {
        "name": one_line(task["name"], 80) or "(no name)",
        "status": [status_look(task["status"]).label],
        "project": one_line(task["project"], 60),
        "tags": [one_line(tag, 40) for tag in task["tags"]],
        "user": one_line(task["user"], 30),
        "iteration": task["last_iteration"] if task["started_at"] else None,
        **{f"c{place}": _cell(column, task[f"c{place}"]) for place, column in enumerate(columns)},
        "runtime": runtime,
        "updated": ago(task["updated_at"], moment),
    }


def frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A frame whose columns `c0`, `c1` … are each of one type: numbers where all cells are, else text."""
    made = pd.DataFrame(rows)
    for name in made.columns[made.columns.str.match(r"c\d+$")]:
        if made[name].map(lambda cell: isinstance(cell, str)).any():
            made[name] = made[name].map(_text)
    return made


def _text(cell: object) -> str:
    """A cell among texts; pandas holds one that is empty as a number that is none."""
    is_empty = cell is None or (isinstance(cell, float) and math.isnan(cell))
    return "" if is_empty else str(cell)


def _cell(column: ParameterColumn | MetricColumn, value: Any) -> Any:
    """Numbers as numbers, all else as text."""
    if value is None or isinstance(column, MetricColumn):
        return value
    decoded = parameter_value(value)
    return decoded if isinstance(decoded, int | float) and not isinstance(decoded, bool) else one_line(str(decoded), 80)


def _column_config(columns: Columns) -> dict[str, Any]:
    config = st.column_config
    chosen = {f"c{place}": config.Column(one_line(column_name(column), 60)) for place, column in enumerate(columns)}
    return {
        "name": config.ButtonColumn("Name", type="tertiary", alignment="left", key=_CLICK, pinned=True, width=260),
        "status": config.MultiselectColumn("Status", options=STATUS_LABELS, color=STATUS_COLORS, width=110),
        "project": config.TextColumn("Project", width=150),
        "tags": config.ListColumn("Tags"),
        "user": config.TextColumn("User"),
        "iteration": config.NumberColumn("Iteration", format="localized"),
        "runtime": config.TextColumn("Runtime"),
        "updated": config.TextColumn("Updated"),
        **chosen,
    }
