"""How a program tells the agent that runs it of its abort callback: a note with the seconds it may take.

The agent names the file in `TASKTAPE_ABORT_NOTE`. While the note is there, an abort waits so long for the callback
before the program gets SIGTERM; the program removes the note once the callback has returned.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

VARIABLE: Final = "TASKTAPE_ABORT_NOTE"


def announce(seconds: float) -> None:
    """Tell the agent, if there is one, that an abort callback is registered that may take so long."""
    if path := os.environ.get(VARIABLE):
        with contextlib.suppress(OSError):
            Path(path).write_text(f"{seconds:g}", encoding="ascii")


def withdraw() -> None:
    """Tell the agent that there is no callback to wait for (any more)."""
    if path := os.environ.get(VARIABLE):
        with contextlib.suppress(OSError):
            Path(path).unlink(missing_ok=True)


def seconds(note: Path) -> float:
    """How long to wait for the callback that a note announces; 0 where there is none."""
    try:
        return float(note.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0
