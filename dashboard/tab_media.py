"""Tab: debug samples by title and series: images, sounds and videos, with earlier iterations on a slider.

What lies elsewhere on the web is linked, not loaded: the dashboard asks nobody outside. HTML is shown as its source.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

import streamlit as st

from ..projections.rows import ReportRow, TaskRow
from .formatting import markdown, number, size
from .source import blob_bytes, queries
from .widgets import nothing

_ITERATIONS: Final = 100
_ACROSS: Final = 3
_EXAMPLE: Final = 'task.get_logger().report_image("samples", "first", iteration=1, image=image)'


def draw(task: TaskRow) -> None:
    """Draw a task's debug samples and texts."""
    with queries() as asked:
        media, texts = asked.media(task.id, iterations=_ITERATIONS), asked.texts(task.id)
    if not media and not texts:
        nothing("No debug samples yet. A script reports them with:", _EXAMPLE, "python")
        return
    series = [list(rows) for _, rows in groupby(media, key=lambda row: (row.title, row.series))]
    for start in range(0, len(series), _ACROSS):
        for column, rows in zip(st.columns(_ACROSS), series[start : start + _ACROSS], strict=False):
            with column.container(border=True):
                _series(rows)
    for text in texts[-50:]:
        with st.container(border=True):
            st.caption(f"{markdown(text.title)} · {markdown(text.series)} · iteration {text.iteration:,}")
            st.text(text.content)


def _series(rows: Sequence[ReportRow]) -> None:
    last = rows[-1]
    st.markdown(f"**{markdown(last.title, 60)}** :gray[{markdown(last.series, 60)}]")
    by_iteration = {row.iteration: row for row in rows}
    row = last
    if len(by_iteration) > 1:
        key = f"media-{last.title}-{last.series}"
        chosen = st.select_slider("Iteration", list(by_iteration), value=last.iteration, key=key)
        row = by_iteration.get(chosen, last)
    _sample(row)
    st.caption(f"iteration {number(row.iteration)}{f' · {size(row.size)}' if row.size else ''}")


def _sample(row: ReportRow) -> None:
    if row.uri.startswith(("http://", "https://")):
        st.link_button("Open where it lies", row.uri, icon=":material/open_in_new:", help=markdown(row.uri, 400))
        return
    content = blob_bytes(row.uri, row.size, row.sha256)
    if content is None:
        st.warning("The file is not in the blob store any more, or can't be reached from here.")
    elif row.content_type.startswith("image/") and row.content_type != "image/svg+xml":
        st.image(content, width="stretch")
    elif row.content_type.startswith("audio/"):
        st.audio(content, format=row.content_type)
    elif row.content_type.startswith("video/"):
        st.video(content, format=row.content_type)
    else:
        _other(row, content)


def _other(row: ReportRow, content: bytes) -> None:
    if row.content_type.startswith(("text/", "image/svg")):
        st.code(content[:20_000].decode(errors="replace"), language="html", height=240)
    name = row.uri.rpartition("/")[2] or "sample"
    st.download_button("Download", content, file_name=name, mime="application/octet-stream", key=f"media-{row.uri}")
