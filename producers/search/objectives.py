"""What a search looks for: which value of a trial counts, which of two is better, and how trials are ranked by them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from ..errors import InvalidArgumentError

if TYPE_CHECKING:
    from ...projections.scalar_summary import Summary

_ORDERS: Final = ("min", "max")
_SIGNS: Final = ("min", "max", "min_global", "max_global")
_GLOBAL: Final = "_global"
_PAIR: Final = 2

Values = Sequence[float]


@dataclass(frozen=True, slots=True)
class Objective:
    """A scalar that is to become as great (`max`) or as small (`min`) as can be.

    What counts of a trial is the last value, or the best of all where `extremum` is set.
    """

    title: str
    series: str
    order: str = "max"
    extremum: bool = False

    def __post_init__(self) -> None:
        if self.order not in _ORDERS:
            raise InvalidArgumentError(f"order {self.order!r} of {self.title}/{self.series}: give 'min' or 'max'.")

    @property
    def sign(self) -> int:
        """1 where greater is better, -1 where smaller is."""
        return 1 if self.order == "max" else -1

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Optuna's word for it."""
        return "maximize" if self.order == "max" else "minimize"

    def value(self, summary: Summary | None) -> float | None:
        """Return the value that counts of a series; None where there is none, or it is no number."""
        if summary is None or not summary.count:
            return None
        found = (summary.max if self.order == "max" else summary.min) if self.extremum else summary.last
        return None if found is None or math.isnan(found) else found


@dataclass(frozen=True, slots=True)
class Objectives:
    """One objective or several; a trial has a value for each, in this order. With one it is a plain comparison.

    Of several, a trial is better than another when it is nowhere worse and somewhere better.
    """

    each: tuple[Objective, ...]

    def __len__(self) -> int:
        return len(self.each)

    def values(self, summaries: Sequence[Summary | None]) -> tuple[float, ...] | None:
        """Return what counts of a trial, given its series in order; None where one of them has no value yet."""
        found = [objective.value(summary) for objective, summary in zip(self.each, summaries, strict=True)]
        known = tuple(value for value in found if value is not None)
        return known if len(known) == len(found) else None

    def is_better(self, values: Values, others: Values) -> bool:
        """Whether a trial with these values is better than one with those."""
        pairs = list(zip(self._normalised(values), self._normalised(others), strict=True))
        return all(mine >= other for mine, other in pairs) and any(mine > other for mine, other in pairs)

    def best(self, trials: Sequence[Values | None]) -> int | None:
        """Return the place of the best trial, the earliest of equals; None where none has values."""
        return next(iter(self.ranking(trials)), None)

    def ranking(self, trials: Sequence[Values | None]) -> list[int]:
        """Return the places of the trials that have values, the best first, equals in their order.

        With several objectives, first come those that no other is better than, then those that only they are better
        than, and so on.
        """
        known = {place: self._normalised(values) for place, values in enumerate(trials) if values is not None}
        if len(self) == 1:
            return sorted(known, key=lambda place: (-known[place][0], place))
        fronts = _fronts(known)
        return sorted(known, key=lambda place: (fronts[place], place))

    def front(self, trials: Sequence[Values | None]) -> list[int]:
        """Return the places of the trials that no other is better than."""
        known = {place: self._normalised(values) for place, values in enumerate(trials) if values is not None}
        return sorted(place for place, number in _fronts(known).items() if number == 0)

    def _normalised(self, values: Values) -> list[float]:
        return [objective.sign * value for objective, value in zip(self.each, values, strict=True)]


def _fronts(trials: dict[int, list[float]]) -> dict[int, int]:
    """Return how many trials one can name of which each is better than the next, and the last better than this one.

    Values are the better the greater. Whoever is better than a trial comes before it in the order of values.
    """
    places = sorted(trials, key=trials.__getitem__, reverse=True)
    values = [trials[place] for place in places]
    numbers = _fronts_of_pairs(values) if values and len(values[0]) == _PAIR else _fronts_of_many(values)
    return dict(zip(places, numbers, strict=True))


def _fronts_of_pairs(values: Sequence[Values]) -> Iterator[int]:
    """Each trial in the first front whose greatest second value is less than its own: these only fall from front on."""
    greatest: list[float] = []
    front, before = 0, None
    for pair in values:
        if pair != before:
            before = pair
            front = bisect_right(greatest, -pair[1], key=lambda value: -value)
            greatest[front : front + 1] = [pair[1]]
        yield front


def _fronts_of_many(values: Sequence[Values]) -> list[int]:
    table = np.array(values)
    numbers = np.zeros(len(values), np.int64)
    for row in range(1, len(values)):
        before, this = table[:row], table[row]
        better = (before >= this).all(axis=1) & (before > this).any(axis=1)
        numbers[row] = (numbers[:row][better] + 1).max(initial=0)
    found: list[int] = numbers.tolist()
    return found


def objectives(titles: str | Sequence[str], series: str | Sequence[str], signs: str | Sequence[str]) -> Objectives:
    """Make objectives of texts, or of lists of texts; a sign is `min`, `max`, `min_global` or `max_global`.

    With `_global` the best of all values of a trial counts, without it the last.
    """
    given = [titles, series, signs]
    listed = [[each] if isinstance(each, str) else list(each) for each in given]
    if len({isinstance(each, str) for each in given}) > 1 or len({len(each) for each in listed}) > 1 or not listed[0]:
        hint = "give three texts, or three lists of the same length"
        raise InvalidArgumentError(
            f"titles, series and signs don't go together: {titles!r}, {series!r}, {signs!r}; {hint}."
        )
    return Objectives(tuple(_objective(*parts) for parts in zip(*listed, strict=True)))


def _objective(title: str, series: str, sign: str) -> Objective:
    if sign not in _SIGNS:
        raise InvalidArgumentError(f"sign {sign!r} of {title}/{series}: give one of {', '.join(_SIGNS)}.")
    return Objective(title, series, sign.removesuffix(_GLOBAL), sign.endswith(_GLOBAL))
