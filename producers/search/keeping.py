"""Which trials stay in sight where only the best are to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...projections.search_fold import TrialState
from .objectives import Objectives


class Changes(NamedTuple):
    """Trials that go out of sight, and those that come back."""

    hidden: list[TrialState]
    shown: list[TrialState]


class Keeper:
    """Keeps the best so many (`most`) of the trials that are over; one that failed is never among them.

    By one objective each trial that ends costs a look at those that are kept, not at all. With several a trial may come
    back: what only those were better than that are kept is among the best once these are beaten.
    """

    def __init__(self, objectives: Objectives, most: int) -> None:
        self._objectives = objectives
        self._most = most
        self._kept: dict[int, TrialState] = {}
        self._hidden: dict[int, TrialState] = {}

    def take(self, trials: Iterable[TrialState]) -> Changes:
        """Return what changes now that these are over too."""
        new = {trial.number: trial for trial in trials}
        known = self._kept | new | self._hidden
        best = self._best([known[number] for number in sorted(known)])
        changes = Changes(
            [trial for number, trial in sorted((self._kept | new).items()) if number not in best],
            [trial for number, trial in best.items() if number in self._hidden],
        )
        self._kept = best
        if len(self._objectives) > 1:
            self._hidden = {number: trial for number, trial in known.items() if number not in best}
        return changes

    def _best(self, trials: Sequence[TrialState]) -> dict[int, TrialState]:
        told = [trial.values or None if trial.status != "failed" else None for trial in trials]
        return {trials[place].number: trials[place] for place in sorted(self._objectives.ranking(told)[: self._most])}
