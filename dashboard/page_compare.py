"""Tasks side by side: overlaid scalars, values, and the parameters in which they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import pandas as pd
import pyarrow as pa
import streamlit as st

from ..projections.rows import LastScalar, TaskFilter, TaskRow
from . import navigation as to
from .charts import PALETTE, compared
from .columns import shown_parameter
from .formatting import markdown, number, one_line, status_look
from .source import queries
from .tab_scalars import SAMPLES, charts, chosen_titles, controls
from .widgets import LIVE, nothing

_MOST: Final = 20
_DIFFERENT: Final = "background-color: #d9822b26"
_BEST: Final = "font-weight: 700"
_ACROSS: Final = 4

Summary = Literal["last", "min", "max"]


def draw() -> None:
    """Draw the comparison of the tasks that the address names."""
    st.title("Compare", anchor=False)
    ids = tuple(dict.fromkeys(filter(None, st.query_params.get("compare", "").split(","))))[:_MOST]
    tasks = _tasks(ids)
    if not tasks:
        nothing("Select two or more tasks in the table of tasks to compare them here.")
        to.link(to.TASKS, "All tasks", icon=":material/list:")
        return
    st.fragment(_heads, run_every=LIVE)(ids)
    scalars, values, parameters = st.tabs(
        ["Scalars", "Values", "Parameters"], key=to.TAB, on_change="rerun", bind="query-params"
    )
    for tab, part in ((scalars, _scalars), (values, _values), (parameters, _parameters)):
        if tab.open:
            with tab:
                st.fragment(part, run_every=LIVE if _any_runs(tasks) else None)(ids)


def _tasks(ids: Sequence[str]) -> list[TaskRow]:
    """The tasks in the order given."""
    if not ids:
        return []
    with queries() as asked:
        found = {task.id: task for task in asked.tasks(TaskFilter(ids=tuple(ids)))}
    return [found[one] for one in ids if one in found]


def _any_runs(tasks: Sequence[TaskRow]) -> bool:
    return any(task.status in {"queued", "in_progress"} for task in tasks)


def labels(tasks: Sequence[TaskRow]) -> list[str]:
    """Names that tell the tasks apart: the end of the id is added where names are equal."""
    names = [one_line(task.name, 40) or "(no name)" for task in tasks]
    return [
        name if names.count(name) == 1 else f"{name} {task.id[-6:]}" for name, task in zip(names, tasks, strict=True)
    ]


def _heads(ids: Sequence[str]) -> None:
    tasks = _tasks(ids)
    for start in range(0, len(tasks), _ACROSS):
        row = list(zip(tasks, labels(tasks), PALETTE * 2, strict=False))[start : start + _ACROSS]
        for column, (task, label, _) in zip(st.columns(_ACROSS), row, strict=False):
            with column.container(border=True):
                to.link(to.TASK, f"**{markdown(label)}**", {"task": task.id})
                look = status_look(task.status)
                with st.container(horizontal=True, gap="small"):
                    st.badge(look.label, color=look.color, icon=look.icon)
                    st.caption(f"iteration {number(task.last_iteration)}", width="content")


def _scalars(ids: Sequence[str]) -> None:
    tasks = _tasks(ids)
    with queries() as asked:
        tables = [asked.scalars(task.id, SAMPLES) for task in tasks]
    everything = pa.concat_tables(tables)
    if not everything.num_rows:
        nothing("None of these tasks has reported scalars.")
        return
    view = controls("compare")
    named = list(zip(labels(tasks), tables, strict=True))
    drawn = [(title, compared(named, title, view.x_axis)) for title in chosen_titles(everything, "compare")]
    charts(drawn, view, "compare")


def _values(ids: Sequence[str]) -> None:
    tasks = _tasks(ids)
    summary: Summary = (
        st.segmented_control(
            "Value",
            ("last", "min", "max"),
            default="last",
            required=True,
            key="compare-value",
            label_visibility="collapsed",
        )
        or "last"
    )
    with queries() as asked:
        columns = {
            label: {**_summaries(asked.last_scalars(task.id), summary), **asked.single_values(task.id)}
            for task, label in zip(tasks, labels(tasks), strict=True)
        }
    frame = pd.DataFrame(columns)
    if frame.empty:
        nothing("None of these tasks has reported values.")
        return
    styled = frame.style.format(_value, na_rep="—").highlight_max(axis=1, props=_BEST)
    st.dataframe(styled, key="compare-values", height="content")
    st.caption("The largest value of each row is bold.")


def _value(value: object) -> str:
    return number(value if isinstance(value, float) else None)


def _summaries(scalars: Sequence[LastScalar], summary: Summary) -> dict[str, float]:
    return {
        f"{one_line(s.title, 60)} / {one_line(s.series, 60)}": float(getattr(s, summary))
        for s in scalars
        if not s.title.startswith(":")
    }


def _parameters(ids: Sequence[str]) -> None:
    tasks = _tasks(ids)
    with queries() as asked:
        columns = {
            label: {p.name: shown_parameter(p.value) for p in asked.parameters(task.id)}
            for task, label in zip(tasks, labels(tasks), strict=True)
        }
    rows = parameter_rows(columns, only_differences=st.toggle("Only differences", key="compare-differences"))
    if rows.empty:
        nothing("No parameters to show: these tasks have none, or they are all equal.")
        return
    styled = rows.style.apply(_highlight, axis=1)
    st.dataframe(styled, key="compare-parameters", height="content")


def parameter_rows(columns: Mapping[str, Mapping[str, str]], *, only_differences: bool) -> pd.DataFrame:
    """Parameters by name, a column for each task; where a task has none the cell is `—`."""
    names = sorted({name for column in columns.values() for name in column})
    frame = pd.DataFrame(
        [[one_line(column.get(name, "—"), 500) for column in columns.values()] for name in names],
        index=[one_line(name, 200) for name in names],
        columns=list(columns),
        dtype=object,
    )
    return frame[frame.apply(differs, axis=1)] if only_differences else frame


def differs(row: pd.Series[str]) -> bool:
    """Whether the tasks do not all have the same value."""
    return len(set(row)) > 1


def _highlight(row: pd.Series[str]) -> list[str]:
    return [_DIFFERENT if differs(row) else ""] * len(row)
