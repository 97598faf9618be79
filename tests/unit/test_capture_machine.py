"""The machine's load is measured, placed on the task's axis, and reported until the task ends."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from tasktape.events.parts import TaskSpec
from tasktape.producers.capture.arguments import Arguments
from tasktape.producers.capture.environment import chosen, connect_environment
from tasktape.producers.capture.gpu import Gpu, gpu_reader
from tasktape.producers.capture.load_axis import LoadAxis, mean
from tasktape.producers.capture.machine import MachineLoad, MachineMonitor
from tasktape.producers.parameters import make

CPU = (":monitor:machine", "cpu_usage")


def load(value: float) -> dict[tuple[str, str], float]:
    return {CPU: value}


def test_samples_wait_for_the_first_iteration_and_meet_there() -> None:
    axis = LoadAxis()
    assert axis.place(load(1), 2, 0) == []
    assert axis.place(load(2), 32, 0) == []
    assert axis.place(load(6), 62, 40) == [(40, load(3))]
    assert axis.place(load(5), 3600, 90) == [(90, load(5))]


def test_without_an_iteration_samples_are_placed_in_seconds_after_three_minutes() -> None:
    axis = LoadAxis()
    for seconds in (2, 32, 179):
        assert axis.place(load(1), seconds, 0) == []
    assert axis.place(load(1), 182, 0) == [(2, load(1)), (32, load(1)), (179, load(1)), (182, load(1))]
    assert axis.place(load(2), 212, 0) == [(212, load(2))]
    assert axis.place(load(3), 242, 7) == [(7, load(3))]


def test_an_iteration_after_half_an_hour_comes_too_late() -> None:
    axis = LoadAxis()
    axis.place(load(1), 200, 0)
    assert axis.place(load(2), 1801, 7) == [(1801, load(2))]


def test_what_waits_at_the_end_is_placed_in_seconds() -> None:
    axis = LoadAxis()
    axis.place(load(1), 2.7, 0)
    assert axis.rest() == [(2, load(1))]
    assert axis.rest() == []


def test_a_mean_is_over_the_samples_that_have_a_value() -> None:
    other = (":monitor:gpu", "gpu_0_utilization")
    assert mean([load(1), {CPU: 3, other: 10}]) == {CPU: 2, other: 10}


def test_the_load_of_this_machine_is_measured_in_the_units_promised() -> None:
    machine = MachineLoad()
    sample = machine.sample()
    total = psutil.virtual_memory().total / 1024**3
    assert 0 <= sample[CPU] <= 100
    assert 0 < sample[":monitor:machine", "memory_used_gb"] < total
    assert sample[":monitor:machine", "disk_free_percent"] == pytest.approx(100 - psutil.disk_usage(".").percent, abs=5)
    assert sample[":monitor:machine", "network_rx_mbs"] >= 0


def test_disk_traffic_is_a_rate_in_megabytes_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "net_io_counters", lambda: None)
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: SimpleNamespace(read_bytes=0, write_bytes=0))
    machine = MachineLoad()
    moved = SimpleNamespace(read_bytes=0, write_bytes=10 * 1024**2)
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: moved)
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock + 5)
    sample = machine.sample()
    assert sample[":monitor:machine", "io_write_mbs"] == pytest.approx(2, rel=0.2)
    assert (":monitor:machine", "network_rx_mbs") not in sample


class Reports:
    """Collects what a monitor reports, and waits for it."""

    def __init__(self) -> None:
        self.points: list[tuple[str, str, float, int]] = []
        self._changed = threading.Condition()

    def __call__(self, *point: Any) -> None:
        with self._changed:
            self.points.append(point)
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout=30)

    def places(self) -> list[int]:
        return [place for _, series, _, place in self.points if series == "cpu_usage"]


def test_a_monitor_reports_at_the_last_iteration_until_it_is_stopped() -> None:
    reports, iteration = Reports(), [5]
    monitor = MachineMonitor(reports, lambda: iteration[0], {"report_start_sec": 0.01, "report_frequency_sec": 0.01})
    stop = monitor.start()
    reports.wait_for(lambda: 5 in reports.places())
    iteration[0] = 6
    reports.wait_for(lambda: 6 in reports.places())
    stop()
    count = len(reports.points)
    assert not any(thread.name == "tasktape-machine" for thread in threading.enumerate())
    assert len(reports.points) == count


def test_a_short_task_reports_what_it_measured_at_its_end() -> None:
    reports, measured = Reports(), threading.Event()

    def last_iteration() -> int:
        measured.set()
        return 0

    stop = MachineMonitor(reports, last_iteration, {"report_start_sec": 0.01}).start()
    assert measured.wait(30)
    assert reports.points == []
    stop()
    assert reports.places() == [0]


def test_trouble_in_measuring_ends_the_monitor_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: 1 / 0)
    reports = Reports()
    monitor = MachineMonitor(reports, lambda: 1, {"report_start_sec": 0.01})
    monitor.start()
    monitor._thread.join(30)
    assert reports.points == []


GIGABYTE = 1024**3
EXPECTED = [Gpu(0, 55.0, 61.0, 2.0 * GIGABYTE, 8.0 * GIGABYTE)]


def test_gpus_are_read_through_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho '0, 55, 61, 2048, 8192'\necho '1, [N/A], 30, 0, 8192'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpu_reader()() == [*EXPECTED, Gpu(1, 0.0, 30.0, 0.0, 8.0 * GIGABYTE)]


def test_gpus_are_read_through_pynvml_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml: Any = ModuleType("pynvml")
    nvml.__spec__ = SimpleNamespace(name="pynvml")
    nvml.NVML_TEMPERATURE_GPU = 0
    nvml.nvmlInit = lambda: None
    nvml.nvmlDeviceGetCount = lambda: 1
    nvml.nvmlDeviceGetHandleByIndex = lambda index: index
    nvml.nvmlDeviceGetMemoryInfo = lambda _: SimpleNamespace(used=2 * GIGABYTE, total=8 * GIGABYTE)
    nvml.nvmlDeviceGetTemperature = lambda _handle, _sensor: 61
    nvml.nvmlDeviceGetUtilizationRates = lambda _: SimpleNamespace(gpu=55)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert gpu_reader()() == EXPECTED
    assert EXPECTED[0].load()["gpu_0_mem_usage"] == 25
    nvml.nvmlInit = lambda: 1 / 0
    assert gpu_reader()() == []


def test_environment_variables_are_recorded_by_name_and_pattern_without_secrets() -> None:
    variables = {"SEED": "1", "AWS_REGION": "eu", "AWS_SECRET_ACCESS_KEY": "s", "API_TOKEN": "t", "MONKEY_SIZE": "2"}
    assert chosen(variables, "") == {}
    assert chosen(variables, "SEED, AWS_*") == {"SEED": "1", "AWS_REGION": "eu"}
    assert chosen(variables, "*") == {"SEED": "1", "AWS_REGION": "eu", "MONKEY_SIZE": "2"}
    assert chosen(variables, "API_TOKEN") == {"API_TOKEN": "t"}


class Task:
    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}

    def update_parameters(self, values: dict[str, Any]) -> None:
        self.parameters |= values


def test_under_an_agent_the_tasks_environment_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = TaskSpec(project="p", name="n", parameters=[make("Environment/SEED", "7")])
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    monkeypatch.setenv("TASKTAPE_TASK_ID", "1")
    monkeypatch.setenv("TASKTAPE_TASK_SPEC", str(tmp_path / "spec.json"))
    monkeypatch.delenv("TASKTAPE_PROC_TASK", raising=False)
    variables = {"SEED": "1", "TASKTAPE_LOG_ENVIRONMENT": "SEED"}
    task = Task()
    connect_environment(task, Arguments(), variables)  # type: ignore[arg-type]
    assert variables["SEED"] == "7"
    assert task.parameters == {"Environment/SEED": "7"}
