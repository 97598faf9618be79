"""GPUs shared out among runs: each its own, none twice, and all back in the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tasktape.agent.devices import Capacity, Devices, GpusError, capacity, variables
from tasktape.cli import exit_codes
from tasktape.cli.main import app


@pytest.mark.parametrize(
    ("slots", "gpus", "per_task", "expected"),
    [
        (None, None, 1, Capacity(1)),
        (3, None, 1, Capacity(3)),
        (None, "0,1,2", 1, Capacity(3, ("0", "1", "2"), 1)),
        (2, "0, 1, 2", 1, Capacity(2, ("0", "1", "2"), 1)),
        (9, "0,1,2", 1, Capacity(3, ("0", "1", "2"), 1)),
        (None, "0,1,2,3,4", 2, Capacity(2, ("0", "1", "2", "3", "4"), 2)),
        (None, "GPU-8a,MIG-5b", 2, Capacity(1, ("GPU-8a", "MIG-5b"), 2)),
        (None, "none", 1, Capacity(1, (), 1)),
        (4, "none", 1, Capacity(4, (), 1)),
    ],
)
def test_an_agent_holds_as_many_runs_as_have_devices_or_fewer(
    slots: int | None, gpus: str | None, per_task: int, expected: Capacity
) -> None:
    assert capacity(slots, gpus, per_task) == expected


@pytest.mark.parametrize(("gpus", "per_task"), [("", "1"), ("0,0", "1"), ("0,none", "1"), ("0,1", "3")])
def test_gpus_that_cannot_be_shared_out_are_refused(gpus: str, per_task: str) -> None:
    with pytest.raises(GpusError):
        capacity(None, gpus, int(per_task))
    result = CliRunner().invoke(app, ["agent", "--gpus", gpus, "--gpus-per-task", per_task])
    assert result.exit_code == exit_codes.USAGE
    assert "--gpus" in result.stderr


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40), st.sampled_from([1, 2, 3]))
def test_no_device_is_ever_held_twice_and_each_run_has_as_many_as_it_should(runs: list[str], per_task: int) -> None:
    room, held = capacity(None, "0,1,2,3,4,5", per_task), dict[str, tuple[str, ...]]()
    devices = Devices(room.gpus, room.gpus_per_task)
    for run in runs:
        if held.pop(run, None):
            devices.give_back(run)
        elif len(held) < room.slots:
            held[run] = devices.take(run) or ()
        taken = [gpu for gpus in held.values() for gpu in gpus]
        assert len(taken) == len(set(taken)) == per_task * len(held)


def test_a_run_that_asks_for_more_devices_gets_more_and_none_fewer_than_others() -> None:
    devices = Devices(("0", "1", "2", "3"), per_task=2)
    assert devices.take("plain") == ("0", "1")
    devices.give_back("plain")
    assert devices.take("one", wanted=1) == ("0", "1")
    devices.give_back("one")
    assert devices.take("three", wanted=3) == ("0", "1", "2")


def test_programs_see_their_devices_no_device_or_what_the_agent_sees() -> None:
    assert variables(("0", "2")) == {"CUDA_VISIBLE_DEVICES": "0,2", "NVIDIA_VISIBLE_DEVICES": "0,2"}
    assert variables(Devices(()).take("a")) == {"CUDA_VISIBLE_DEVICES": "", "NVIDIA_VISIBLE_DEVICES": "none"}
    assert variables(Devices().take("a")) == {}
