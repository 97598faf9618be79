"""Tab: the pipeline that a task controls, as a graph and as a table; a click on a step leads to its task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from ..producers.pipelines.figure import Node, drawn
from ..producers.text import counted
from ..projections.rows import TaskRow
from ..projections.work_rows import PipelineRow, StepRow
from . import navigation as to
from .formatting import STEP_COLORS, ago, duration, markdown, one_line
from .source import queries
from .widgets import nothing, now

_SHOWN: Final = "_shown_steps"
_CLICK: Final = "step-click"
_ROUND: Final = "_graph_round"
_TALLEST: Final = 640
_MOST_ROWS: Final = 25


def draw(task: TaskRow) -> None:
    """Draw the steps of the pipeline that a task controls."""
    _follow_clicks(task.id)
    with queries() as asked:
        pipelines, steps = asked.pipelines(task=task.id, archived=True), asked.steps(task.id)
    if not steps:
        nothing("No steps yet. The controller defines them once it runs.")
        return
    for pipeline in pipelines:
        _summary(pipeline)
    _graph(task.id, steps)
    _table(steps, now())


def _follow_clicks(task_id: str) -> None:
    """Go where a click led, into the graph or on a name in the table; a step without a task leads nowhere."""
    graph = st.session_state.get(_graph_key(task_id))
    children = [point.get("customdata") for point in graph["selection"]["points"]] if graph else []
    if click := st.session_state.get(_CLICK):
        children = st.session_state.get(_SHOWN, [])[click["row"] : click["row"] + 1]
    for child in filter(None, children):
        st.session_state[_ROUND] = st.session_state.get(_ROUND, 0) + 1
        to.open_task(child)


def _graph_key(task_id: str) -> str:
    """Another one after each click: the browser remembers what was selected, and who comes back would be sent on."""
    return f"graph-{task_id}-{st.session_state.get(_ROUND, 0)}"


def _summary(pipeline: PipelineRow) -> None:
    over = pipeline.done + pipeline.failed + pipeline.skipped
    parts = [f"{pipeline.done:,} of {counted(pipeline.steps, 'step')} done"]
    counts = {"under way": pipeline.under_way, "failed or aborted": pipeline.failed, "skipped": pipeline.skipped}
    parts += [f"{count:,} {what}" for what, count in counts.items() if count]
    st.progress(over / pipeline.steps if pipeline.steps else 0.0, text=" · ".join(parts))
    if pipeline.stopping_reason is not None:
        st.warning(f"Stopping: {markdown(pipeline.stopping_reason, 400)}", icon=":material/stop_circle:")


def _graph(task_id: str, steps: Sequence[StepRow]) -> None:
    figure = drawn([_node(step) for step in steps])
    tall = figure["layout"]["height"] > _TALLEST
    with st.container(height=_TALLEST if tall else "content", border=tall):
        st.plotly_chart(
            go.Figure(figure),
            key=_graph_key(task_id),
            on_select="rerun",
            selection_mode="points",
            config={"displayModeBar": False},
        )


def _node(step: StepRow) -> Node:
    return Node(**{name: getattr(step, name) for name in Node._fields})


def _table(steps: Sequence[StepRow], moment: datetime) -> None:
    st.session_state[_SHOWN] = [step.child for step in steps]
    config = st.column_config
    st.dataframe(
        pd.DataFrame([_row(step, moment) for step in steps]),
        hide_index=True,
        placeholder="",
        height=_TALLEST if len(steps) > _MOST_ROWS else "content",
        key="steps",
        column_config={
            "name": config.ButtonColumn("Step", type="tertiary", alignment="left", key=_CLICK, pinned=True, width=260),
            "status": config.MultiselectColumn("Status", options=list(STEP_COLORS), color=list(STEP_COLORS.values())),
            "stage": config.TextColumn("Stage"),
            "queue": config.TextColumn("Queue"),
            "started": config.TextColumn("Started"),
            "runtime": config.TextColumn("Runtime"),
            "retries": config.NumberColumn("Retries", width="small"),
            "message": config.TextColumn("Message", width="large"),
        },
    )


def _row(step: StepRow, moment: datetime) -> dict[str, object]:
    ended = step.ended_at or moment
    return {
        "name": one_line(step.name, 80),
        "status": [step.status],
        "stage": one_line(step.stage, 40),
        "queue": one_line(step.queue, 40),
        "started": ago(step.started_at, moment) if step.started_at else "",
        "runtime": duration((ended - step.started_at).total_seconds()) if step.started_at else "",
        "retries": step.retries or None,
        "message": one_line(step.message, 200),
    }
