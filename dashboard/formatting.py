"""How values look to people, in the terminal and in the browser alike: numbers, sizes, times, names, statuses."""

from __future__ import annotations

import math
import re
from datetime import datetime, tzinfo
from typing import Final, Literal, NamedTuple

from ..producers.text import SPANS, duration, one_line, utc_time

__all__ = [
    "MACHINE_COLORS",
    "SCALING_COLORS",
    "STATUSES",
    "STEP_COLORS",
    "TRIAL_COLORS",
    "Color",
    "StatusLook",
    "ago",
    "duration",
    "local_time",
    "markdown",
    "number",
    "one_line",
    "size",
    "status_look",
    "status_named",
    "utc_time",
]

_SIZES: Final = ("B", "KB", "MB", "GB", "TB", "PB")
_SMALLEST_PLAIN: Final = 1e-4
_MARKDOWN: Final = re.compile(r"([!-/:-@\[-`{-~])")


Color = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray", "primary"]
"""A colour of the theme, by name."""


class StatusLook(NamedTuple):
    """How a task's status is shown: its label, its colour by theme name, and its icon in the browser."""

    label: str
    color: Color
    icon: str


STATUSES: Final[dict[str, StatusLook]] = {
    "created": StatusLook("Draft", "gray", ":material/edit_note:"),
    "queued": StatusLook("Queued", "violet", ":material/schedule:"),
    "in_progress": StatusLook("Running", "blue", ":material/play_circle:"),
    "completed": StatusLook("Completed", "green", ":material/check_circle:"),
    "failed": StatusLook("Failed", "red", ":material/error:"),
    "stopped": StatusLook("Aborted", "orange", ":material/stop_circle:"),
    "published": StatusLook("Published", "primary", ":material/verified:"),
}
STEP_COLORS: Final[dict[str, Color]] = {
    "pending": "gray",
    "queued": "violet",
    "running": "blue",
    "completed": "green",
    "cached": "green",
    "failed": "red",
    "aborted": "orange",
    "skipped": "gray",
}
"""Statuses of a pipeline's steps, and their colours."""
TRIAL_COLORS: Final[dict[str, Color]] = {
    "queued": "violet",
    "running": "blue",
    "completed": "green",
    "pruned": "gray",
    "failed": "red",
    "aborted": "orange",
}
"""Statuses of a search's trials, and their colours."""
MACHINE_COLORS: Final[dict[str, Color]] = {
    "requested": "violet",
    "booting": "blue",
    "ready": "green",
    "draining": "orange",
    "terminating": "gray",
    "terminated": "gray",
    "failed": "red",
}
"""Statuses of a scaler's machines, and their colours."""
SCALING_COLORS: Final[dict[str, Color]] = {
    "lead": "violet",
    "launch": "green",
    "adopt": "blue",
    "drain": "orange",
    "end": "gray",
    "hold back": "red",
}
"""What a scaler decides, and its colours."""
_ALIASES: Final = {look.label.lower(): status for status, look in STATUSES.items()} | {"pending": "queued"}


def status_look(status: str) -> StatusLook:
    """Look of a status; one that is not known is shown as it is."""
    return STATUSES.get(status, StatusLook(one_line(status, 24), "gray", ":material/help:"))


def status_named(text: str) -> str | None:
    """Status of a name or label (`in_progress`, `Running`), None if there is no such status."""
    name = text.strip().lower()
    return name if name in STATUSES else _ALIASES.get(name)


def number(value: float | None, digits: int = 6) -> str:
    """A number with at most `digits` significant digits, thousands apart; `—` for none."""
    if value is None:
        return "—"
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "-∞"}.get(value, "NaN")
    if value == int(value) and abs(value) < 10**15:
        return f"{int(value):,}"
    return f"{value:,.{digits}g}" if _SMALLEST_PLAIN <= abs(value) < 10**digits else f"{value:.{digits}g}"


def size(count: float) -> str:
    """A number of bytes: `1.5 MB` (1 MB is 1,000,000 bytes)."""
    power = 0
    while power < len(_SIZES) - 1 and round(count, 1) >= 1000:  # noqa: PLR2004  the step between units
        count, power = count / 1000, power + 1
    return f"{count:.1f}".removesuffix(".0") + f" {_SIZES[power]}"


def ago(moment: datetime | None, now: datetime) -> str:
    """How long before `now` a moment was, in one unit: `3 min ago`; `—` for none."""
    if moment is None:
        return "—"
    seconds = (now - moment).total_seconds()
    for length, unit in SPANS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "just now"


def local_time(moment: datetime | None, zone: tzinfo | None = None) -> str:
    """A moment to the second, in a time zone (None: this machine's); `—` for none."""
    return "—" if moment is None else moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def markdown(text: str, width: int = 120) -> str:
    """Text on one line that Markdown shows as it is: no markup, link, image, formula or HTML in it counts."""
    return _MARKDOWN.sub(r"\\\1", one_line(text, width))
