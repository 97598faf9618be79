"""Tab: the console, live; a search shows the lines that hold a text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import streamlit as st

from ..projections.rows import ConsoleRow, TaskRow
from .formatting import local_time
from .source import queries
from .widgets import nothing, zone

_LINES: Final = 1000
_SEARCHED: Final = 50_000
_ESCAPES: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\x00-\x08\x0b-\x1f\x7f]")


def draw(task: TaskRow) -> None:
    """Draw the end of a task's console, or what a search finds in it."""
    text, times = st.columns([8, 2], vertical_alignment="center")
    wanted = text.text_input(
        "Search console",
        key="console-search",
        placeholder="Search",
        icon=":material/search:",
        label_visibility="collapsed",
    )
    with_times = times.toggle("Times", key="console-times")
    with queries() as asked:
        lines = asked.console(task.id, _SEARCHED if wanted else _LINES)
    if not lines:
        nothing("Nothing was written yet.")
        return
    found = [line for line in lines if wanted.casefold() in line.text.casefold()][-_LINES:]
    with st.container(height=560, border=True, autoscroll=not wanted):
        st.code(_text(found, with_times=with_times) or "No line holds this.", language=None, wrap_lines=True)
    st.caption(f"{len(found):,} lines" + (f" of the last {len(lines):,}" if wanted else ""))


def _text(lines: Sequence[ConsoleRow], *, with_times: bool) -> str:
    if not with_times:
        return "\n".join(plain_line(line.text) for line in lines)
    return "\n".join(f"{local_time(line.at, zone())}  {plain_line(line.text)}" for line in lines)


def plain_line(text: str) -> str:
    """A line without what a terminal would take as a command."""
    return _ESCAPES.sub("", text)
