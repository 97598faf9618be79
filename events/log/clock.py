"""The machine's own clock, which nobody can set: for leases, and for the pace of append times."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Gives a time in µs."""


def uptime_us() -> int:
    """Microseconds since the machine started, sleep included where the system can tell; the same for all processes."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    return time.monotonic_ns() // 1000
