"""Figures of a scaler over time, and its decisions in few words; pure, on the rows that queries answer with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import plotly.graph_objects as go

from ..projections.instance_rows import DecisionRow, InstanceRow, MachineCountsRow, ScalingStepRow

FILLS: Final = {
    "requested": "#7455c4",
    "booting": "#2f6fd6",
    "ready": "#23875f",
    "draining": "#c87516",
    "terminating": "#8d95a6",
}
"""Statuses of machines that are there, in their order, and their colours."""
_CURVES: Final = ("requested", "booting", "ready", "draining")
_WAITING: Final = "#3b6fd4"
_STUCK: Final = "#c44569"
_HEIGHT: Final = 260
_AT_ONCE: Final = timedelta(seconds=2)
_MOST_PLACES: Final = 4
_FEW: Final = 5
"""Up to so many things each has a line of its own beside the axis."""


class Told(NamedTuple):
    """Decisions of one kind that belong together: how many machines, of what, and why."""

    at: datetime
    step: str
    machines: int | None
    about: str
    reason: str


def machines_figure(counts: Sequence[MachineCountsRow], moment: datetime) -> go.Figure:
    """Machines by status, one above the other, up to this moment."""
    figure = go.Figure()
    moments = [count.at for count in counts]
    for status in _CURVES:
        values = [getattr(count, status) for count in counts]
        if any(values):
            _add(figure, moments, values, moment, status, FILLS[status], width=0.0, stackgroup="machines")
    figure.update_layout(legend_traceorder="normal")
    return _laid_out(figure, max(sum(getattr(count, status) for status in _CURVES) for count in counts))


def waiting_figure(decisions: Sequence[DecisionRow], moment: datetime) -> go.Figure:
    """Tasks that wait, and those of them that free agents leave alone, up to this moment."""
    figure = go.Figure()
    moments, waiting = [one.decided_at for one in decisions], [one.waiting for one in decisions]
    _add(figure, moments, waiting, moment, "waiting", _WAITING, fill="tozeroy")
    if any(one.stuck for one in decisions):
        _add(figure, moments, [one.stuck for one in decisions], moment, "stuck", _STUCK)
    return _laid_out(figure, max(waiting))


def _add(
    figure: go.Figure,
    moments: Sequence[datetime],
    values: Sequence[int],
    moment: datetime,
    name: str,
    color: str,
    width: float = 2.0,
    **style: str,
) -> None:
    """A curve of steps: what is so at a moment is so until the next one."""
    line = {"color": color, "width": width, "shape": "hv"}
    x, y = [*moments, max(moment, moments[-1])], [*values, values[-1]]
    figure.add_scatter(x=x, y=y, name=name, mode="lines", line=line, **style)


def _laid_out(figure: go.Figure, most: int) -> go.Figure:
    figure.update_layout(
        height=_HEIGHT,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        uirevision="kept",
        showlegend=True,
    )
    figure.update_xaxes(title="time (UTC)", nticks=6)
    figure.update_yaxes(rangemode="tozero", nticks=6, tickformat=",d", dtick=1 if most <= _FEW else None)
    return figure


def told(steps: Iterable[ScalingStepRow]) -> Iterator[Told]:
    """Decisions, the latest first; those about many machines that were made at once are one."""
    group: list[ScalingStepRow] = []
    for step in steps:
        if group and not _belongs(step, group[-1]):
            yield _told(group)
            group = []
        group.append(step)
    if group:
        yield _told(group)


def _belongs(step: ScalingStepRow, after: ScalingStepRow) -> bool:
    """Whether a decision is of a kind with the one after it; reasons count down: `3 waiting in q`, `2 waiting in q`."""
    kinds = [(one.step, one.resource, one.reason.lstrip("0123456789")) for one in (step, after)]
    return bool(step.instance) and kinds[0] == kinds[1] and after.at - step.at <= _AT_ONCE


def _told(group: Sequence[ScalingStepRow]) -> Told:
    last, first = group[0], group[-1]
    if first.step == "hold back":
        more = f"{first.count:,} more could run" if first.count > 1 else "one more could run"
        return Told(last.at, first.step, None, first.queue, f"{more}; {first.reason}")
    if first.step == "lead":
        return Told(last.at, first.step, None, first.reason, "the group chose it, and its word is on the log")
    markets = ["spot" if step.spot else "on demand" for step in group if step.instance_type]
    about = [
        first.resource,
        _several(step.instance_type for step in group),
        _several(markets),
        _several(step.place for step in group),
    ]
    return Told(last.at, first.step, len(group), " · ".join(filter(None, about)), first.reason)


def _several(texts: Iterable[str]) -> str:
    """Each of these once, a few of them."""
    found = sorted({text for text in texts if text})
    return ", ".join([*found[:_MOST_PLACES], *["…"] * (len(found) > _MOST_PLACES)])


def counts_of(machines: Iterable[InstanceRow]) -> dict[str, int]:
    """How many machines there are of each status, in the order of their lives."""
    found = dict.fromkeys(FILLS, 0)
    for machine in machines:
        if machine.status in found:
            found[machine.status] += 1
    return {status: count for status, count in found.items() if count}


def money(dollars: float) -> str:
    """Dollars and cents; what is below a cent is not told as nothing."""
    return "<$0.01" if 0 < dollars < 0.005 else f"${dollars:,.2f}"  # noqa: PLR2004  half a cent


def limited(text: str, limit: str) -> str:
    """A value, and what it may be at most."""
    return f"{text} of {limit}" if limit else text
