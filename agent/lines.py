"""Bytes of a program's output to lines of text: whole lines, progress bars thinned out, memory bounded."""

from __future__ import annotations

import codecs
import time
from collections.abc import Callable, Iterator
from math import inf
from typing import Final

LONGEST_LINE: Final = 32_768
PROGRESS_INTERVAL: Final = 10.0


class LineAssembler:
    """Collects one stream's bytes into lines; what is not UTF-8 is shown as replacement characters.

    A carriage return begins the line anew, as in a terminal: of a progress bar the final state becomes a line, and on
    the way one state each `PROGRESS_INTERVAL` seconds. A line longer than `LONGEST_LINE` characters is cut into pieces.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._clock = clock
        self._text = ""
        self._shown_at = -inf

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Take the next bytes; give the lines they complete."""
        *whole, self._text = (self._text + self._decoder.decode(chunk)).split("\n")
        for line in whole:
            yield from _pieces(_final_state(line))
        yield from self._progress()
        while len(self._text) > LONGEST_LINE:
            piece, self._text = self._text[:LONGEST_LINE], self._text[LONGEST_LINE:]
            yield piece

    def end(self) -> Iterator[str]:
        """The stream is over: give what is left as a line."""
        text, self._text = self._text + self._decoder.decode(b"", final=True), ""
        if text:
            yield from _pieces(_final_state(text))

    def _progress(self) -> Iterator[str]:
        """Cut off the states that are overwritten; now and then one of them is shown."""
        overwritten, mark, current = self._text.rpartition("\r")
        if not mark or not current:
            return
        self._text = current
        now = self._clock()
        if now - self._shown_at >= PROGRESS_INTERVAL and (state := _final_state(overwritten)):
            self._shown_at = now
            yield from _pieces(state)


def _final_state(line: str) -> str:
    """What a terminal would show of a line in the end, taking each carriage return as a clean start."""
    return line.rstrip("\r").rpartition("\r")[2]


def _pieces(line: str) -> Iterator[str]:
    for start in range(0, max(len(line), 1), LONGEST_LINE):
        yield line[start : start + LONGEST_LINE]
