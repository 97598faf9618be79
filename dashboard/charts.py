"""Pure plotly figures of scalars and of what users plot themselves; no Streamlit, no queries."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.compute as pc

from .formatting import one_line

XAxis = Literal["Iterations", "Time from start", "Wall time"]
X_AXES: Final[tuple[XAxis, ...]] = ("Iterations", "Time from start", "Wall time")
PALETTE: Final = (
    "#3b6fd4",
    "#d9822b",
    "#2f9e77",
    "#c44569",
    "#7a5fc7",
    "#1f9fb5",
    "#a8862d",
    "#6b7280",
    "#e0669b",
    "#5a8f29",
)
DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_FAINT: Final = 0.22
_PLOT_HEIGHT: Final = 420


class Curve(NamedTuple):
    """One line of a chart: `x` is steps, seconds or UTC moments; `y` the values as reported."""

    label: str
    x: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]
    color: str
    dash: str = "solid"


def plotly_text(text: str, width: int = 60) -> str:
    """Text that plotly shows as it is: its own HTML-like markup does not count."""
    return html.escape(one_line(text, width), quote=False)


def smooth(values: np.ndarray[Any, Any], weight: float) -> np.ndarray[Any, Any]:
    """Exponential moving average without the bias to zero of its start; `weight` from 0 (none) to below 1.

    The debiasing is that of Adam's moments (Kingma & Ba 2015, section 3): divide by 1 - weight^n. Values that are not
    finite stay as they are and leave the average alone.
    """
    if weight <= 0:
        return values
    smoothed, average, rest = np.array(values, dtype=float), 0.0, 1.0
    for place in np.flatnonzero(np.isfinite(smoothed)):
        average = average * weight + smoothed[place] * (1 - weight)
        rest *= weight
        smoothed[place] = average / (1 - rest)
    return smoothed


def titles(scalars: pa.Table) -> list[str]:
    """Titles of a table of scalars, in order; those that start with `:` (machine monitor) come last."""
    return sorted(set(scalars["title"].to_pylist()), key=lambda title: (title.startswith(":"), title))


def curves(scalars: pa.Table, title: str, x_axis: XAxis) -> list[Curve]:
    """Curves of one title, a colour each; columns of `scalars`: title, series, step, time, value."""
    chosen = scalars.filter(_equals(scalars["title"], title))
    names = sorted(set(chosen["series"].to_pylist()))
    return [
        _curve(name, chosen.filter(_equals(chosen["series"], name)), x_axis, PALETTE[place % len(PALETTE)])
        for place, name in enumerate(names)
    ]


def compared(tasks: Sequence[tuple[str, pa.Table]], title: str, x_axis: XAxis) -> list[Curve]:
    """Curves of one title of several tasks: a colour for each task, a dash for each series."""
    by_task = [curves(table, title, x_axis) for _, table in tasks]
    dashes = {name: DASHES[i % len(DASHES)] for i, name in enumerate(sorted({c.label for cs in by_task for c in cs}))}
    return [
        curve._replace(
            label=f"{name} · {curve.label}",
            color=PALETTE[place % len(PALETTE)],
            dash=dashes[curve.label],
        )
        for place, ((name, _), found) in enumerate(zip(tasks, by_task, strict=True))
        for curve in found
    ]


def scalar_figure(lines: Iterable[Curve], *, smoothing: float = 0.0, log: bool = False, x_axis: XAxis) -> go.Figure:
    """Line chart; with smoothing the reported values stay visible behind, faint."""
    figure = go.Figure()
    for line in lines:
        if smoothing > 0:
            figure.add_scatter(x=line.x, y=line.y, opacity=_FAINT, showlegend=False, hoverinfo="skip", **_style(line))
        figure.add_scatter(x=line.x, y=smooth(line.y, smoothing), name=plotly_text(line.label), **_style(line))
    figure.update_layout(
        height=320,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        uirevision="kept",
        showlegend=True,
    )
    figure.update_xaxes(title=_axis_title(x_axis), nticks=8)
    figure.update_yaxes(type="log" if log else "linear", nticks=6)
    return figure


def user_figure(text: str) -> go.Figure | None:
    """Figure from a user's JSON text, without what would load from elsewhere; None when it is no figure."""
    try:
        content = json.loads(text)
        figure = go.Figure(content.get("data"), content.get("layout"), skip_invalid=True)
    except (ValueError, TypeError, AttributeError):
        return None
    figure.layout.images = [image for image in figure.layout.images if str(image.source or "").startswith("data:")]
    figure.update_layout(height=_PLOT_HEIGHT, width=None, autosize=True, uirevision="kept")
    if figure.layout.title.text:
        figure.update_layout(margin={"t": 56})
    return figure


def _equals(column: pa.ChunkedArray, value: str) -> pa.ChunkedArray:
    return pc.equal(column, value)


def _curve(name: str, points: pa.Table, x_axis: XAxis, color: str) -> Curve:
    return Curve(name, _x_values(points, x_axis), points["value"].to_numpy(), color)


def _x_values(points: pa.Table, x_axis: XAxis) -> np.ndarray[Any, Any]:
    steps: np.ndarray[Any, Any] = points["step"].to_numpy()
    if x_axis == "Iterations":
        return steps
    moments: np.ndarray[Any, Any] = points["time"].to_numpy().astype("datetime64[us]")
    return moments if x_axis == "Wall time" else (moments - moments.min()) / np.timedelta64(1, "s")


def _axis_title(x_axis: XAxis) -> str:
    return {"Iterations": "iteration", "Time from start": "seconds", "Wall time": "time (UTC)"}[x_axis]


def _style(line: Curve) -> dict[str, Any]:
    markers = "lines+markers" if len(line.x) == 1 else "lines"
    return {"mode": markers, "line": {"color": line.color, "dash": line.dash, "width": 2}, "marker": {"size": 6}}
