"""What a search may try: each kind of parameter knows its values, draws one by chance, and is kept as a dictionary."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import product
from random import Random
from typing import Any, ClassVar, Final

from ..errors import InvalidArgumentError
from ..parameters import full_name, plain
from ..warn import LOGGER
from .steps import Steps, exact

POINTS: Final = 100
_SEED: Final = 1337
_KIND: Final = "type"
_KINDS: Final[dict[str, type[Parameter]]] = {}


def canonical(value: Any) -> str:
    """Return a text that is the same for the same value: 1, 1.0 and true are three."""
    return json.dumps(value, sort_keys=True, allow_nan=False)


def combine(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Make one set of parameters of several."""
    return {name: value for part in parts for name, value in part.items()}


class RandomSeed:
    """The seed that searches draw with, one for the process."""

    _seed: ClassVar[int] = _SEED
    _random: ClassVar[Random] = Random(_SEED)  # noqa: S311  reproducible on purpose

    @staticmethod
    def set_random_seed(seed: int = _SEED) -> None:
        """Begin to draw anew, from this seed; a search takes it when it first draws."""
        RandomSeed._seed = seed
        RandomSeed._random = Random(seed)  # noqa: S311  reproducible on purpose

    @staticmethod
    def get_random_seed() -> int:
        """Return the seed."""
        return RandomSeed._seed


