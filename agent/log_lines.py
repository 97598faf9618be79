"""The agent's own log on stderr: lines for people, or JSON for machines; each says in `action` what it is about."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from .masking import Mask

LogFormat = Literal["text", "json"]
_OURS: Final = "tasktape"
_LIBRARIES: Final = ("opentelemetry",)
_PLAIN: Final = frozenset(vars(logging.makeLogRecord({})))


class Masked(logging.Formatter):
    """Lines of another formatter without secrets."""

    def __init__(self, lines: logging.Formatter, mask: Mask) -> None:
        super().__init__()
        self._lines = lines
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return self._mask(self._lines.format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, message, the worker, and all extras, `action` among them.

    A library's line has its logger's name as the action.
    """

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {"time": f"{moment}.{record.msecs:03.0f}Z", "level": record.levelname, "message": record.getMessage()}
        line |= {"action": record.name, "worker": self._worker}
        extras = {name: value for name, value in vars(record).items() if name not in _PLAIN}
        if record.exc_info:
            extras["exception"] = self.formatException(record.exc_info)
        return json.dumps(line | extras, default=str)


@contextmanager
def logging_to_stderr(log_format: LogFormat, mask: Mask, worker: str) -> Iterator[None]:
    """Send tasktape's log lines, and those of libraries, without secrets, to stderr for as long as the agent lives."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")
    handler.setFormatter(Masked(JsonFormatter(worker) if log_format == "json" else text, mask))
    logger = logging.getLogger(_OURS)
    level = logger.level
    heard = [logger, *map(logging.getLogger, _LIBRARIES)]
    for source in heard:
        source.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for source in heard:
            source.removeHandler(handler)
        logger.setLevel(level)
