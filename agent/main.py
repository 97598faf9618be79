"""The agent as a program: signals in, exit code out."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

from .log_lines import LogFormat, logging_to_stderr
from .masking import mask_for
from .places import Housing
from .worker import SERVICES_SLOTS, Worker

if TYPE_CHECKING:
    from ..events.settings import Settings

LEFT: Final = 0
"""Exit code of an agent that was told to go and finished what it ran."""
STOPPED_NOW: Final = 130
"""Exit code of an agent that was told twice: it ended what it ran and handed it back."""


def run_agent(
    settings: Settings,
    queues: Sequence[str],
    services: bool = False,
    *,
    housing: Housing | None = None,
    log_format: LogFormat = "text",
) -> int:
    """Serve queues until told to stop; return the exit code, `LEFT` or `STOPPED_NOW`.

    The first SIGTERM or SIGINT: take nothing new, hand back what has not started, finish what runs, then go. The
    second: end what runs, and hand it back too.

    Args:
        settings: Where the log is, and this machine's files.
        queues: Names, in the order of preference; those that do not exist are created.
        services: Run up to a thousand tasks at once, not one at a time: for light, long-lived ones.
        housing: What tasks run in; by default virtual environments made for each set of requirements.
        log_format: `text` for people, `json` for machines.

    Raises:
        LogUnavailableError: The log did not answer at the start.
        ContainerError: There is no such container engine.

    """
    with logging_to_stderr(log_format, mask_for(settings, os.environ)):
        worker = Worker(settings, queues, slots=SERVICES_SLOTS if services else 1, housing=housing or Housing())
        with _signals(worker) as told:
            worker.run()
    return STOPPED_NOW if told() > 1 else LEFT


@contextmanager
def _signals(worker: Worker) -> Iterator[Callable[[], int]]:
    """Pass SIGTERM and SIGINT on to the worker; gives how many came. Other threads than the main one hear none."""
    came: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        worker.leave(signal.Signals(number).name, now=len(came) > 1)

    former = {}
    if threading.current_thread() is threading.main_thread():
        former = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: len(came)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
