"""What an agent costs a machine while there is nothing to do."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import psutil

from .site import TASKTAPE, Site

SECONDS: Final = 60.0
_SETTLED_AFTER: Final = 10.0


class Idle(NamedTuple):
    """Percent of a core; resident memory, and the part of it that no other process shares, in MB."""

    processor: float
    resident: float
    own: float


def agent(site: Site) -> Idle:
    """Start one on an empty queue, let it settle, watch it for a while."""
    with site.start(TASKTAPE, "agent", stderr=-1) as process:
        if process.stderr is None or not any("serves" in line for line in process.stderr):
            raise RuntimeError("tasktape agent did not start")
        try:
            return _watched(psutil.Process(process.pid))
        finally:
            process.terminate()


def _watched(process: psutil.Process) -> Idle:
    time.sleep(_SETTLED_AFTER)
    before = _processor(process)
    time.sleep(SECONDS)
    memory = process.memory_full_info()
    return Idle((_processor(process) - before) / SECONDS * 100, memory.rss / 1e6, memory.uss / 1e6)


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
