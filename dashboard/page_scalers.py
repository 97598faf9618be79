"""The page of scalers: what waits, which machines there are and were, what was decided and why, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from ..projections.instance_rows import (
    DecisionRow,
    FailedLaunchRow,
    InstanceRow,
    MachineCountsRow,
    NeedRow,
    ScalerRow,
    ScalingStepRow,
)
from . import navigation as to
from .formatting import MACHINE_COLORS, SCALING_COLORS, ago, duration, markdown, number, one_line
from .scaler_figures import counts_of, limited, machines_figure, money, told, waiting_figure
from .source import queries
from .widgets import LIVE, in_pages, nothing, now
from .worker_state import is_silent

SPANS: Final = {"1 h": 1.0, "24 h": 24.0, "7 d": 168.0, "All": None}
_COMMANDS: Final = "tasktape scaler init\ntasktape scaler"
_SHOWN: Final = "_shown_machines"
_CLICK: Final = "worker-click"
_PER_PAGE: Final = 500
_MOST: Final = 5000
_TALLEST: Final = 640
_MOST_ROWS: Final = 16
_TICK: Final = 5
"""Seconds after which curves grow though nothing changed: Streamlit takes a figure that differs for another one."""


def draw() -> None:
    """Draw the page."""
    st.title("Scalers", anchor=False)
    _scalers()


@st.fragment(run_every=LIVE)
def _scalers() -> None:
    if (click := st.session_state.get(_CLICK)) and (worker := st.session_state[_SHOWN][click["row"]]):
        to.go(to.QUEUES, worker=worker)
    with queries() as asked:
        scalers = asked.scalers()
    if not scalers:
        nothing("No scalers yet. This writes the settings of one, and starts it:", _COMMANDS)
        return
    _one(_chosen(scalers))


def _chosen(scalers: Sequence[ScalerRow]) -> ScalerRow:
    if len(scalers) == 1:
        return scalers[0]
    names = [scaler.name for scaler in scalers]
    name = st.selectbox("Scaler", names, key="scaler", bind="query-params", label_visibility="collapsed", width=320)
    return next(scaler for scaler in scalers if scaler.name == name)


def _one(scaler: ScalerRow) -> None:
    moment = now()
    figures = st.container()
    span = _heading_of_charts()
    charts = st.container()
    needs_at = st.container()
    st.space("small")
    machines_heading = st.container(horizontal=True, vertical_alignment="center")
    machines_heading.subheader("Machines", anchor=False, width="content")
    gone = machines_heading.toggle("Those that are gone too", key="gone")
    since = moment - timedelta(hours=span) if span else None
    with queries() as asked:
        needs = [need for need in asked.needs() if need.scaler == scaler.name]
        waiting = sum(queue.waiting for queue in asked.queues() if queue.name in {need.queue for need in needs})
        machines = asked.instances(scaler.name, gone=gone, limit=_MOST)
        decisions, counts = asked.decisions(scaler.name, since), asked.machine_counts(scaler.name, since)
        steps, failed = asked.scaling_steps(scaler.name), asked.failed_launches(scaler.name)
    with figures:
        _figures(scaler, waiting)
        _state(scaler, machines, moment)
    with charts:
        _charts(counts, decisions, moment)
    with needs_at:
        _needs(needs)
    _machines(machines, moment)
    _failed(failed, moment)
    _steps(steps, moment)


def _figures(scaler: ScalerRow, waiting: int) -> None:
    period = f"{scaler.period_hours:g} h"
    most = "" if scaler.budget_instances is None else number(scaler.budget_instances)
    dearest = "" if scaler.budget_hourly_cost is None else money(scaler.budget_hourly_cost)
    hours = "" if scaler.budget_hours is None else number(scaler.budget_hours)
    figures = {
        "Waiting": number(waiting),
        "Machines": limited(number(scaler.machines), most),
        "Cost per hour": limited(money(scaler.hourly_cost), dearest),
        f"Spent in {period}": money(scaler.period_spent),
        f"Machine hours in {period}": limited(f"{scaler.period_hours_used:,.1f}", hours),
    }
    for column, (label, value) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(label, value, border=True)


def _state(scaler: ScalerRow, machines: Sequence[InstanceRow], moment: datetime) -> None:
    """Who leads, and how many machines there are of each status."""
    leads = f"Led by {scaler.led_by} since {ago(scaler.led_since, moment).removesuffix(' ago')}"
    decided = f"last heard of {ago(scaler.decided_at, moment)}" if scaler.decided_at else "no decision yet"
    by_status = ", ".join(f"{count:,} {status}" for status, count in counts_of(machines).items())
    parts = filter(None, [leads, decided, by_status, f"{money(scaler.spent)} spent in all"])
    st.caption(markdown(" · ".join(parts), 400))
    if is_silent(scaler, moment):
        st.warning(
            "It says nothing any more: no machines come or go until it runs again.", icon=":material/sensors_off:"
        )
    for resource, reason in scaler.lacking.items():
        st.warning(markdown(f"Fewer machines of {resource} than its minimum: {reason}.", 300))


def _heading_of_charts() -> float | None:
    chosen = st.segmented_control(
        "Time", list(SPANS), default="24 h", required=True, key="scaler-span", label_visibility="collapsed"
    )
    return SPANS[chosen or "24 h"]


def _charts(counts: Sequence[MachineCountsRow], decisions: Sequence[DecisionRow], moment: datetime) -> None:
    moment = moment.replace(second=moment.second - moment.second % _TICK, microsecond=0)
    left, right = st.columns([3, 2])
    with left.container(border=True):
        st.markdown("**Machines by status**")
        _chart("machines", machines_figure(counts, moment) if counts else None)
    with right.container(border=True):
        st.markdown("**Tasks waiting**")
        _chart("waiting", waiting_figure(decisions, moment) if decisions else None)


def _chart(name: str, figure: go.Figure | None) -> None:
    if figure is None:
        nothing("None in this time.")
    else:
        st.plotly_chart(figure, key=f"chart-{name}", config={"displayModeBar": False})


def _needs(needs: Sequence[NeedRow]) -> None:
    st.subheader("Queues", anchor=False)
    if not needs:
        nothing("No decision yet: a scaler decides as soon as it leads.")
        return
    rows = [
        {
            "Queue": one_line(need.queue, 80),
            "Waiting": need.waiting,
            "Stuck": need.stuck or None,
            "For free slots": need.free or None,
            "For booting machines": need.booting or None,
            "Machines asked for": need.launched or None,
            "Missing": need.missing or None,
            "Held back by": one_line(need.held_back_by, 120),
        }
        for need in needs
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, placeholder="", height="content", key="needs")


def _machines(machines: Sequence[InstanceRow], moment: datetime) -> None:
    if not machines:
        nothing("No machines now: they come when work waits.")
        return
    in_pages(machines, _PER_PAGE, "machines-page", lambda page: _page(page, moment))


def _page(machines: Sequence[InstanceRow], moment: datetime) -> None:
    st.session_state[_SHOWN] = [machine.worker for machine in machines]
    rows = pd.DataFrame([_row(machine, moment) for machine in machines])
    empty = [name for name in ("type", "zone", "spot") if not rows[name].astype(bool).any()]
    config = st.column_config
    st.dataframe(
        rows.drop(columns=empty),
        hide_index=True,
        placeholder="",
        height=_TALLEST if len(machines) > _MOST_ROWS else "content",
        key="machines",
        column_config={
            "status": _coloured("Status", MACHINE_COLORS),
            "machine": config.TextColumn("Machine", width=160),
            "resource": config.TextColumn("Resource"),
            "type": config.TextColumn("Type"),
            "zone": config.TextColumn("Zone"),
            "spot": config.TextColumn("Market", width="small"),
            "worker": config.ButtonColumn("Worker", type="tertiary", alignment="left", key=_CLICK, width=200),
            "running": config.TextColumn("Runs", width="small"),
            "age": config.TextColumn("Age", width="small"),
            "idle": config.TextColumn("Idle for", width="small"),
            "cost": config.NumberColumn("Cost", format="$%.2f", width="small"),
            "why": config.TextColumn("Why", width="large"),
            "instance": config.TextColumn("Instance"),
        },
    )


def _coloured(title: str, colors: dict[str, Any]) -> Any:
    return st.column_config.MultiselectColumn(title, options=list(colors), color=list(colors.values()), width=110)


def _row(machine: InstanceRow, moment: datetime) -> dict[str, Any]:
    idle = duration((moment - machine.idle_since).total_seconds()) if machine.idle_since else ""
    works = machine.ended_at is None and machine.worker != ""
    return {
        "status": [machine.status],
        "machine": one_line(machine.machine, 60),
        "resource": one_line(machine.resource, 60),
        "type": one_line(machine.instance_type, 40),
        "zone": one_line(machine.zone or machine.subnet, 40),
        "spot": "spot" if machine.spot else "",
        "worker": one_line(machine.worker, 60),
        "running": f"{machine.running} of {machine.slots}" if works else "",
        "age": duration(((machine.ended_at or moment) - machine.requested_at).total_seconds()),
        "idle": idle,
        "cost": machine.cost,
        "why": one_line(machine.reason, 200),
        "instance": machine.instance,
    }


def _steps(steps: Sequence[ScalingStepRow], moment: datetime) -> None:
    st.subheader("Decisions", anchor=False)
    rows = [
        {
            "When": ago(one.at, moment),
            "Decision": [one.step],
            "Machines": one.machines,
            "Of": one_line(one.about, 120),
            "Why": one_line(one.reason, 200),
        }
        for one in told(steps)
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        placeholder="",
        height=_TALLEST if len(rows) > _MOST_ROWS else "content",
        key="steps",
        column_config={
            "When": st.column_config.TextColumn(width="small"),
            "Decision": _coloured("Decision", SCALING_COLORS),
            "Machines": st.column_config.NumberColumn(format="localized", width="small"),
            "Of": st.column_config.TextColumn(width=360),
            "Why": st.column_config.TextColumn(width="large"),
        },
    )


def _failed(failed: Sequence[FailedLaunchRow], moment: datetime) -> None:
    if not failed:
        return
    st.subheader("Failed launches", anchor=False)
    st.caption("A placement in which launches failed is left alone for a while; another one is tried.")
    rows = [
        {
            "Last": ago(one.last_at, moment),
            "Failed": one.count,
            "Of": one_line(
                ", ".join(filter(None, [one.resource, "spot" * one.spot, one.instance_type, one.place])), 120
            ),
            "Kind": one.kind,
            "What its provider said": one_line(one.message, 400),
        }
        for one in failed
    ]
    wide = {"What its provider said": st.column_config.TextColumn(width="large")}
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, placeholder="", height="content", key="failed", column_config=wide
    )
