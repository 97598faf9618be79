"""Small things that several pages draw: a status, a moment, a name, rows in pages, a page with nothing on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from .formatting import STATUSES, ago, local_time, markdown, status_look, utc_time

LIVE: Final = 1.0
"""Seconds between refreshes of what is running."""
CALM: Final = 5.0
"""Seconds between refreshes of what seldom changes."""

STATUS_LABELS: Final = tuple(look.label for look in STATUSES.values())
STATUS_COLORS: Final = tuple(look.color for look in STATUSES.values())

T = TypeVar("T")


def now() -> datetime:
    """This moment, UTC."""
    return datetime.now(UTC)


def zone() -> tzinfo | None:
    """The time zone of the browser, None (this machine's) where it does not say."""
    try:
        return ZoneInfo(st.context.timezone) if st.context.timezone else None
    except (ZoneInfoNotFoundError, ValueError):
        return None


def status_badge(status: str) -> None:
    """A task's status in its colour."""
    look = status_look(status)
    st.badge(markdown(look.label), icon=look.icon, color=look.color)


def fact(label: str, value: str, *, hint: str = "") -> None:
    """A small labelled value; the value is shown as it is, the hint on hovering."""
    st.markdown(f":gray[{markdown(label)}]  \n{markdown(value) or '—'}", help=markdown(hint, 400) or None)


def moment(label: str, at: datetime | None) -> None:
    """A labelled moment as a distance from now; local time and UTC on hovering."""
    hint = f"{local_time(at, zone())} · {utc_time(at)}" if at else ""
    fact(label, ago(at, now()), hint=hint)


def tags(names: Iterable[str]) -> None:
    """Tags in a row."""
    for name in names:
        st.badge(markdown(name, 40), color="gray", icon=":material/sell:")


def nothing(text: str, command: str = "", language: str | None = "bash") -> None:
    """What a page says when there is nothing to show, and the command that changes that."""
    with st.container(border=True, horizontal_alignment="center"):
        st.space("small")
        st.markdown(f":gray[{text}]", text_alignment="center")
        if command:
            st.code(command, language=language, width="content")
        st.space("small")


def in_pages(rows: Sequence[T], count: int, key: str, draw: Callable[[Sequence[T]], None]) -> None:
    """Draw so many rows at once, and below them the pages there are, if these are several."""
    drawn = st.container()
    pages = -(-len(rows) // count)
    place = st.pagination(pages, key=key) if pages > 1 else 1
    with drawn:
        draw(rows[(place - 1) * count : place * count])
