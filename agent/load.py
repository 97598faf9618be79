"""How busy this machine is: the figures that heartbeats carry."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path


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


def machine_facts() -> dict[str, str]:
    """What a run's start says of the machine it is on."""
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }
