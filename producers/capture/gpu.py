"""Reads the load of NVIDIA GPUs, through `pynvml` where it is installed, else through `nvidia-smi`."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from typing import Any, Final, NamedTuple

GIGABYTE: Final = 1024**3
_MEGABYTE: Final = 1024**2
_QUERY: Final = "index,utilization.gpu,temperature.gpu,memory.used,memory.total"


class Gpu(NamedTuple):
    """One GPU: utilization in percent, temperature in degrees Celsius, memory in bytes."""

    number: int
    utilization: float
    temperature: float
    used: float
    total: float

    def load(self) -> dict[str, float]:
        """Values by the names ClearML gives them."""
        name = f"gpu_{self.number}"
        return {
            f"{name}_utilization": self.utilization,
            f"{name}_temperature": self.temperature,
            f"{name}_mem_usage": 100 * self.used / self.total if self.total else 0.0,
            f"{name}_mem_used_gb": self.used / GIGABYTE,
            f"{name}_mem_free_gb": (self.total - self.used) / GIGABYTE,
        }


def gpu_reader() -> Callable[[], list[Gpu]]:
    """The best way to read the GPUs here; on a machine without any it finds none, at no cost."""
    if importlib.util.find_spec("pynvml") is not None:
        try:
            return _nvml_reader(importlib.import_module("pynvml"))
        except Exception:  # noqa: BLE001  no driver, or one that does not fit: each version says so its own way
            return list
    command = shutil.which("nvidia-smi")
    return (lambda: _ask_smi(command)) if command else list


def _nvml_reader(nvml: Any) -> Callable[[], list[Gpu]]:
    nvml.nvmlInit()
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    return lambda: [_read_nvml(nvml, index, handle) for index, handle in enumerate(handles)]


def _read_nvml(nvml: Any, index: int, handle: Any) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    temperature = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
    utilization = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
    return Gpu(index, float(utilization), float(temperature), float(memory.used), float(memory.total))


def _ask_smi(command: str) -> list[Gpu]:
    """GPUs that `nvidia-smi` lists; values it does not know (`[N/A]`) count as 0."""
    asked = [command, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = ([_number(cell) for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip())
    return [Gpu(int(row[0]), row[1], row[2], row[3] * _MEGABYTE, row[4] * _MEGABYTE) for row in rows]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return 0.0
