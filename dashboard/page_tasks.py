"""The page of all tasks: search, filters, columns and order of one's own choice, all kept in the address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import streamlit as st

from ..projections.rows import MetricColumn, ParameterColumn, TaskFilter
from . import task_table
from .columns import column_name, column_named
from .formatting import one_line, status_named
from .source import queries
from .widgets import LIVE, STATUS_LABELS, nothing

_MOST_NAMES: Final = 500
_SORTS: Final = {
    "Last updated": ("-updated_at",),
    "Last created": ("-created_at",),
    "Last started": ("-started_at",),
    "Name": ("name",),
    "Project": ("project", "name"),
    "Most iterations": ("-last_iteration",),
}


def draw() -> None:
    """Draw the page."""
    st.title("Tasks", anchor=False)
    with queries() as asked:
        if not asked.count_tasks(TaskFilter()):
            _first_task()
            return
        projects = [project.name for project in asked.projects()]
        parameters, metrics = asked.parameter_names(), asked.metric_names()
    wanted = _filters(projects)
    chosen, order = st.columns([7, 3], vertical_alignment="center")
    with chosen:
        columns = _columns(parameters, metrics)
    with order:
        wanted = _sorted(wanted, columns)
    task_table.draw(wanted, columns)


@st.fragment(run_every=LIVE)
def _first_task() -> None:
    with queries() as asked:
        if asked.count_tasks(TaskFilter()):
            st.rerun()
    nothing("No tasks yet. Two lines make a script a task:")
    st.code('from tasktape import Task\n\ntask = Task.init(project_name="first", task_name="hello")')


def _filters(projects: Sequence[str]) -> TaskFilter:
    search, project, archived = st.columns([5, 3, 2], vertical_alignment="center")
    text = search.text_input(
        "Search",
        key="q",
        bind="query-params",
        placeholder="Search id, name, project, comment, tags",
        icon=":material/search:",
        label_visibility="collapsed",
    )
    chosen = project.selectbox(
        "Project",
        projects,
        index=None,
        key="project",
        bind="query-params",
        placeholder="All projects",
        format_func=lambda name: one_line(name, 80),
        label_visibility="collapsed",
    )
    with_archived = archived.toggle("Archived too", key="archived", bind="query-params")
    statuses = st.pills(
        "Status",
        STATUS_LABELS,
        selection_mode="multi",
        key="status",
        bind="query-params",
        label_visibility="collapsed",
    )
    return TaskFilter(
        text=text,
        projects=(chosen,) if chosen else (),
        subprojects=True,
        statuses=tuple(filter(None, map(status_named, statuses))),
        include_archived=with_archived,
    )


def _columns(parameters: Sequence[str], metrics: Sequence[tuple[str, str]]) -> list[ParameterColumn | MetricColumn]:
    """Columns chosen beside the fixed ones; kept in the address by their names."""
    options = _column_options(parameters, metrics)
    names = st.multiselect(
        "Columns",
        options,
        key="columns",
        bind="query-params",
        placeholder="Add parameters and metrics as columns",
        label_visibility="collapsed",
        format_func=lambda name: one_line(name, 60),
    )
    found = [column_named(name, parameters, metrics) for name in names]
    return [column for column in found if column is not None and not isinstance(column, str)]


def _column_options(parameters: Sequence[str], metrics: Sequence[tuple[str, str]]) -> list[str]:
    shown = [metric for metric in metrics if not metric[0].startswith(":")][:_MOST_NAMES]
    summaries = [column_name(MetricColumn(*metric, kind)) for metric in shown for kind in ("last", "min", "max")]
    return [*parameters[:_MOST_NAMES], *summaries]


def _sorted(wanted: TaskFilter, columns: Sequence[ParameterColumn | MetricColumn]) -> TaskFilter:
    """The filter with an order: a field, or a chosen column up or down."""
    by_column = {f"{column_name(column)} {arrow}": column for column in columns for arrow in "↓↑"}
    name = st.selectbox(
        "Sort by",
        [*_SORTS, *by_column],
        key="sort",
        bind="query-params",
        label_visibility="collapsed",
        format_func=lambda option: f"Sort: {one_line(option, 60)}",
    )
    if name in by_column:
        return replace(wanted, order_column=by_column[name], descending=name.endswith("↓"))
    return replace(wanted, order_by=_SORTS[name])
