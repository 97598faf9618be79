"""The values of a range that has steps, counted exactly: 0, 0.1, 0.2, 0.3 have no tenth missing and none too many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Generic, TypeVar, overload

Number = TypeVar("Number", int, float)


def exact(number: float) -> Fraction:
    """Return the number that a person reads: 0.1 is a tenth."""
    return Fraction(str(number))


class Steps(Sequence[Number], Generic[Number]):
    """From `low` on in steps; then `high` where it is `included`, be it a step or not. Nothing is held in memory.

    `regular` says how many of the values are whole steps away from `low`.
    """

    def __init__(self, low: Number, high: Number, step: Fraction, *, included: bool) -> None:
        self._kind: Callable[[Fraction], Number] = type(low)
        self._low = exact(low)
        self._step = step
        self._high: Number = high
        whole, rest = divmod(exact(high) - self._low, step)
        self.regular = whole + (1 if rest or included else 0)
        self._length = self.regular + (1 if rest and included else 0)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> Number: ...

    @overload
    def __getitem__(self, place: slice) -> list[Number]: ...

    def __getitem__(self, place: int | slice) -> Number | list[Number]:
        if isinstance(place, slice):
            return [self._at(each) for each in range(self._length)[place]]
        return self._at(range(self._length)[place])

    def _at(self, place: int) -> Number:
        return self._kind(self._low + place * self._step) if place < self.regular else self._high
