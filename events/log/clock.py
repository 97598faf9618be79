"""The embedded log's clock: wall time that never goes back and never stands still, whatever the machine does."""

from __future__ import annotations

import time
from collections.abc import Callable


def uptime_us() -> int:
    """Microseconds since the machine started, sleep included where the system can tell; the same for all processes."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    return time.monotonic_ns() // 1000


def next_timestamp(last: int, last_uptime: int, now: int, uptime: int) -> int:
    """Append time after `last`, all in µs.

    A clock set back must not stop the log's: ages of claims are differences of append times, and would not grow. So the
    log's clock then goes on at the pace of `uptime` until the wall clock has caught up. A smaller `uptime` than before
    means that the machine was started anew.
    """
    return max(now, last + max(0, uptime - last_uptime))


Clock = Callable[[], int]
