"""The pages there are and the ways between them; addresses are `/tasks`, `/task?task=ID`, `/compare?compare=ID,ID`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NoReturn

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

PROJECTS: Final = "projects"
TASKS: Final = "tasks"
TASK: Final = "task"
COMPARE: Final = "compare"
PIPELINES: Final = "pipelines"
SEARCHES: Final = "searches"
QUEUES: Final = "queues"
SCALERS: Final = "scalers"
TAB: Final = "tab"
"""Where a page keeps which of its tabs is open, in the session and in the address."""
_KEY: Final = "_pages"


def register(pages: Mapping[str, st.Page]) -> None:
    """Keep the pages of this session, so that any page can lead to any other."""
    st.session_state[_KEY] = dict(pages)


def page(name: str) -> st.Page:
    """The page of this name."""
    found: st.Page = st.session_state[_KEY][name]
    return found


def open_task(task_id: str) -> NoReturn:
    """Go to a task's page, there to the first of its tabs: it may lack the one that is open here."""
    st.session_state.pop(TAB, None)
    go(TASK, task=task_id)


def open_comparison(task_ids: Iterable[str]) -> NoReturn:
    """Go to the comparison of tasks."""
    go(COMPARE, compare=",".join(task_ids))


def go(name: str, **query: str) -> NoReturn:
    """Leave the page for another one.

    Its fragments are forgotten first: one that the browser asks for anew before it has heard of the change would be
    answered as a page of its own on top of the next one, and the browser's page breaks on that.
    """
    context = get_script_run_ctx()
    if context is not None:
        context.fragment_storage.clear()
    st.switch_page(page(name), query_params=query)


def link(name: str, label: str, parameters: Mapping[str, str] | None = None, icon: str | None = None) -> None:
    """A link to a page; the label is Markdown."""
    st.page_link(page(name), label=label, icon=icon, query_params=dict(parameters or {}))
