"""Tab: the plots a task reported, the latest of each series, earlier iterations on a slider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

import streamlit as st

from ..projections.rows import ReportRow, TaskRow
from .charts import user_figure
from .formatting import markdown, size
from .source import blob_text, queries
from .widgets import nothing

_ITERATIONS: Final = 100
_HEAVY: Final = 5_000_000
"""Bytes from which on a plot is sent to the browser only when asked for."""
_EXAMPLE: Final = 'task.get_logger().report_confusion_matrix("confusion", "validation", matrix, iteration=1)'


def draw(task: TaskRow) -> None:
    """Draw a task's plots."""
    with queries() as asked:
        plots = asked.plots(task.id, iterations=_ITERATIONS)
    if not plots:
        nothing("No plots yet. A script reports them with:", _EXAMPLE, "python")
        return
    series = [list(rows) for _, rows in groupby(plots, key=lambda row: (row.title, row.series))]
    for start in range(0, len(series), 2):
        for column, rows in zip(st.columns(2), series[start : start + 2], strict=False):
            with column.container(border=True):
                _plot(rows)


def _plot(rows: Sequence[ReportRow]) -> None:
    """One series of plots: the iteration chosen, by default the last."""
    last = rows[-1]
    st.markdown(f"**{markdown(last.title, 80)}** :gray[{markdown(last.series, 60)}]")
    by_iteration: Mapping[int, ReportRow] = {row.iteration: row for row in rows}
    key = f"plot-{last.title}-{last.series}"
    row = last
    if len(by_iteration) > 1:
        chosen = st.select_slider("Iteration", list(by_iteration), value=last.iteration, key=key)
        row = by_iteration.get(chosen, last)
    if row.size > _HEAVY and not st.toggle(f"Draw it ({size(row.size)})", key=f"{key}-heavy"):
        return
    figure = user_figure(row.content or blob_text(row.uri, row.size, row.sha256))
    if figure is None:
        st.warning("This plot can't be drawn: what was reported is no plotly figure.")
    else:
        st.plotly_chart(figure, key=f"{key}-figure", config={"displaylogo": False})
