"""The frame around all pages: titles, navigation, and addresses that name a task without naming its page."""

from __future__ import annotations

from typing import Final

import streamlit as st

from ..events.errors import TasktapeError
from . import navigation as to
from . import (
    page_compare,
    page_pipelines,
    page_projects,
    page_queues,
    page_scalers,
    page_searches,
    page_task,
    page_tasks,
)
from .formatting import number
from .source import holder
from .theme import ICON
from .widgets import CALM

_FAR_BEHIND: Final = 20_000


def run() -> None:
    """Draw the page that the address names."""
    st.set_page_config(page_title="tasktape", page_icon=ICON, layout="wide")
    st.logo(ICON, size="small")
    pages = _pages()
    to.register(pages)
    chosen = st.navigation(list(pages.values()), position="top")
    _follow_progress(chosen.url_path)
    chosen.run()


def _follow_progress(page: str) -> None:
    """Keep `_progress` up to date in a fragment that no other page has: Streamlit tells fragments by name and place.

    With one for all, a page that is left while its fragment is asked for would be drawn over the next one: as that
    fragment alone, on which the browser's page breaks.
    """

    def progress() -> None:
        _progress()

    progress.__qualname__ = f"progress of {page}"
    st.fragment(progress, run_every=CALM)()


def _progress() -> None:
    """While the projection is far behind the log, say so: what is shown is not all there is."""
    try:
        behind = holder().behind()
    except TasktapeError:
        return
    if behind > _FAR_BEHIND:
        st.info(f"Reading the log: {number(behind)} records to go.", icon=":material/hourglass_top:")


def _pages() -> dict[str, st.Page]:
    return {
        "": st.Page(_follow_address, title="tasktape", url_path="", default=True, visibility="hidden"),
        to.PROJECTS: st.Page(page_projects.draw, title="Projects", icon=":material/folder_open:", url_path=to.PROJECTS),
        to.TASKS: st.Page(page_tasks.draw, title="Tasks", icon=":material/list:", url_path=to.TASKS),
        to.TASK: st.Page(page_task.draw, title="Task", url_path=to.TASK, visibility="hidden"),
        to.PIPELINES: st.Page(
            page_pipelines.draw, title="Pipelines", icon=":material/account_tree:", url_path=to.PIPELINES
        ),
        to.SEARCHES: st.Page(page_searches.draw, title="Searches", icon=":material/query_stats:", url_path=to.SEARCHES),
        to.COMPARE: st.Page(page_compare.draw, title="Compare", icon=":material/compare_arrows:", url_path=to.COMPARE),
        to.QUEUES: st.Page(page_queues.draw, title="Queues and workers", icon=":material/lan:", url_path=to.QUEUES),
        to.SCALERS: st.Page(page_scalers.draw, title="Scalers", icon=":material/dns:", url_path=to.SCALERS),
    }


def _follow_address() -> None:
    """`/?task=ID` and `/?compare=ID,ID` lead to their pages, `/` to the tasks."""
    if task := st.query_params.get("task"):
        to.open_task(task)
    if tasks := st.query_params.get("compare"):
        to.open_comparison(tasks.split(","))
    to.go(to.TASKS)
