"""Text as users pass it, made fit for an event: no lone surrogates, names of a length one can look at.

And small texts for people: counts, moments and spans of time, anything on one line.
"""

from __future__ import annotations

import hashlib
import re
import reprlib
from datetime import UTC, datetime
from typing import Any, Final

LONGEST_NAME: Final = 10_000
_DIGEST: Final = 16
SPANS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
"""Lengths of units of time in seconds, the largest first."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


def as_text(value: Any) -> str:
    """Text of anything, in valid Unicode: what is none is shown by its escapes."""
    text = value if type(value) is str else str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def shown(value: Any) -> str:
    """Anything, short, for a message; an object whose own `repr` fails is shown by its type."""
    return reprlib.repr(value)


def as_name(value: Any) -> str:
    """Name of a metric or the like; longer than 10,000 characters it is cut and ends in a digest of the whole."""
    name = as_text(value)
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST]
    return f"{name[: LONGEST_NAME - _DIGEST - 1]}…{digest}"


def counted(count: int, thing: str) -> str:
    """So many of a thing: `1 line`, `2,000 lines`, `2 processes`."""
    ending = "" if count == 1 else "es" if thing.endswith("s") else "s"
    return f"{count:,} {thing}{ending}"


def duration(seconds: float | None) -> str:
    """A span of time in its two largest units: `2 h 5 min`, `0.4 s`; `—` for none."""
    if seconds is None:
        return "—"
    if seconds < 10:  # noqa: PLR2004  short spans need a decimal
        return f"{max(seconds, 0):.1f}".removesuffix(".0") + " s"
    rest = round(seconds)
    parts: list[tuple[int, str]] = []
    for length, unit in SPANS:
        count, rest = divmod(rest, length)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def utc_time(moment: datetime | None) -> str:
    """A moment in UTC to the second, marked as such; `—` for none."""
    return "—" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def one_line(text: str, width: int = 120) -> str:
    """Text on one line of at most `width` characters: control, line and direction characters become spaces."""
    clean = _CONTROL.sub(" ", text[: 4 * width]).strip()
    return clean if len(clean) <= width and len(text) <= 4 * width else clean[: width - 1].rstrip() + "…"
