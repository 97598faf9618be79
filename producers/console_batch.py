"""Console output in batches of lines: progress bars that draw over themselves become one line, not thousands."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from ..events.base import now_us
from ..events.report_events import ConsoleLine
from .text import as_text

BATCH_SECONDS: Final = 0.5
PARTIAL_SECONDS: Final = 10.0
BATCH_CHARACTERS: Final = 64 << 10
LINE_CHARACTERS: Final = 16 << 10

Send = Callable[[list[ConsoleLine]], object]


class ConsoleBatcher:
    r"""Collects what is written to the streams of one run, and emits it as lines. Thread-safe.

    A line goes out within half a second or so (`tick`), at once when 64 KiB have gathered. A line that is drawn over
    (`\r`) goes out as it is at its end, and every ten seconds while it has none. `clock` is in µs since 1970, `timer`
    in seconds since whenever.
    """

    def __init__(
        self, send: Send, *, clock: Callable[[], int] = now_us, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._clock = clock
        self._timer = timer
        self._lock = threading.RLock()
        self._emitting = threading.RLock()
        self._muted = threading.local()
        self._lines: list[ConsoleLine] = []
        self._characters = 0
        self._partial: dict[str, str] = {}
        self._partial_since: dict[str, float] = {}
        self._since = timer()

    def write(self, stream: str, text: str) -> None:
        """Take what was written to a stream (`stdout`, `stderr`, `log` or `agent`)."""
        if getattr(self._muted, "on", False) or not text:
            return
        with self._lock:
            *lines, partial = (self._partial.get(stream, "") + as_text(text)).split("\n")
            for line in lines:
                self._add(stream, _as_seen(line))
            while len(partial := _drawn_over(partial)) > LINE_CHARACTERS:
                self._add(stream, partial[:LINE_CHARACTERS])
                partial = partial[LINE_CHARACTERS:]
            self._keep(stream, partial)
        if self._characters >= BATCH_CHARACTERS:
            self.emit()

    def _add(self, stream: str, text: str) -> None:
        if not self._lines:
            self._since = self._timer()
        for start in range(0, max(len(text), 1), LINE_CHARACTERS):
            part = text[start : start + LINE_CHARACTERS]
            self._lines.append(ConsoleLine(at=self._clock(), stream=stream, text=part))
            self._characters += len(part) + 1

    def _keep(self, stream: str, partial: str) -> None:
        if partial:
            self._partial[stream] = partial
            self._partial_since.setdefault(stream, self._timer())
        else:
            self._partial.pop(stream, None)
            self._partial_since.pop(stream, None)

    @contextlib.contextmanager
    def muted(self) -> Iterator[None]:
        """Ignore what this thread writes: it is known by another way already."""
        self._muted.on = True
        try:
            yield
        finally:
            self._muted.on = False

    def tick(self) -> None:
        """Emit what has waited long enough."""
        now = self._timer()
        with self._lock:
            for stream, since in list(self._partial_since.items()):
                if now - since >= PARTIAL_SECONDS:
                    self._add(stream, _as_seen(self._partial[stream]))
                    self._partial_since[stream] = now
            due = self._lines and now - self._since >= BATCH_SECONDS
        if due:
            self.emit()

    def flush(self) -> None:
        """Emit all that was written, unfinished lines as they are."""
        with self._lock:
            for stream, partial in list(self._partial.items()):
                self._add(stream, _as_seen(partial))
                self._keep(stream, "")
        self.emit()

    def emit(self) -> None:
        """Emit all finished lines."""
        with self._emitting:
            with self._lock:
                lines, self._lines = self._lines, []
                self._characters = 0
            if lines:
                self._send(lines)


def _as_seen(line: str) -> str:
    """What a terminal shows of a line: what was drawn last."""
    return line.rstrip("\r").rpartition("\r")[2]


def _drawn_over(partial: str) -> str:
    """An unfinished line without what was drawn over."""
    seen = _as_seen(partial)
    return seen + "\r" if partial.endswith("\r") and seen else seen
