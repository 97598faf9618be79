"""Tab: scalars over iterations or time, a chart for each title, smoothed or on a log scale; they grow as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import pyarrow as pa
import streamlit as st

from ..projections.rows import LastScalar, TaskRow
from .charts import X_AXES, Curve, XAxis, curves, scalar_figure, titles
from .formatting import markdown, number, one_line
from .source import queries
from .widgets import nothing

SAMPLES: Final = 1000
_CHARTS: Final = 12
_ACROSS: Final = 2
_FEW: Final = 4


class View(NamedTuple):
    """How charts are drawn."""

    x_axis: XAxis
    smoothing: float
    log: bool


def draw(task: TaskRow) -> None:
    """Draw a task's scalars."""
    with queries() as asked:
        scalars = asked.scalars(task.id, SAMPLES)
        summary = asked.last_scalars(task.id)
        singles = asked.single_values(task.id)
    if not scalars.num_rows and not singles:
        nothing("No scalars yet. A script reports them with:", _EXAMPLE, "python")
        return
    _single_values(singles)
    view = controls("task")
    charts([(title, curves(scalars, title, view.x_axis)) for title in chosen_titles(scalars, "task")], view, "task")
    _summary(summary)


_EXAMPLE: Final = 'task.get_logger().report_scalar("loss", "train", value=0.5, iteration=1)'


def controls(place: str) -> View:
    """The controls above charts; `place` keeps pages' controls apart."""
    axis, smoothing, log = st.columns([4, 3, 2], vertical_alignment="bottom")
    x_axis = axis.segmented_control(
        "X axis", X_AXES, default=X_AXES[0], required=True, key=f"{place}-x", label_visibility="collapsed"
    )
    weight = smoothing.slider("Smoothing", 0.0, 0.99, 0.0, 0.01, key=f"{place}-smoothing")
    return View(x_axis or X_AXES[0], weight, log.toggle("Log scale", key=f"{place}-log"))


def chosen_titles(scalars: pa.Table, place: str) -> list[str]:
    """Titles to draw: those that hold the text looked for, a page of them."""
    found = titles(scalars)
    if len(found) > _FEW:
        text = st.text_input(
            "Filter charts",
            key=f"{place}-filter",
            placeholder="Filter charts by title",
            icon=":material/filter_alt:",
            label_visibility="collapsed",
        )
        found = [title for title in found if text.casefold() in title.casefold()]
    if len(found) <= _CHARTS:
        return found
    page = st.pagination(-(-len(found) // _CHARTS), key=f"{place}-charts")
    return found[(page - 1) * _CHARTS : page * _CHARTS]


def charts(drawn: Sequence[tuple[str, Sequence[Curve]]], view: View, place: str) -> None:
    """Draw charts, two in a row."""
    for start in range(0, len(drawn), _ACROSS):
        for column, (title, lines) in zip(st.columns(_ACROSS), drawn[start : start + _ACROSS], strict=False):
            with column.container(border=True):
                st.markdown(f"**{markdown(title, 80)}**")
                figure = scalar_figure(lines, smoothing=view.smoothing, log=view.log, x_axis=view.x_axis)
                st.plotly_chart(figure, key=f"{place}-chart-{title}", config={"displaylogo": False})


def _single_values(singles: dict[str, float]) -> None:
    names = sorted(singles)
    for start in range(0, len(names), 4):
        for column, name in zip(st.columns(4), names[start : start + 4], strict=False):
            column.metric(markdown(name, 60), number(singles[name]), border=True)


def _summary(summary: Sequence[LastScalar]) -> None:
    if not summary:
        return
    rows = [
        {
            "Title": one_line(s.title),
            "Series": one_line(s.series),
            "First": s.first,
            "Last": s.last,
            "Min": s.min,
            "Max": s.max,
            "Mean": s.mean,
            "Points": s.count,
        }
        for s in summary
    ]
    st.markdown("**Values**")
    st.dataframe(rows, hide_index=True)
