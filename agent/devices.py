"""The GPUs of an agent: each run holds some of its own from its preparation to its end, as its program's environment.

Pure: it only keeps the books; CUDA and the container runtimes obey the variables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..events.errors import TasktapeError
from ..events.hardware import NOTHING, Hardware

NO_GPUS: Final = "none"


class GpusError(TasktapeError):
    """The GPUs asked for can't be shared out."""


class Capacity(NamedTuple):
    """How many runs an agent holds at once, and what they share.

    `gpus` None leaves the devices to the programs. `hardware` is there for runs that ask for some.
    """

    slots: int = 1
    gpus: tuple[str, ...] | None = None
    gpus_per_task: int = 1
    hardware: Hardware = NOTHING


@dataclass(slots=True)
class Devices:
    """GPUs of one agent, by the names CUDA knows. `gpus` None leaves the environment of programs alone."""

    gpus: tuple[str, ...] | None = None
    per_task: int = 1
    _held: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def take(self, attempt: str, wanted: int = 0) -> tuple[str, ...] | None:
        """Give a run the first devices nobody holds, more than others get where it wants more.

        There are enough for as many runs as `capacity` and the agent's inventory allow.
        """
        if self.gpus is None:
            return None
        taken = {gpu for held in self._held.values() for gpu in held}
        free = [gpu for gpu in self.gpus if gpu not in taken]
        self._held[attempt] = tuple(free[: max(self.per_task, wanted)])
        return self._held[attempt]

    def give_back(self, attempt: str) -> None:
        """The run is over."""
        self._held.pop(attempt, None)


def variables(gpus: Sequence[str] | None) -> dict[str, str]:
    """Environment of a program that may use just these devices."""
    if gpus is None:
        return {}
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus), "NVIDIA_VISIBLE_DEVICES": ",".join(gpus) or NO_GPUS}


def parse_gpus(text: str, per_task: int = 1) -> tuple[str, ...]:
    """Names or numbers of devices from `0,1,2`; none from `none`. Raises `GpusError` for what can't be shared out."""
    gpus = tuple(filter(None, (part.strip() for part in text.split(","))))
    if gpus == (NO_GPUS,):
        return ()
    if not gpus or NO_GPUS in gpus or len(set(gpus)) < len(gpus):
        raise GpusError(f"{text!r} names no set of GPUs: give numbers or names that differ, as in 0,1, or {NO_GPUS}.")
    if per_task > len(gpus):
        raise GpusError(f"a task is to have {per_task} GPUs, but only {len(gpus)} are given: {text}.")
    return gpus


def capacity(slots: int | None, gpus: str | None = None, gpus_per_task: int = 1) -> Capacity:
    """As many runs at once as have devices of their own, or `slots` where that is fewer; without GPUs `slots` or one.

    Raises `GpusError` for GPUs that can't be shared out so.
    """
    if gpus is None:
        return Capacity(slots or 1)
    devices = parse_gpus(gpus, gpus_per_task)
    room = len(devices) // gpus_per_task or slots or 1
    return Capacity(min(slots or room, room), devices, gpus_per_task)
