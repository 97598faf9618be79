"""Keeps forks out of what a child could never use again if it was forked in the midst of it.

SQLite has locks of its own for memory and files: one that is held at the moment of a fork stays held in the child, the
write lock of a transaction of the parent's among them. A module that is half imported stays so in the child, too.
"""

from __future__ import annotations

import os
import threading
from typing import Final, Self

PATIENCE: Final = 5.0
"""Seconds that a fork waits for other threads at the most: it is the user's, and must not hang on ours."""


class ForkGate:
    """Threads enter it while no fork may happen, as often as they like; a fork waits for all, and lets nobody in."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew, as in a forked child: nobody else is there."""
        self._changed = threading.Condition()
        self._inside = 0
        self._forking = 0
        self._mine = threading.local()

    def __enter__(self) -> Self:
        depth = getattr(self._mine, "depth", 0)
        if not depth:
            self._come_in()
        self._mine.depth = depth + 1
        return self

    def __exit__(self, *exc: object) -> None:
        self._mine.depth -= 1
        if not self._mine.depth:
            self._go_out()

    def _come_in(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._forking in {0, threading.get_ident()})
            self._inside += 1

    def _go_out(self) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in, and wait until all are out."""
        with self._changed:
            self._forking = threading.get_ident()
            self._changed.wait_for(lambda: not self._inside, PATIENCE)

    def open(self) -> None:
        """Let everybody in again."""
        with self._changed:
            self._forking = 0
            self._changed.notify_all()


gate: Final = ForkGate()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=gate.close, after_in_parent=gate.open, after_in_child=gate.reset)
