"""How busy this machine is: the figures that heartbeats carry."""

from __future__ import annotations

import platform
from pathlib import Path


def machine_load(folder: Path) -> dict[str, float]:
    """CPU (since the last call) and memory in percent, free memory and free disk of `folder` in bytes, load average."""
    import psutil  # noqa: PLC0415  only agents that live for a while pay for it

    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(folder))
    return {
        "cpu_percent": psutil.cpu_percent(None),
        "memory_percent": memory.percent,
        "memory_free_bytes": float(memory.available),
        "disk_free_bytes": float(disk.free),
        "load_average": psutil.getloadavg()[0],
    }


def machine_facts() -> dict[str, str]:
    """What a run's start says of the machine it is on."""
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }
