"""The page of all pipelines: how far each has come; a click on a name leads to its controller's page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import pandas as pd
import streamlit as st

from ..projections.work_rows import PipelineRow
from . import navigation as to
from .formatting import ago, duration, one_line, status_look
from .source import queries
from .widgets import LIVE, STATUS_COLORS, STATUS_LABELS, in_pages, nothing, now

_PER_PAGE: Final = 50
_SHOWN: Final = "_shown_pipelines"
_CLICK: Final = "pipeline-click"


def draw() -> None:
    """Draw the page."""
    st.title("Pipelines", anchor=False)
    _live()


@st.fragment(run_every=LIVE)
def _live() -> None:
    if click := st.session_state.get(_CLICK):
        to.open_task(st.session_state[_SHOWN][click["row"]])
    with queries() as asked:
        pipelines = asked.pipelines()
    if not pipelines:
        nothing("No pipelines yet. A task that defines steps is one.")
        return
    in_pages(pipelines, _PER_PAGE, "pipelines-page", _table)


def _table(pipelines: Sequence[PipelineRow]) -> None:
    st.session_state[_SHOWN] = [pipeline.task for pipeline in pipelines]
    moment = now()
    config = st.column_config
    st.dataframe(
        pd.DataFrame([_row(pipeline, moment) for pipeline in pipelines]),
        hide_index=True,
        placeholder="",
        height="content",
        key="pipelines",
        column_config={
            "name": config.ButtonColumn("Name", type="tertiary", alignment="left", key=_CLICK, pinned=True, width=260),
            "version": config.TextColumn("Version", width="small"),
            "status": config.MultiselectColumn("Status", options=STATUS_LABELS, color=STATUS_COLORS, width=110),
            "over": config.ProgressColumn("Progress", min_value=0, max_value=100, format="%.0f %%"),
            "steps": config.TextColumn("Steps done"),
            "failed": config.NumberColumn("Failed", width="small"),
            "project": config.TextColumn("Project", width=150),
            "started": config.TextColumn("Started"),
            "runtime": config.TextColumn("Runtime"),
        },
    )


def _row(pipeline: PipelineRow, moment: datetime) -> dict[str, object]:
    ended = pipeline.ended_at or moment
    over = pipeline.done + pipeline.failed + pipeline.skipped
    return {
        "name": one_line(pipeline.name, 80) or "(no name)",
        "version": one_line(pipeline.version, 20),
        "status": [status_look(pipeline.status).label],
        "over": 100 * over / pipeline.steps if pipeline.steps else 0.0,
        "steps": f"{pipeline.done:,} of {pipeline.steps:,}",
        "failed": pipeline.failed or None,
        "project": one_line(pipeline.project, 60),
        "started": ago(pipeline.started_at, moment) if pipeline.started_at else "",
        "runtime": duration((ended - pipeline.started_at).total_seconds()) if pipeline.started_at else "",
    }
