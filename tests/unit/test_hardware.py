"""What runs need held against what machines have: how often it fits, what is left, and what a machine finds it has."""

from __future__ import annotations

import os
from math import inf, isinf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasktape.agent import load
from tasktape.agent.load import machine_hardware
from tasktape.events.hardware import NOTHING, Hardware

amounts = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.7, 1.0, 2.0, 3.5, 16.0])
hardware = st.builds(Hardware, cpus=amounts, memory_gb=amounts, gpus=st.integers(0, 8))


@given(hardware, hardware)
def test_it_fits_exactly_so_many_times(needed: Hardware, room: Hardware) -> None:
    times = needed.times_in(room)
    assert isinf(times) == (not needed)
    if needed:
        filled = room.without(needed, int(times))
        assert not needed.fits(filled)
        assert times == 0 or needed.fits(room.without(needed, int(times) - 1))


@given(hardware, st.lists(hardware, max_size=5))
def test_what_is_left_is_never_less_than_nothing(room: Hardware, taken: list[Hardware]) -> None:
    for part in taken:
        room = room.without(part)
    assert min(room.size) >= 0


def test_parts_that_add_up_fit_whatever_rounding_does() -> None:
    assert Hardware(cpus=0.1).times_in(Hardware(cpus=0.3)) == 3
    assert Hardware(cpus=0.1).times_in(Hardware(cpus=1.0).without(Hardware(cpus=0.7))) == 3
    assert NOTHING.times_in(NOTHING) == inf


def test_people_read_it_in_words() -> None:
    assert str(Hardware(gpus=2, cpus=1.5, memory_gb=16.0)) == "2 GPUs, 1.5 cores, 16 GB of memory"
    assert (str(Hardware(gpus=1, cpus=1)), str(NOTHING)) == ("1 GPU, 1 core", "")


@pytest.mark.parametrize("wrong", [{"gpus": -1}, {"gpus": 0.5}, {"cpus": -0.1}, {"memory_gb": inf}, {"memory_gb": "x"}])
def test_what_no_machine_could_have_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Hardware.model_validate(wrong)


# What a machine has.


def test_a_machine_has_what_is_told_and_else_what_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(load, "_CGROUPS", tmp_path)
    monkeypatch.setattr(load, "_DEVICES", tmp_path)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = machine_hardware()
    assert (found.gpus, found.cpus) == (2, len(os.sched_getaffinity(0)))
    assert found.memory_gb == pytest.approx(there, abs=0.01)
    assert machine_hardware(("7",), 3.5, 12.0) == Hardware(gpus=1, cpus=3.5, memory_gb=12.0)
    assert machine_hardware((), 0.0, 0.0) == NOTHING


def test_a_control_group_that_has_less_than_the_machine_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(load, "_CGROUPS", tmp_path)
    (tmp_path / "memory.max").write_text(f"{2**29}\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    found = machine_hardware()
    assert (found.cpus, found.memory_gb) == (0.5, 0.5)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine_hardware().cpus == len(os.sched_getaffinity(0))
