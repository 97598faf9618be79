"""What besides its exit code tells why a program ended: whether the kernel was out of memory, or the disk full."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .run_control import DISK_FULL

OUT_OF_MEMORY: Final = "out of memory"
ROOM: Final = 1 << 20
"""Bytes of free disk below which a program that failed is taken to have failed for want of them."""

_KILLED: Final = frozenset({-signal.SIGKILL, 128 + signal.SIGKILL})
_COUNTERS: Final = Path("/proc/vmstat")


class Circumstances:
    """Notes the state of the machine when a program starts, and compares when it has ended.

    `kills` counts processes killed by the kernel for want of memory, None where it does not tell; `folder` is where the
    program runs.
    """

    def __init__(self, folder: Path, kills: Callable[[], int | None] | None = None) -> None:
        self._folder = folder
        self._kills = kills or memory_kills
        self._before = self._kills()

    def of(self, code: int) -> str:
        """Say what else is known of a program that ended with this exit code, negative for a signal's number."""
        if code == 0:
            return ""
        after = self._kills()
        if code in _KILLED and after is not None and self._before is not None and after > self._before:
            return OUT_OF_MEMORY
        return DISK_FULL if self._is_disk_full() else ""

    def _is_disk_full(self) -> bool:
        try:
            return shutil.disk_usage(self._folder).free < ROOM
        except OSError:
            return False


def memory_kills() -> int | None:
    """Count processes the kernel has killed for want of memory since it started, in whatever control group.

    Source: `oom_kill` in /proc/vmstat, Linux 4.13 and later.
    """
    try:
        lines = _COUNTERS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)