class Parameter(RandomSeed, ABC):
    """A hyper-parameter of the task that is searched for: its name there, and the values it may have.

    A class of your own overrides `to_list` and, as in ClearML, `get_value`, or `draw`.
    """

    _class_type_serialize_name: ClassVar[str] = _KIND

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.draw is Parameter.draw and cls.get_value is Parameter.get_value:
            raise InvalidArgumentError(f"{cls.__name__} can't draw a value: override `get_value`, or `draw`.")
        _KINDS[cls.__name__] = cls

    def __init__(self, name: str | None) -> None:
        self.name = name

    @property
    def names(self) -> AbstractSet[str]:
        """The names of all parameters of the task that it sets."""
        return frozenset({self.name} if self.name else ())

    def get_value(self) -> dict[str, Any]:
        """Draw a value, as a dictionary of names and values."""
        return self.draw(self._random)

    def draw(self, random: Random) -> dict[str, Any]:  # noqa: ARG002  for classes that need it
        """Draw a value with a given source of chance, where the class knows how; else with the process's."""
        return self.get_value()

    @abstractmethod
    def to_list(self) -> list[dict[str, Any]]:
        """Return all values in order, each as a dictionary; of a continuous range some that are evenly spread."""

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` makes an equal parameter of; it can be written as JSON."""
        return {_KIND: type(self).__name__, **_dumped(vars(self))}

    @classmethod
    def from_dict(cls, a_dict: Mapping[str, Any]) -> Parameter:
        """Make a parameter of what `to_dict` has returned."""
        kind = _KINDS.get(str(a_dict.get(_KIND)))
        if kind is None:
            known = ", ".join(sorted(_KINDS))
            raise InvalidArgumentError(f"{a_dict.get(_KIND)!r} is no kind of hyper-parameter. There are {known}.")
        return kind.of_attributes({name: value for name, value in a_dict.items() if name != _KIND})

    @classmethod
    def of_attributes(cls, arguments: Mapping[str, Any]) -> Parameter:
        """Make one of its attributes: of classes of this module the constructor's arguments but for a name."""
        if cls.__module__ != __name__:
            made = cls.__new__(cls)
            vars(made).update({name: _undumped(value) for name, value in arguments.items()})
            return made
        return cls(**{"include_max_value" if name == "include_max" else name: arguments[name] for name in arguments})

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class UniformParameterRange(Parameter):
    """Numbers between two others, each as likely; only those in steps from the least one where `step_size` is set.

    The greatest one is a value too, be it a step or not, unless `include_max_value` is False.
    """

    def __init__(
        self,
        name: str,
        min_value: float,
        max_value: float,
        step_size: float | None = None,
        include_max_value: bool = True,
    ) -> None:
        super().__init__(_named(name))
        self.min_value = _number(name, "min_value", min_value)
        self.max_value = _number(name, "max_value", max_value)
        self.step_size = None if step_size is None else _number(name, "step_size", step_size)
        self.include_max = include_max_value
        _check_bounds(self)

    @property
    def steps(self) -> Steps[float]:
        """All values where there are steps; where there are none, 100 that are evenly spread, and the greatest."""
        span = exact(self.max_value) - exact(self.min_value)
        step = exact(self.step_size) if self.step_size else span / POINTS or exact(1)
        return Steps(self.min_value, self.max_value, step, included=self.include_max)

    def draw(self, random: Random) -> dict[str, Any]:
        """Draw a number."""
        drawn = random.choice(self.steps) if self.step_size else self._between(random)
        return {str(self.name): self._value(drawn)}

    def to_list(self) -> list[dict[str, Any]]:
        """Return all steps; without steps, 100 numbers that are evenly spread, and the greatest."""
        return [{str(self.name): self._value(number)} for number in self.steps]

    def _between(self, random: Random) -> float:
        drawn = random.uniform(self.min_value, self.max_value)
        while drawn >= self.max_value and not self.include_max:
            drawn = random.uniform(self.min_value, self.max_value)
        return drawn

    def _value(self, number: float) -> float:
        return number


class LogUniformParameterRange(UniformParameterRange):
    """Powers of a base whose exponents are a uniform range: `min_value`, `max_value` and `step_size` are exponents."""

    def __init__(
        self,
        name: str,
        min_value: float,
        max_value: float,
        base: float = 10,
        step_size: float | None = None,
        include_max_value: bool = True,
    ) -> None:
        super().__init__(name, min_value, max_value, step_size=step_size, include_max_value=include_max_value)
        _number(name, "base", base)
        self.base: float = plain(base)
        _check_powers(self)

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest power."""
        least, greatest = sorted((self._value(self.min_value), self._value(self.max_value)))
        return least, greatest

    def _value(self, number: float) -> float:
        return float(self.base**number)


class UniformIntegerParameterRange(Parameter):
    """Whole numbers in steps, each as likely. The greatest is one of them unless `include_max_value` is False."""

    def __init__(
        self,
        name: str,
        min_value: int,
        max_value: int,
        step_size: int = 1,
        include_max_value: bool = True,
    ) -> None:
        super().__init__(_named(name))
        self.min_value = _whole(name, "min_value", min_value)
        self.max_value = _whole(name, "max_value", max_value)
        self.step_size = _whole(name, "step_size", step_size)
        self.include_max = include_max_value
        _check_bounds(self)

    @property
    def steps(self) -> Steps[int]:
        """All values."""
        return Steps(self.min_value, self.max_value, exact(self.step_size), included=self.include_max)

    def draw(self, random: Random) -> dict[str, Any]:
        """Draw a whole number."""
        return {str(self.name): random.choice(self.steps)}

    def to_list(self) -> list[dict[str, Any]]:
        """Return all of them."""
        return [{str(self.name): number} for number in self.steps]


class DiscreteParameterRange(Parameter):
    """Given values, of any kind that JSON has, each as likely."""

    def __init__(self, name: str, values: Iterable[Any] = ()) -> None:
        super().__init__(_named(name))
        self.values = _listed(f"the values of {name!r}", values)
        for value in self.values:
            _check_json(name, value)

    def draw(self, random: Random) -> dict[str, Any]:
        """Draw one of the values."""
        return {str(self.name): random.choice(self.values)}

    def to_list(self) -> list[dict[str, Any]]:
        """Return all values as they were given."""
        return [{str(self.name): value} for value in self.values]


class ParameterSet(Parameter):
    """Combinations of parameters that go together, each as likely.

    A combination names parameters and their values; a range in the place of a value stands for all of its values, under
    the range's own name.
    """

    def __init__(self, parameter_combinations: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(None)
        listed = _listed("the combinations of a ParameterSet", parameter_combinations)
        self.values = [_combination(each) for each in listed]

    @property
    def names(self) -> AbstractSet[str]:
        """The names in all combinations."""
        return frozenset(name for combination in self.values for name in _names(combination))

    def draw(self, random: Random) -> dict[str, Any]:
        """Draw a combination, then a value of each range in it."""
        drawn = random.choice(self.values).items()
        return combine(value.draw(random) if isinstance(value, Parameter) else {name: value} for name, value in drawn)

    def to_list(self) -> list[dict[str, Any]]:
        """Return all combinations, those with ranges for each of the ranges' values."""
        return [combine(parts) for combination in self.values for parts in product(*_options(combination))]

    @classmethod
    def of_attributes(cls, arguments: Mapping[str, Any]) -> ParameterSet:
        """Make one whose combinations hold ranges again, not their dictionaries."""
        return cls([{name: _undumped(value) for name, value in each.items()} for each in arguments["values"]])


def tell_of_unknown(parameters: Iterable[Parameter], known: AbstractSet[str]) -> None:
    """Warn of parameters that a task whose parameters are known does not have: its code may not read them."""
    missing = sorted({full_name(name) for parameter in parameters for name in parameter.names} - known)
    if known and missing:
        LOGGER.warning(
            "the base task has no parameter %s: trials get it all the same, but its code may not read it. It has %s.",
            ", ".join(missing),
            ", ".join(sorted(known)),
            extra={"action": "search_parameters_unknown", "parameters": missing},
        )


def _options(combination: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    items = combination.items()
    return [value.to_list() if isinstance(value, Parameter) else [{name: value}] for name, value in items]


def _names(combination: Mapping[str, Any]) -> list[str]:
    nested = [value.names if isinstance(value, Parameter) else {name} for name, value in combination.items()]
    return [name for names in nested for name in names]


def _dumped(value: Any) -> Any:
    if isinstance(value, Parameter):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {name: _dumped(inner) for name, inner in value.items()}
    return [_dumped(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _undumped(value: Any) -> Any:
    is_parameter = isinstance(value, Mapping) and value.get(_KIND) in _KINDS
    return Parameter.from_dict(value) if is_parameter else value


def _named(name: str) -> str:
    if not name or not isinstance(name, str):
        raise InvalidArgumentError(f"{name!r} is no name of a hyper-parameter: give it as the task has it.")
    return name


def _number(name: str, what: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidArgumentError(f"{what} of {name!r} is {value!r}: give a finite number.")
    return number


def _whole(name: str, what: str, value: float) -> int:
    if not _number(name, what, value).is_integer():
        raise InvalidArgumentError(f"{what} of {name!r} is {value!r}: give a whole number.")
    return int(value)


def _listed(what: str, values: Iterable[Any]) -> list[Any]:
    if isinstance(values, (str, bytes, Mapping, AbstractSet)) or not isinstance(values, Iterable):
        raise InvalidArgumentError(f"{what} are {values!r}: give a list of them.")
    if not (listed := [plain(value) for value in values]):
        raise InvalidArgumentError(f"{what} are none: give at least one.")
    return listed


def _check_bounds(range_: UniformParameterRange | UniformIntegerParameterRange) -> None:
    low, high, step = range_.min_value, range_.max_value, range_.step_size
    if low > high:
        raise InvalidArgumentError(f"min_value of {range_.name!r} is {low}, above its max_value {high}: exchange them.")
    if low == high and not range_.include_max:
        reason = f"min_value and max_value are both {high}, and include_max_value is False"
        raise InvalidArgumentError(f"{range_.name!r} has no value: {reason}.")
    if step is not None and step <= 0:
        raise InvalidArgumentError(f"step_size of {range_.name!r} is {step}: it must be greater than 0.")


def _check_powers(range_: LogUniformParameterRange) -> None:
    if range_.base <= 0 or range_.base == 1:
        raise InvalidArgumentError(f"base of {range_.name!r} is {range_.base}: it must be greater than 0, and not 1.")
    try:
        is_sound = range_.limits[0] > 0
    except OverflowError:
        is_sound = False
    if not is_sound:
        reason = f"{range_.base} to the power of {range_.min_value} to {range_.max_value} is beyond floating point"
        hint = "min_value and max_value are exponents, 1e-4 to 0.1 is written -4 to -1"
        raise InvalidArgumentError(f"{range_.name!r} has values that are no numbers: {reason}; {hint}.")


def _check_json(name: str, value: Any) -> None:
    try:
        canonical(value)
    except (TypeError, ValueError) as error:
        hint = "give what JSON has: null, booleans, numbers, texts, lists, and dictionaries with texts as keys"
        raise InvalidArgumentError(f"{value!r} can't be a value of {name!r} ({error}): {hint}.") from error


def _combination(given: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidArgumentError(f"{given!r} is no combination of parameters: give a dictionary of names and values.")
    combination = {name: plain(value) for name, value in given.items()}
    names = _names(combination)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidArgumentError(f"{', '.join(twice)} is set twice by a combination: {combination!r}.")
    for name, value in combination.items():
        if not isinstance(value, Parameter):
            _check_json(name, value)
    return combination
