"""The frame around all pages: titles, navigation, and addresses that name a task without naming its page."""

from __future__ import annotations

import streamlit as st

from . import navigation as to
from . import page_compare, page_projects, page_queues, page_task, page_tasks
from .source import problem


def run() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="tasktape", page_icon=":material/graphic_eq:", layout="wide")
    pages = {
        to.TASKS: st.Page(page_tasks.draw, title="Tasks", icon=":material/list:", url_path=to.TASKS, default=True),
        to.PROJECTS: st.Page(page_projects.draw, title="Projects", icon=":material/folder_open:", url_path=to.PROJECTS),
        to.COMPARE: st.Page(page_compare.draw, title="Compare", icon=":material/compare_arrows:", url_path=to.COMPARE),
        to.QUEUES: st.Page(page_queues.draw, title="Queues and workers", icon=":material/lan:", url_path=to.QUEUES),
        to.TASK: st.Page(page_task.draw, title="Task", url_path=to.TASK, visibility="hidden"),
    }
    to.register(pages)
    chosen = st.navigation(list(pages.values()), position="top")
    _follow_address(chosen.url_path)
    if trouble := problem():
        st.error(trouble, icon=":material/cloud_off:")
    chosen.run()


def _follow_address(current: str) -> None:
    """`/?task=ID` and `/?compare=ID,ID` lead to their pages."""
    if current not in {"", to.TASKS}:
        return
    if task := st.query_params.get("task"):
        to.open_task(task)
    if tasks := st.query_params.get("compare"):
        to.open_comparison(tasks.split(","))
