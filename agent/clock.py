"""The two clocks an agent lives by, in one place so that tests and simulations can bring their own."""

from __future__ import annotations

import time
from typing import Protocol

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Seconds since some moment; neither clock is ever set back."""

    def monotonic(self) -> float:
        """Stands still while the machine sleeps: waits, and the silence of others, are measured by it."""

    def boottime(self) -> float:
        """Goes on while the machine sleeps: the worker's own lease is measured by it."""


class SystemClock:
    """The machine's clocks; where there is no `CLOCK_BOOTTIME` both are the monotonic one."""

    def monotonic(self) -> float:
        """`CLOCK_MONOTONIC`."""
        return time.monotonic()

    def boottime(self) -> float:
        """`CLOCK_BOOTTIME`."""
        return time.clock_gettime(_BOOTTIME)
