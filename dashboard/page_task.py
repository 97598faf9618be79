"""One task's page: its header, and a tab for each thing to know about it; only the open tab asks and draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import streamlit as st

from ..projections.query import Queries
from ..projections.rows import TaskRow
from . import (
    navigation as to,
)
from . import (
    tab_artifacts,
    tab_console,
    tab_execution,
    tab_history,
    tab_media,
    tab_parameters,
    tab_pipeline,
    tab_plots,
    tab_scalars,
    tab_search,
)
from .formatting import duration, local_time, markdown, number, one_line
from .source import queries
from .widgets import CALM, LIVE, fact, moment, nothing, now, status_badge, tags, zone

TABS: Final[dict[str, Callable[[TaskRow], None]]] = {
    "Scalars": tab_scalars.draw,
    "Plots": tab_plots.draw,
    "Debug samples": tab_media.draw,
    "Parameters": tab_parameters.draw,
    "Execution": tab_execution.draw,
    "Artifacts & models": tab_artifacts.draw,
    "Console": tab_console.draw,
    "History": tab_history.draw,
}
PIPELINE: Final = "Pipeline"
"""The first tab of a task that controls one."""
SEARCH: Final = "Search"
"""The same of a search."""
_TITLE: Final = 100
_GROWING: Final = ("Scalars", "Console", PIPELINE, SEARCH)
"""Tabs worth a refresh each second while a task runs; what others show is larger and comes seldom."""
_ACTIVE: Final = ("queued", "in_progress")


def draw() -> None:
    """Draw the page of the task that the address names."""
    task_id = st.query_params.get("task", "")
    with queries() as asked:
        task = asked.task(task_id)
        first = {} if task is None else _controlled(asked, task)
    if task is None:
        st.title("No such task", anchor=False)
        nothing(f"There is no task {markdown(task_id, 60)}. It may have been deleted.")
        to.link(to.TASKS, "All tasks", icon=":material/list:")
        return
    is_active = task.status in _ACTIVE
    st.fragment(_header, run_every=LIVE if is_active else CALM)(task.id, was_active=is_active)
    found = {**first, **TABS}
    tabs = st.tabs(list(found), key=to.TAB, on_change="rerun", bind="query-params")
    for tab, (name, draw_tab) in zip(tabs, found.items(), strict=True):
        if tab.open:
            every = LIVE if is_active and name in _GROWING else CALM
            with tab:
                st.fragment(_tab, run_every=every)(task.id, draw_tab)


def _controlled(asked: Queries, task: TaskRow) -> dict[str, Callable[[TaskRow], None]]:
    """The tab of what a task controls."""
    if task.task_type == "optimizer" or asked.searches(task=task.id, archived=True):
        return {SEARCH: tab_search.draw}
    is_pipeline = task.task_type == "controller" or bool(asked.steps(task.id))
    return {PIPELINE: tab_pipeline.draw} if is_pipeline else {}


def _tab(task_id: str, draw_tab: Callable[[TaskRow], None]) -> None:
    with queries() as asked:
        task = asked.task(task_id)
    if task is not None:
        draw_tab(task)


def _header(task_id: str, *, was_active: bool) -> None:
    """The task in short. Once it begins or ends, the page is drawn anew to refresh as often as fits."""
    with queries() as asked:
        task = asked.task(task_id)
        parent = asked.task(task.parent) if task is not None and task.parent else None
    if task is None or (task.status in _ACTIVE) != was_active:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        to.link(to.TASKS, f":gray[{markdown(task.project)}]", {"project": task.project}, icon=":material/folder_open:")
        if parent is not None:
            _link_to(parent)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(markdown(task.name, _TITLE), anchor=False, width="content", help=_whole(task.name))
        status_badge(task.status)
        tags(task.tags)
    _facts(task)
    if task.status in _ACTIVE and task.progress > 0:
        st.progress(min(task.progress, 100) / 100, text=f"{task.progress} %")
    if task.status == "failed" and (why := task.status_message or task.status_reason):
        st.error(markdown(why, 400), icon=":material/error:")


def _link_to(parent: TaskRow) -> None:
    """A button, as a link to the page it stands on would leave the browser's address as it is."""
    label = f":gray[{markdown(parent.name, 60)}]"
    if st.button(label, type="tertiary", icon=":material/account_tree:", key="parent"):
        to.open_task(parent.id)


def _whole(name: str) -> str | None:
    """The whole of a name that the title cuts short."""
    return markdown(name, 2000) if len(one_line(name, _TITLE)) < len(name.strip()) else None


def _facts(task: TaskRow) -> None:
    ended = task.ended_at or now()
    runtime = duration((ended - task.started_at).total_seconds()) if task.started_at else "—"
    where = task.worker or (f"waiting in {task.queue}" if task.queue else "—")
    columns = st.columns(7)
    with columns[0]:
        fact("Run", str(task.run) if task.run else "—")
    with columns[1]:
        moment("Started", task.started_at)
    with columns[2]:
        fact("Runtime", runtime, hint=f"until {local_time(task.ended_at, zone())}" if task.ended_at else "")
    with columns[3]:
        fact("Iteration", number(task.last_iteration) if task.started_at else "—")
    with columns[4]:
        fact("User", task.user or "—")
    with columns[5]:
        fact("Worker", one_line(where, 40), hint=where)
    with columns[6]:
        fact("Id", f"{task.id[:12]}…", hint=task.id)
