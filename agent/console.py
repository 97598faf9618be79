"""A run's console: what its program and its preparation say, as events, within a second."""

from __future__ import annotations

import codecs
import threading
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Final

from ..events.base import Event, Meta
from ..events.report_events import ConsoleLine, ConsoleWritten
from ..producers.console_batch import ConsoleBatcher
from .masking import Mask

_LOOK_SECONDS: Final = 0.2
_DECODER: Final = partial(codecs.getincrementaldecoder("utf-8"), "replace")


class Console:
    """Takes the output of one run from any thread and emits it as lines, in order; `close` emits the rest.

    `mask` takes secrets out of each line.
    """

    def __init__(
        self, task: str, run: int, stamp: Callable[[], Meta], emit: Callable[[Event], None], mask: Mask
    ) -> None:
        self._about = (task, run)
        self._stamp = stamp
        self._emit = emit
        self._mask = mask
        self._batcher = ConsoleBatcher(self._emit_lines)
        self._decoders: defaultdict[str, codecs.IncrementalDecoder] = defaultdict(_DECODER)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="tasktape-console", daemon=True)
        self._thread.start()

    def feed(self, stream: str, data: bytes) -> None:
        """Take bytes of a stream (`stdout` or `stderr`); what is not UTF-8 is shown as replacement characters."""
        self._batcher.write(stream, self._decoders[stream].decode(data))

    def say(self, text: str) -> None:
        """Take a line of the agent's own."""
        self._batcher.write("agent", f"{text}\n")

    def close(self) -> None:
        """Emit what is left; returns when that is done."""
        self._closing.set()
        self._thread.join()
        self._batcher.flush()

    def _tick(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            self._batcher.tick()

    def _emit_lines(self, lines: list[ConsoleLine]) -> None:
        task, run = self._about
        masked = [line.model_copy(update={"text": self._mask(line.text)}) for line in lines]
        self._emit(ConsoleWritten(meta=self._stamp(), task=task, run=run, lines=masked))
