"""The agent as a program: signals in, exit code out."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from types import FrameType
from typing import TYPE_CHECKING, Final

from .devices import Capacity
from .load import machine_hardware
from .log_lines import LogFormat, logging_to_stderr
from .masking import mask_for
from .onlookers import Address, Onlookers
from .places import Housing
from .worker import Worker, new_worker_id

if TYPE_CHECKING:
    from ..events.settings import Settings

LEFT: Final = 0
"""Exit code of an agent that was told to go and finished what it ran."""
STOPPED_NOW: Final = 130
"""Exit code of an agent that was told twice: it ended what it ran and handed it back."""


def run_agent(
    settings: Settings,
    queues: Sequence[str],
    capacity: Capacity | None = None,
    *,
    fair: bool = False,
    housing: Housing | None = None,
    log_format: LogFormat = "text",
    preemptible: bool = False,
    metrics_at: Address | None = None,
    max_idle: float = inf,
) -> int:
    """Serve queues until told to stop; return the exit code, `LEFT` or `STOPPED_NOW`.

    The first SIGTERM or SIGINT: take nothing new, hand back what has not started, finish what runs, then go. The
    second: end what runs, and hand it back too. Where the machine is `preemptible`, the first SIGTERM does so already.

    Args:
        settings: Where the log is, and this machine's files.
        queues: Names, in the order of preference; those that do not exist are created.
        capacity: How many tasks to run at once and what they share; by default one at a time, and what the machine has.
        fair: Take from each queue in turn, not all of the first before the second's.
        housing: What tasks run in; by default virtual environments made for each set of requirements.
        log_format: `text` for people, `json` for machines.
        preemptible: SIGTERM means that the machine is about to go.
        metrics_at: Where to serve metrics; by default nowhere.
        max_idle: Leave after so many seconds with nothing to do; by default never.

    Raises:
        LogUnavailableError: The log did not answer for minutes at the start, or can't be used as the settings say.
        ContainerError: There is no such container engine.
        MissingLibraryError: Metrics need a library that is not installed.

    """
    identity = new_worker_id()
    with logging_to_stderr(log_format, mask_for(settings, os.environ), identity):
        onlookers = Onlookers(identity, metrics_at, os.environ)
        worker = Worker(
            settings,
            queues,
            capacity or Capacity(hardware=machine_hardware()),
            fair=fair,
            housing=housing or Housing(),
            identity=identity,
            observer=onlookers.observer,
            max_idle=max_idle,
        )
        with onlookers.watching(worker), _signals(worker, preemptible=preemptible) as told:
            worker.run()
    return STOPPED_NOW if told() > 1 else LEFT


@contextmanager
def _signals(worker: Worker, *, preemptible: bool) -> Iterator[Callable[[], int]]:
    """Pass SIGTERM and SIGINT on to the worker; gives how many came. Other threads than the main one hear none."""
    came: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        at_once = preemptible and number == signal.SIGTERM
        worker.leave(signal.Signals(number).name, now=len(came) > 1 or at_once)

    former = {}
    if threading.current_thread() is threading.main_thread():
        former = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: len(came)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
