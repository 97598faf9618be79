"""Which trials stay in sight where only the best are to: each one that ends costs a look at those, not at all."""

from __future__ import annotations

from collections.abc import Sequence

from ...projections.search_fold import TrialState
from .objectives import Objectives


class Keeper:
    """Keeps the best so many (`most`) of the trials that are over; one that failed is never among them."""

    def __init__(self, objectives: Objectives, most: int) -> None:
        self._objectives = objectives
        self._most = most
        self._kept: list[TrialState] = []

    def drop(self, trials: Sequence[TrialState]) -> list[TrialState]:
        """Return those that need not stay now that these are over too; each of them is returned once."""
        found = sorted([*self._kept, *trials], key=lambda trial: trial.number)
        told = [trial.values or None if trial.status != "failed" else None for trial in found]
        kept = set(self._objectives.ranking(told)[: self._most])
        self._kept = [found[place] for place in sorted(kept)]
        return [trial for place, trial in enumerate(found) if place not in kept]
