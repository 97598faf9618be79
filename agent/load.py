"""What this machine has, and how busy it is: figures that agents say of themselves."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Final

from ..events.hardware import Hardware

_GIB: Final = 1 << 30
_CGROUPS: Final = Path("/sys/fs/cgroup")
_DEVICES: Final = Path("/dev")


def machine_load(folder: Path) -> dict[str, float]:
    """CPU (since the last call) and memory in percent, free memory and free disk of `folder` in bytes, load average.

    What can't be found out is left out.
    """
    import psutil  # noqa: PLC0415  only agents that live for a while pay for it

    memory = psutil.virtual_memory()
    load = {
        "cpu_percent": psutil.cpu_percent(None),
        "memory_percent": memory.percent,
        "memory_free_bytes": float(memory.available),
        "load_average": psutil.getloadavg()[0],
    }
    with contextlib.suppress(OSError):
        load["disk_free_bytes"] = float(psutil.disk_usage(str(folder)).free)
    return load


def machine_hardware(
    gpus: Sequence[str] | None = None, cpus: float | None = None, memory_gb: float | None = None
) -> Hardware:
    """What there is to give to runs: what is told, and else what this process may use of the machine.

    `gpus` are the names of those to be shared out; without them all of NVIDIA's count that are visible here.
    """
    return Hardware(
        cpus=_cores() if cpus is None else cpus,
        memory_gb=_memory_gb() if memory_gb is None else memory_gb,
        gpus=len(list(_DEVICES.glob("nvidia[0-9]*"))) if gpus is None else len(gpus),
    )


def _cores() -> float:
    """Processors that this process may use, in whole or by a quota of time (cpu.max of its control groups)."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return round(min(usable, *_of_control_groups("cpu.max", _quota), inf), 2)


def _memory_gb() -> float:
    """Memory that this process may use, in GiB (memory.max of its control groups)."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return round(min(there, *_of_control_groups("memory.max", float), inf) / _GIB, 2)


def _quota(text: str) -> float:
    quota, period = text.split()
    return float(quota) / float(period)


def _of_control_groups(file: str, parse: Callable[[str], float]) -> Iterator[float]:
    """Limits that this process's control groups set, one within the other; those that set none say `max`.

    Source: the kernel's documentation of control groups v2; with v1 none are found.
    """
    with contextlib.suppress(OSError):
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").strip().rpartition("::/")[2]
        for folder in (_CGROUPS / own, *(_CGROUPS / own).parents):
            with contextlib.suppress(OSError, ValueError):
                yield parse((folder / file).read_text(encoding="utf-8"))


def machine_facts() -> dict[str, str]:
    """What a run's start says of the machine it is on."""
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }
