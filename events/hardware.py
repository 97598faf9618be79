"""What runs need and what machines have: one record for both, so that one can be held against the other."""

from __future__ import annotations

from math import inf
from typing import Final

from pydantic import Field

from .base import Part

_ROUNDING: Final = 1e-6


class Hardware(Part):
    """Processors (cores), memory (GiB) and GPUs that a run needs, or that a machine has to give."""

    cpus: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    memory_gb: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    gpus: int = Field(default=0, ge=0)

    def __bool__(self) -> bool:
        """Whether it is anything at all."""
        return bool(self.cpus or self.memory_gb or self.gpus)

    def __str__(self) -> str:
        """What people read, as in `2 GPUs, 16 GB of memory`; empty for nothing."""
        return ", ".join(
            part
            for amount, part in (
                (self.gpus, f"{self.gpus} GPU{'s' if self.gpus > 1 else ''}"),
                (self.cpus, f"{self.cpus:g} core{'' if self.cpus == 1 else 's'}"),
                (self.memory_gb, f"{self.memory_gb:g} GB of memory"),
            )
            if amount
        )

    @property
    def size(self) -> tuple[int, float, float]:
        """To order by: GPUs are dearest, then memory."""
        return self.gpus, self.memory_gb, self.cpus

    def fits(self, room: Hardware) -> bool:
        """Whether a machine with so much left can give it."""
        return not self or self.times_in(room) >= 1

    def times_in(self, room: Hardware) -> float:
        """How many runs that need this have room beside each other: a whole number, or infinity where it is nothing."""
        pairs = ((self.cpus, room.cpus), (self.memory_gb, room.memory_gb), (self.gpus, room.gpus))
        return min(((has + _ROUNDING) // needed for needed, has in pairs if needed), default=inf)

    def without(self, taken: Hardware, times: int = 1) -> Hardware:
        """What is left of it once something is taken; of nothing there is never less than none."""
        if not taken or not times:
            return self
        return Hardware(
            cpus=max(0.0, self.cpus - times * taken.cpus),
            memory_gb=max(0.0, self.memory_gb - times * taken.memory_gb),
            gpus=max(0, self.gpus - times * taken.gpus),
        )


NOTHING: Final = Hardware.model_construct()  # a model that is validated is built, which takes milliseconds
