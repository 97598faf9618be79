"""The pages there are and the ways between them; addresses are `/tasks`, `/task?task=ID`, `/compare?compare=ID,ID`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NoReturn

import streamlit as st

PROJECTS: Final = "projects"
TASKS: Final = "tasks"
TASK: Final = "task"
COMPARE: Final = "compare"
QUEUES: Final = "queues"
_KEY: Final = "_pages"


def register(pages: Mapping[str, st.Page]) -> None:
    """Keep the pages of this session, so that any page can lead to any other."""
    st.session_state[_KEY] = dict(pages)


def page(name: str) -> st.Page:
    """The page of this name."""
    found: st.Page = st.session_state[_KEY][name]
    return found


def open_task(task_id: str) -> NoReturn:
    """Go to a task's page."""
    st.switch_page(page(TASK), query_params={"task": task_id})


def open_comparison(task_ids: Iterable[str]) -> NoReturn:
    """Go to the comparison of tasks."""
    st.switch_page(page(COMPARE), query_params={"compare": ",".join(task_ids)})


def link(name: str, label: str, parameters: Mapping[str, str] | None = None, icon: str | None = None) -> None:
    """A link to a page; the label is Markdown."""
    st.page_link(page(name), label=label, icon=icon, query_params=dict(parameters or {}))
