"""Text as users pass it, made fit for an event: no lone surrogates, names of a length one can look at; and counts."""

from __future__ import annotations

import hashlib
import reprlib
from typing import Any, Final

LONGEST_NAME: Final = 10_000
_DIGEST: Final = 16


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
