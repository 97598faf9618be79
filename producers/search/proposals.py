"""What a search's controller asks of a strategy, which knows nothing of tasks: it proposes, is told, and goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .parameters import canonical


@dataclass(frozen=True, slots=True)
class Known:
    """A trial as the log has it. `status` and `values` are None while it is under way.

    `reports` are the values it has reported so far by iteration, for strategies that compare trials by them.
    """

    parameters: Mapping[str, Any]
    status: str | None = None
    values: Sequence[float] | None = None
    reports: Mapping[int, float] = field(default_factory=dict)


class Proposals(Protocol):
    """Trials are numbered from 0 in the order in which they were proposed, those of before a restart included."""

    def propose(self) -> Mapping[str, Any] | None:
        """Return the next trial's parameters by their full names; None when there are no more."""

    def report(self, trial: int, value: float, iteration: int) -> bool:
        """Take note of a value of a trial under way; True when the trial is to be given up."""

    def finish(self, trial: int, status: str, values: Sequence[float] | None) -> None:
        """Take note that a trial is `completed`, `failed`, `aborted` or `pruned`; without values when it told none."""

    def resume(self, trials: Sequence[Known]) -> None:
        """Go on as if this object had proposed these trials, in this order; those under way are still reported on."""


class Tried:
    """Sets of parameters that were proposed."""

    def __init__(self, known: Iterable[Known] = ()) -> None:
        self._keys = {canonical(trial.parameters) for trial in known}

    def __len__(self) -> int:
        return len(self._keys)

    def take(self, parameters: Mapping[str, Any]) -> bool:
        """Add a set; False if it was there."""
        before = len(self._keys)
        self._keys.add(canonical(parameters))
        return len(self._keys) > before
