"""The page of all projects: how many tasks each has, in which states, and when one last changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

from ..producers.text import counted
from ..projections.rows import ProjectRow
from . import navigation as to
from .formatting import STATUSES, ago, markdown, status_look
from .source import queries
from .widgets import CALM, in_pages, nothing, now

_PER_PAGE: Final = 24
_ACROSS: Final = 3


def draw() -> None:
    """Draw the page."""
    st.title("Projects", anchor=False)
    _projects()


@st.fragment(run_every=CALM)
def _projects() -> None:
    with queries() as asked:
        projects = asked.projects()
    if not projects:
        nothing("No projects yet. The first task makes one:", "tasktape demo")
        return
    found = _search(projects)
    in_pages(found, _PER_PAGE, "projects-page", _cards)


def _search(projects: Sequence[ProjectRow]) -> list[ProjectRow]:
    """Projects that hold the text looked for, the latest changed first."""
    wanted = ""
    if len(projects) > _ACROSS:
        wanted = st.text_input(
            "Search projects",
            key="q",
            bind="query-params",
            placeholder="Search projects",
            icon=":material/search:",
            label_visibility="collapsed",
        )
    found = [project for project in projects if wanted.casefold() in project.name.casefold()]
    return sorted(found, key=lambda project: project.updated_at, reverse=True)


def _cards(projects: Sequence[ProjectRow]) -> None:
    for start in range(0, len(projects), _ACROSS):
        for column, project in zip(st.columns(_ACROSS), projects[start : start + _ACROSS], strict=False):
            with column:
                _card(project)


def _card(project: ProjectRow) -> None:
    with st.container(border=True):
        to.link(to.TASKS, f"**{markdown(project.name, 60)}**", {"project": project.name}, icon=":material/folder_open:")
        st.caption(f"{counted(project.tasks, 'task')} · {ago(project.updated_at, now())}")
        with st.container(horizontal=True, gap="small"):
            for status in STATUSES:
                if count := project.statuses.get(status):
                    look = status_look(status)
                    st.badge(f"{count:,} {look.label.lower()}", color=look.color)
