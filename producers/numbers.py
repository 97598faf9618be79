"""What users pass as values and iterations, as the numbers that can be reported."""

from __future__ import annotations

from typing import Any, Final

LARGEST: Final = 2**63 - 1


def as_value(value: Any) -> float:
    """Float of a number: also of bool, Decimal, numeric text, NumPy scalars, and tensors and arrays of one element.

    Raises `TypeError`, `ValueError` or whatever the object's own conversion raises.
    """
    item = None if isinstance(value, float) else getattr(value, "item", None)
    try:
        return float(value if item is None else item())
    except OverflowError:  # an integer that no double holds
        return float("inf") if value > 0 else float("-inf")


def as_step(step: Any) -> int:
    """Iteration of what was given: 0 for None, the whole part of a fraction, 64 bits at the most.

    Raises `TypeError` or `ValueError` for what is no number, and for NaN and infinity `ValueError`.
    """
    if step is None:
        return 0
    return clamp(int(step) if isinstance(step, int) else whole(as_value(step)))


def whole(number: float) -> int:
    """Whole part of a finite number. Raises `ValueError` for others."""
    if number - number != 0:
        raise ValueError(f"{number} is no iteration")
    return int(number)


def clamp(step: int) -> int:
    """The nearest number that 64 bits hold."""
    return max(-LARGEST - 1, min(step, LARGEST))
