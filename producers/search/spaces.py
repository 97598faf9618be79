"""A search's parameters in Optuna's terms, there and back. Values that it can't hold become texts or places."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from ..errors import InvalidArgumentError
from .parameters import (
    DiscreteParameterRange,
    LogUniformParameterRange,
    Parameter,
    UniformIntegerParameterRange,
    UniformParameterRange,
    canonical,
)


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Dimension:
    """A parameter's distribution, how its values are held there, and how many there are; None: beyond counting."""

    distribution: BaseDistribution
    count: int | None = None
    decode: Callable[[Any], Any] = _same
    encode: Callable[[Any], Any] = _same


class Space:
    """All parameters of a search."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._dimensions = {str(parameter.name): _dimension(parameter) for parameter in parameters}
        self.distributions = {name: each.distribution for name, each in self._dimensions.items()}

    @property
    def size(self) -> float:
        """How many sets of parameters there are."""
        counts = [each.count for each in self._dimensions.values()]
        return math.prod(math.inf if count is None else count for count in counts)

    def decode(self, held: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that Optuna holds."""
        return {name: each.decode(held[name]) for name, each in self._dimensions.items()}

    def encode(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return how Optuna holds these parameters; ValueError where they are none of this space."""
        if parameters.keys() != self._dimensions.keys():
            raise ValueError(f"{sorted(parameters)} are not {sorted(self._dimensions)}")
        return {name: each.encode(parameters[name]) for name, each in self._dimensions.items()}


def _dimension(parameter: Parameter) -> Dimension:
    if isinstance(parameter, LogUniformParameterRange):
        return _powers(parameter)
    if isinstance(parameter, UniformParameterRange):
        return _numbers(parameter)
    if isinstance(parameter, UniformIntegerParameterRange):
        return _whole(parameter)
    if isinstance(parameter, DiscreteParameterRange):
        return _choices(parameter.values)
    kind = type(parameter).__name__
    raise InvalidArgumentError(f"Optuna has nothing like a {kind}: use ranges of single parameters, or RandomSearch.")


def _powers(range_: LogUniformParameterRange) -> Dimension:
    if range_.step_size:
        return _places([value for each in range_.to_list() for value in each.values()])
    low, high = range_.limits
    return Dimension(FloatDistribution(low, high if range_.include_max else math.nextafter(high, low), log=True))


def _numbers(range_: UniformParameterRange) -> Dimension:
    low, high, steps = range_.min_value, range_.max_value, range_.steps
    if not range_.step_size:
        return Dimension(FloatDistribution(low, high if range_.include_max else math.nextafter(high, low)))
    return Dimension(FloatDistribution(low, steps[steps.regular - 1], step=range_.step_size), steps.regular)


def _whole(range_: UniformIntegerParameterRange) -> Dimension:
    steps = range_.steps
    return Dimension(
        IntDistribution(range_.min_value, steps[steps.regular - 1], step=range_.step_size),
        steps.regular,
    )


def _places(values: list[float]) -> Dimension:
    """Values that have an order but no even distances."""
    return Dimension(IntDistribution(0, len(values) - 1), len(values), values.__getitem__, values.index)


def _choices(values: Sequence[Any]) -> Dimension:
    """As they are where Optuna can hold them and tell them apart, else their texts."""
    texts = {canonical(value): value for value in values}
    is_plain = all(isinstance(value, (bool, int, float, str, type(None))) for value in values)
    if is_plain and len(set(values)) == len(texts):
        return Dimension(CategoricalDistribution(tuple(texts.values())), len(texts))
    return Dimension(CategoricalDistribution(tuple(texts)), len(texts), texts.__getitem__, canonical)
