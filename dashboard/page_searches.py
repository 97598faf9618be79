"""The page of all searches: how far each has come and what is best so far; a click on a name leads to its task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import pandas as pd
import streamlit as st

from ..producers.search.figures import objective_name
from ..producers.search.told import limits_of, objectives_of
from ..projections.search_rows import SearchRow
from . import navigation as to
from .formatting import ago, duration, number, one_line, status_look
from .source import queries
from .widgets import LIVE, STATUS_COLORS, STATUS_LABELS, in_pages, nothing, now

_PER_PAGE: Final = 50
_SHOWN: Final = "_shown_searches"
_CLICK: Final = "search-click"


def draw() -> None:
    """Draw the page."""
    st.title("Searches", anchor=False)
    _searches()


@st.fragment(run_every=LIVE)
def _searches() -> None:
    if click := st.session_state.get(_CLICK):
        to.open_task(st.session_state[_SHOWN][click["row"]])
    with queries() as asked:
        searches = asked.searches()
    if not searches:
        nothing("No searches yet. A task that starts a `HyperParameterOptimizer` is one.")
        return
    in_pages(searches, _PER_PAGE, "searches-page", _table)


def _table(searches: Sequence[SearchRow]) -> None:
    st.session_state[_SHOWN] = [search.task for search in searches]
    moment = now()
    config = st.column_config
    st.dataframe(
        pd.DataFrame([_row(search, moment) for search in searches]),
        hide_index=True,
        placeholder="",
        height="content",
        key="searches",
        column_config={
            "name": config.ButtonColumn("Name", type="tertiary", alignment="left", key=_CLICK, pinned=True, width=260),
            "status": config.MultiselectColumn("Status", options=STATUS_LABELS, color=STATUS_COLORS, width=110),
            "strategy": config.TextColumn("Strategy"),
            "over": config.ProgressColumn("Progress", min_value=0, max_value=100, format="%.0f %%"),
            "trials": config.NumberColumn("Trials", format="localized", width="small"),
            "completed": config.NumberColumn("Completed", format="localized", width="small"),
            "failed": config.NumberColumn("Failed", format="localized", width="small"),
            "best": config.TextColumn("Best"),
            "started": config.TextColumn("Started"),
            "runtime": config.TextColumn("Runtime"),
            "objective": config.TextColumn("Objective"),
            "project": config.TextColumn("Project", width=150),
        },
    )


def _row(search: SearchRow, moment: datetime) -> dict[str, object]:
    ended = search.ended_at or moment
    to_come = max(limits_of(search).trials, search.trials)
    objectives = ", ".join(f"{one.sign} {objective_name(one)}" for one in objectives_of(search))
    return {
        "name": one_line(search.name, 80) or "(no name)",
        "status": [status_look(search.status).label],
        "strategy": one_line(search.strategy, 40),
        "over": 100 * (search.trials - search.under_way) / to_come if to_come else 0.0,
        "trials": search.trials,
        "completed": search.completed,
        "failed": search.failed or None,
        "best": ", ".join(map(number, search.best_values)),
        "started": ago(search.started_at, moment) if search.started_at else "",
        "runtime": duration((ended - search.started_at).total_seconds()) if search.started_at else "",
        "objective": one_line(objectives, 80),
        "project": one_line(search.project, 60),
    }
