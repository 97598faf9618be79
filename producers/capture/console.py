"""Listens to what the process writes to its console, and to log records that get there or would not.

Streams keep their identity: only their `write` is wrapped, so handlers and libraries that took hold of `sys.stderr`
long ago are heard too, and `isatty`, `fileno` and encodings are the terminal's own. What a program sends to another
stream on purpose (`redirect_stdout`) is not listened to.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from ..ending import Uninstall
from ..warn import LOGGER
from .arguments import Chosen, is_chosen
from .patches import safely

Write = Callable[[str, str], object]
STREAMS: Final = ("stdout", "stderr")
LOGGING: Final = "logging"
LOG_STREAM: Final = "log"
_FORMAT: Final = logging.Formatter("%(asctime)s - %(name)s - %(levelname)s - %(message)s")


class ConsoleTap:
    """Hands what is written on to `write(stream, text)`, in the order it happens; never what `write` itself causes."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._state = threading.local()
        self._undo: list[Uninstall] = []
        self._stopped = False

    def listen(self, chosen: Chosen = True) -> Uninstall:
        """Begin, to the streams and to `logging` as `chosen` says (names `stdout`, `stderr`, `logging`)."""
        for name in STREAMS:
            stream = getattr(sys, name)
            if stream is not None and is_chosen(chosen, name):
                safely(name, self._tap_stream, name, stream)
        if is_chosen(chosen, LOGGING):
            self._tap_logging()
        return self.stop

    def stop(self) -> None:
        """Leave streams and logging as they were; what somebody wrapped since stays, and is not heard any more."""
        self._stopped = True
        while self._undo:
            self._undo.pop()()

    def _tap_stream(self, name: str, stream: Any) -> None:
        original = stream.write

        def write(text: str, *rest: Any) -> Any:
            written = original(text, *rest)
            self._heard(name, text)
            return written

        self._replace(stream, "write", write)

    def _replace(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        before = vars(owner).get(name)
        setattr(owner, name, wrapper)
        self._undo.append(lambda: _restore(owner, name, wrapper, before))

    def _heard(self, stream: str, text: str) -> None:
        """Pass text on, unless it comes from passing text on."""
        self._state.heard = True
        if self._stopped or getattr(self._state, "passing", False) or not isinstance(text, str):
            return
        self._state.passing = True
        try:
            safely("console", self._write, stream, text)
        finally:
            self._state.passing = False

    def _tap_logging(self) -> None:
        """Hear records that no handler shows on a stream that is listened to: to a file, or to nowhere by chance."""
        original = logging.Logger.callHandlers

        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            before, self._state.heard = getattr(self._state, "heard", False), False
            original(logger, record)
            if not self._state.heard and record.name != LOGGER.name and not _is_silenced(logger):
                self._heard(LOG_STREAM, f"{safely('logging', _FORMAT.format, record)}\n")
            self._state.heard = before

        self._replace(logging.Logger, "callHandlers", call_handlers)


def _is_silenced(logger: logging.Logger) -> bool:
    """Whether all that a record meets on its way up is a library's null handler, put there to keep it quiet."""
    met: list[logging.Handler] = []
    at: logging.Logger | None = logger
    while at is not None:
        met += at.handlers
        at = at.parent if at.propagate else None
    return bool(met) and all(isinstance(handler, logging.NullHandler) for handler in met)


def _restore(owner: Any, name: str, wrapper: Callable[..., Any], before: Any) -> None:
    if vars(owner).get(name) is not wrapper:
        return
    if before is None:
        delattr(owner, name)
    else:
        setattr(owner, name, before)
