"""Tab: everything that happened to a task, in order: what, when, who, where on the log, and whether it counted."""

from __future__ import annotations

import json
from typing import Final

import pandas as pd
import streamlit as st

from ..projections.rows import EventRow, TaskRow
from .formatting import local_time, one_line
from .history import describe, in_order
from .source import queries
from .widgets import zone

_BULK: Final = frozenset({"ScalarsReported", "ConsoleWritten", "RunProgressed"})
_MOST: Final = 5000


def draw(task: TaskRow) -> None:
    """Draw a task's events."""
    with queries() as asked:
        events = in_order(asked.events(task.id, limit=_MOST))
    bulk = st.toggle("Scalar, console and progress events too", key="history-bulk")
    shown = [event for event in reversed(events) if bulk or event.type not in _BULK]
    selection = st.dataframe(
        pd.DataFrame([_row(event) for event in shown]),
        hide_index=True,
        placeholder="",
        height=560,
        key="history",
        on_select="rerun",
        selection_mode="single-row",
    )
    rows = selection["selection"]["rows"]
    if rows and rows[0] < len(shown):
        event = shown[rows[0]]
        st.markdown(f"**{event.type}** :gray[{event.topic} {event.partition}@{event.offset}]")
        st.code(json.dumps(json.loads(event.body), indent=2, ensure_ascii=False), language="json", height=320)


def _row(event: EventRow) -> dict[str, object]:
    return {
        "When": local_time(event.occurred_at, zone()),
        "Who": one_line(event.actor, 60),
        "Event": event.type,
        "What": describe(event.type, event.body),
        "Verdict": event.verdict + (f": {one_line(event.reason, 120)}" if event.reason else ""),
        "Where": f"{event.topic.removeprefix('tasktape.')} {event.partition}@{event.offset}",
    }
