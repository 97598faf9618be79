"""One warning per kind of trouble: training output is no place for the same line a million times."""

from __future__ import annotations

import logging
from typing import Final

LOGGER: Final = logging.getLogger("tasktape")

_told: set[str] = set()


def warn_once(kind: str, message: str) -> None:
    """Log a warning, unless one of this kind was logged in this process before."""
    if kind not in _told:
        _told.add(kind)
        LOGGER.warning(message, extra={"action": kind})


def forget(kind: str | None = None) -> None:
    """Warn again the next time: of this kind, since the trouble is over, or (None) of every kind."""
    if kind is None:
        _told.clear()
    else:
        _told.discard(kind)
