"""What an agent has to give to its runs together, and what is left of it.

Pure: it keeps the books. Nothing stops a run from using more than it asked for, unless a container does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, reduce

from ..events.hardware import NOTHING, Hardware


@dataclass(frozen=True)
class Inventory:
    """`total` is all there is; each run gets at least `gpus_each` of the GPUs, whether or not it asked for any."""

    total: Hardware = NOTHING
    gpus_each: int = 0

    @cached_property
    def _least(self) -> Hardware:
        return Hardware(gpus=self.gpus_each)

    def share(self, asked: Hardware) -> Hardware:
        """What a run gets that asked for this much."""
        if not asked:
            return self._least
        return asked if asked.gpus >= self.gpus_each else asked.model_copy(update={"gpus": self.gpus_each})

    def spare(self, asked: Iterable[Hardware]) -> Hardware:
        """What is left beside runs that asked for so much."""
        return reduce(Hardware.without, map(self.share, asked), self.total)
