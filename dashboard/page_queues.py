"""The page of queues and workers: what waits and for how long, who serves it, what they run, and their load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import pandas as pd
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from ..projections.rows import TaskFilter
from ..projections.work_rows import EntryRow, LimitRow, QueueRow, WorkerRow
from . import navigation as to
from .formatting import ago, duration, markdown, number, one_line
from .source import queries
from .widgets import LIVE, nothing, now
from .worker_state import held_runs, worker_state

_STATES: Final = ("busy", "idle", "draining", "silent", "stopped")
_STATE_COLORS: Final = ("blue", "green", "orange", "red", "gray")
_STATE_COLUMN: Final = st.column_config.MultiselectColumn("State", options=_STATES, color=_STATE_COLORS, width="small")
_NAME_WIDTH: Final = 80
_WORKER: Final = "worker"

Entries = Mapping[str, Sequence[EntryRow]]


def draw() -> None:
    """Draw the page; an address with `?worker=NAME` shows that worker alone."""
    st.title("Queues and workers", anchor=False)
    if st.query_params.get(_WORKER):
        _one()
    else:
        _live()


@st.fragment(run_every=LIVE)
def _one() -> None:
    wanted = st.query_params.get(_WORKER, "")
    with queries() as asked:
        workers = [worker for worker in asked.workers() if worker.id == wanted]
        ids = _tasks_of({}, workers)
        names = {task.id: task.name for task in asked.tasks(TaskFilter(ids=ids))} if ids else {}
    if st.button("All queues and workers", type="tertiary", icon=":material/arrow_back:", key="all-workers"):
        del st.query_params[_WORKER]
        st.rerun()
    if workers:
        _workers(workers, names, now())
    else:
        nothing(f"There is no worker {markdown(wanted)}; one that has left is forgotten after a while.")


@st.fragment(run_every=LIVE)
def _live() -> None:
    with queries() as asked:
        queues, workers, limits = asked.queues(), asked.workers(), asked.limits()
        entries = {queue.name: asked.entries(queue.name) for queue in queues if queue.waiting or queue.claimed}
        ids = _tasks_of(entries, workers)
        names = {task.id: task.name for task in asked.tasks(TaskFilter(ids=ids))} if ids else {}
    moment = now()
    _figures(queues, workers, moment)
    st.subheader("Queues", anchor=False)
    _queues(queues, limits, moment)
    for queue, waiting in entries.items():
        _entries(queue, waiting, names, moment)
    st.subheader("Workers", anchor=False)
    _workers(workers, names, moment)


def _tasks_of(entries: Entries, workers: Sequence[WorkerRow]) -> tuple[str, ...]:
    waiting = {entry.task for queue in entries.values() for entry in queue}
    return tuple(waiting | {run["task"] for worker in workers for run in held_runs(worker)})


def _figures(queues: Sequence[QueueRow], workers: Sequence[WorkerRow], moment: datetime) -> None:
    states = [worker_state(worker, moment) for worker in workers]
    oldest = min((queue.oldest_waiting_at for queue in queues if queue.oldest_waiting_at), default=None)
    figures = {
        "Waiting": number(sum(queue.waiting for queue in queues)),
        "Longest wait": duration((moment - oldest).total_seconds()) if oldest else "—",
        "Workers busy": number(states.count("busy")),
        "Workers idle": number(states.count("idle")),
    }
    for column, (label, value) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(label, value, border=True)


def _queues(queues: Sequence[QueueRow], limits: Sequence[LimitRow], moment: datetime) -> None:
    if not queues:
        nothing("No queues yet. An agent makes those it serves:", "tasktape agent --queue default")
        return
    limited = {limit.scope: _in_use(limit) for limit in limits}
    limit = {queue.name: limited.get(f"queue:{queue.name}", "") for queue in queues}
    rows = [
        {
            "Queue": one_line(queue.name, _NAME_WIDTH),
            "Waiting": queue.waiting,
            "Claimed": queue.claimed,
            "Longest wait": ago(queue.oldest_waiting_at, moment).removesuffix(" ago") if queue.waiting else "",
            "Workers": len(queue.workers),
            **({"Limit": limit[queue.name]} if any(limit.values()) else {}),
            "": "deleted" if queue.deleted else "paused" if queue.paused else "",
        }
        for queue in queues
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, placeholder="", key="queues")
    others = [limit for limit in limits if limit.scope not in {f"queue:{queue.name}" for queue in queues}]
    if others:
        st.caption(markdown("Limits: " + " · ".join(f"{one.scope} {_in_use(one)}" for one in others), 400))


def _in_use(limit: LimitRow) -> str:
    return f"{limit.permits} of {limit.running} running"


def _entries(queue: str, entries: Sequence[EntryRow], names: Mapping[str, str], moment: datetime) -> None:
    with st.expander(f"{len(entries):,} in {markdown(queue, 60)}", expanded=True):
        for place, entry in enumerate(entries[:50], 1):
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f":gray[{place}]", width=28)
                to.link(to.TASK, markdown(names.get(entry.task, entry.task), _NAME_WIDTH), {"task": entry.task})
                taken = f" · claimed by {entry.worker}" if entry.state == "claimed" else ""
                urgent = f" · priority {entry.priority}" if entry.priority else ""
                needs = f" · needs {entry.needs}" if entry.needs else ""
                said = f"run {entry.run} · {ago(entry.enqueued_at, moment)}{urgent}{needs}{taken}"
                st.caption(markdown(said), width="content")


def _workers(workers: Sequence[WorkerRow], names: Mapping[str, str], moment: datetime) -> None:
    if not workers:
        nothing("No workers. This starts one here, any machine that reaches the log will do:", "tasktape agent")
        return
    load = sorted({name for worker in workers for name in worker.load})
    rows = [
        {
            "Worker": one_line(worker.id, _NAME_WIDTH),
            "State": [worker_state(worker, moment)],
            "Queues": list(worker.queues),
            "Runs": ", ".join(
                f"{one_line(names.get(run['task'], run['task']), 40)} (run {run['run']})" for run in held_runs(worker)
            ),
            "Left": str(worker.spare),
            "Seen": ago(worker.seen_at, moment),
            **{name: worker.load.get(name) for name in load},
        }
        for worker in workers
    ]
    bars = {name: _load_column(name) for name in load}
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        placeholder="",
        column_config={"State": _STATE_COLUMN, **bars},
        key="workers",
    )


def _load_column(name: str) -> ColumnConfig:
    """Percentages as bars, sizes as sizes."""
    label = one_line(name.replace("_", " "), 40)
    if "percent" in name:
        return st.column_config.ProgressColumn(label, min_value=0, max_value=100, format="%.0f %%", width="small")
    return st.column_config.NumberColumn(label, format="bytes" if "bytes" in name else "compact", width="small")
