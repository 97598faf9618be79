"""A run's console as events: lines are collected for a moment and leave in batches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from ..events.base import Event, Meta, now_us
from ..events.report_events import ConsoleLine, ConsoleWritten

COLLECT_SECONDS: Final = 0.1
LARGEST_BATCH: Final = 500


class Console:
    """Collects lines of one run from any thread and emits them in order; `close` emits the rest."""

    def __init__(self, task: str, run: int, stamp: Callable[[], Meta], emit: Callable[[Event], None]) -> None:
        self._task = task
        self._run = run
        self._stamp = stamp
        self._emit = emit
        self._changed = threading.Condition()
        self._lines: list[ConsoleLine] = []
        self._closed = False
        self._thread = threading.Thread(target=self._deliver, name="tasktape-console", daemon=True)
        self._thread.start()

    def write(self, stream: str, text: str) -> None:
        """Take a line of `stdout` or `stderr` of the program, or of the `agent` itself."""
        with self._changed:
            self._lines.append(ConsoleLine(at=now_us(), stream=stream, text=text))
            self._changed.notify_all()

    def close(self) -> None:
        """Emit what is left; returns when that is done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _deliver(self) -> None:
        while batch := self._next_batch():
            self._emit(ConsoleWritten(meta=self._stamp(), task=self._task, run=self._run, lines=batch))

    def _next_batch(self) -> list[ConsoleLine]:
        """Wait for lines, and a moment longer for their company; nothing when all is said."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closed)
            self._changed.wait_for(lambda: len(self._lines) >= LARGEST_BATCH or self._closed, timeout=COLLECT_SECONDS)
            batch, self._lines = self._lines[:LARGEST_BATCH], self._lines[LARGEST_BATCH:]
            return batch
