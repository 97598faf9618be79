"""Where on the axis of a task's curves a sample of the machine's load belongs: at its last iteration, or at a second.

As in ClearML: samples wait for the first iteration for three minutes, then count in seconds since the start; a task
whose first iteration comes within half an hour goes over to iterations; one that has none till then never does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

Load = Mapping[tuple[str, str], float]
"""Values by title and series."""

WAIT_SECONDS: Final = 180.0
LONGEST_WAIT_SECONDS: Final = 1800.0


@dataclass
class LoadAxis:
    """Places samples; `place` is called with each, in order, and `rest` at the end."""

    wait: float = WAIT_SECONDS
    longest_wait: float = LONGEST_WAIT_SECONDS
    _waiting: list[tuple[int, Load]] = field(default_factory=list)
    _in_seconds: bool = False

    def place(self, load: Load, seconds: float, iteration: int) -> list[tuple[int, Load]]:
        """Points that can be reported now. `iteration` is the task's last one, 0 while there is none."""
        if iteration > 0 and not (self._in_seconds and seconds > self.longest_wait):
            loads = [*(load for _, load in self._waiting), load]
            self._waiting, self._in_seconds, self.longest_wait = [], False, float("inf")
            return [(iteration, mean(loads))]
        self._waiting.append((int(seconds), load))
        self._in_seconds = self._in_seconds or seconds >= self.wait
        return self.rest() if self._in_seconds else []

    def rest(self) -> list[tuple[int, Load]]:
        """Points that still wait, in seconds."""
        rest, self._waiting = self._waiting, []
        return rest


def mean(loads: Sequence[Load]) -> dict[tuple[str, str], float]:
    """Mean of each value, over the samples that have it."""
    names = dict.fromkeys(name for load in loads for name in load)
    values = {name: [load[name] for load in loads if name in load] for name in names}
    return {name: sum(found) / len(found) for name, found in values.items()}
