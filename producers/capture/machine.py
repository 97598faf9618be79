"""Reports the machine's load beside the task's own curves: CPU, memory, disk, network and GPUs, each half minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ...events.log.fork_gate import gate
from ..ending import Uninstall
from .gpu import GIGABYTE, gpu_reader
from .load_axis import LONGEST_WAIT_SECONDS, WAIT_SECONDS, Load, LoadAxis, mean
from .patches import safely

if TYPE_CHECKING:
    from ..task import Task

MACHINE: Final = ":monitor:machine"
GPU: Final = ":monitor:gpu"
SAMPLE_SECONDS: Final = 10.0
REPORT_SECONDS: Final = 30.0
FIRST_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 2.0
_MEGABYTE: Final = 1024**2

Report = Callable[[str, str, float, int], object]


class MachineLoad:
    """What the machine does, as means since the last call of `sample`. Made in the thread that samples."""

    def __init__(self) -> None:
        with gate:
            import psutil  # noqa: PLC0415  15 ms that `Task.init` need not wait for

            self._gpus = gpu_reader()
        self._psutil = psutil
        psutil.cpu_percent()
        self._counted = self._counters()

    def sample(self) -> Load:
        """Values by title and series: percents, gigabytes (2^30 bytes), and megabytes (2^20 bytes) a second."""
        memory = self._psutil.virtual_memory()
        disk = self._psutil.disk_usage(".")
        machine = {
            "cpu_usage": self._psutil.cpu_percent(),
            "memory_used_gb": (memory.total - memory.available) / GIGABYTE,
            "memory_free_gb": memory.available / GIGABYTE,
            "disk_free_percent": 100.0 - disk.percent,
            **self._rates(),
            **self._temperatures(),
        }
        gpus = {(GPU, name): value for gpu in self._gpus() for name, value in gpu.load().items()}
        return {(MACHINE, name): float(value) for name, value in machine.items()} | gpus

    def _rates(self) -> dict[str, float]:
        before, self._counted = self._counted, self._counters()
        (then, old), (now, new) = before, self._counted
        return {name: (new[name] - old[name]) / _MEGABYTE / max(now - then, 1e-3) for name in new if name in old}

    def _counters(self) -> tuple[float, dict[str, float]]:
        """Bytes moved so far, for those the system counts, and when."""
        network, disk = self._psutil.net_io_counters(), self._psutil.disk_io_counters()
        counts: dict[str, float] = {}
        if network:
            counts |= {"network_tx_mbs": network.bytes_sent, "network_rx_mbs": network.bytes_recv}
        if disk:
            counts |= {"io_read_mbs": disk.read_bytes, "io_write_mbs": disk.write_bytes}
        return time.monotonic(), counts

    def _temperatures(self) -> dict[str, float]:
        """The processor's temperature in degrees Celsius, where it can be read."""
        sensors: dict[str, Any] = getattr(self._psutil, "sensors_temperatures", dict)()
        found = [
            reading.current for name in ("coretemp", "k10temp", "cpu_thermal") for reading in sensors.get(name, [])
        ]
        return {"cpu_temperature": max(found)} if found else {}


class MachineMonitor:
    """A thread that samples each `SAMPLE_SECONDS` and reports means each `REPORT_SECONDS`, the first one early."""

    def __init__(
        self, report: Report, last_iteration: Callable[[], int], timing: Mapping[str, Any] | None = None
    ) -> None:
        timing = timing or {}
        self._report = report
        self._last_iteration = last_iteration
        self._first = float(timing.get("report_start_sec") or FIRST_SECONDS)
        self._every = float(timing.get("report_frequency_sec") or REPORT_SECONDS)
        self._axis = LoadAxis(
            float(timing.get("wait_for_first_iteration_to_start_sec", WAIT_SECONDS)),
            float(timing.get("max_wait_for_first_iteration_to_start_sec", LONGEST_WAIT_SECONDS)),
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=safely, args=("machine load", self._run), daemon=True)
        self._thread.name = "tasktape-machine"

    def start(self) -> Uninstall:
        """Begin."""
        self._thread.start()
        return self.stop

    def stop(self) -> None:
        """Report what is left, and end."""
        self._stopping.set()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        start = time.monotonic()
        if self._stopping.wait(min(1.0, self._first)):
            return
        load = MachineLoad()
        samples: list[Load] = []
        due = start + self._first
        while not self._stopping.wait(max(0.0, min(due - time.monotonic(), SAMPLE_SECONDS))):
            samples.append(load.sample())
            if time.monotonic() >= due:
                self._say(self._axis.place(mean(samples), time.monotonic() - start, self._last_iteration()))
                samples, due = [], due + self._every
        last = self._axis.place(mean(samples), time.monotonic() - start, self._last_iteration()) if samples else []
        self._say([*last, *self._axis.rest()])

    def _say(self, points: list[tuple[int, Load]]) -> None:
        for place, load in points:
            for (title, series), value in load.items():
                self._report(title, series, value, place)


def monitor(task: Task, timing: Mapping[str, Any] | None) -> MachineMonitor:
    """The monitor of a task's machine."""
    logger, outbox = task.get_logger(), task._session.outbox  # noqa: SLF001  the task's own way to speak
    offset = task.get_initial_iteration
    return MachineMonitor(
        lambda title, series, value, place: logger.report_scalar(title, series, value, place - offset()),
        lambda: outbox.last_step(task.id),
        timing,
    )
