"""What a search may try: values stay in their ranges, keep their types, and a kept parameter is the same again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tasktape.errors import InvalidArgumentError
from tasktape.producers.search.objectives import Objective
from tasktape.producers.search.parameters import (
    DiscreteParameterRange,
    LogUniformParameterRange,
    Parameter,
    ParameterSet,
    RandomSeed,
    UniformIntegerParameterRange,
    UniformParameterRange,
    tell_of_unknown,
)
from tasktape.producers.search.strategies import GridSearch, RandomSearch

NUMBERS = st.floats(-1e6, 1e6).map(lambda number: round(number, 3))
WHOLE = st.integers(-1000, 1000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(autouse=True)
def seed() -> Iterator[None]:
    RandomSeed.set_random_seed()
    yield
    RandomSeed.set_random_seed()


@st.composite
def uniform(draw: st.DrawFn, *, stepped: bool | None = None) -> UniformParameterRange:
    low, high = sorted((draw(NUMBERS), draw(NUMBERS)))
    included = draw(st.booleans())
    assume(low < high or included)
    parts = draw(st.integers(1, 60)) if draw(st.booleans() if stepped is None else st.just(stepped)) else None
    step = round((high - low) / parts, 4) or 0.5 if parts else None
    return UniformParameterRange("lr", low, high, step_size=step, include_max_value=included)


@st.composite
def logarithmic(draw: st.DrawFn) -> LogUniformParameterRange:
    low, high = sorted((draw(st.integers(-80, 60)) / 8, draw(st.integers(-80, 60)) / 8))
    base, step = draw(st.sampled_from([10, 2, math.e, 0.5])), draw(st.none() | st.sampled_from([0.25, 0.3, 1.0]))
    included = draw(st.booleans())
    assume(low < high or included)
    return LogUniformParameterRange("lr", low, high, base, step, included)


@st.composite
def whole(draw: st.DrawFn) -> UniformIntegerParameterRange:
    low, high = sorted((draw(WHOLE), draw(WHOLE)))
    included = draw(st.booleans())
    assume(low < high or included)
    return UniformIntegerParameterRange("n", low, high, draw(st.integers(1, 50)), included)


RANGES = uniform() | logarithmic() | whole() | st.lists(JSON, min_size=1).map(lambda v: DiscreteParameterRange("d", v))


def listed(parameter: Parameter) -> list[Any]:
    values = parameter.to_list()
    assert all(set(value) == {parameter.name} for value in values)
    return [value[str(parameter.name)] for value in values]


@given(uniform(stepped=False))
def test_a_continuous_range_draws_between_its_bounds_and_lists_100_points_and_its_greatest(
    given_range: UniformParameterRange,
) -> None:
    low, high = given_range.min_value, given_range.max_value
    drawn = [given_range.get_value()["lr"] for _ in range(20)]
    assert all(low <= value <= high and isinstance(value, float) for value in drawn)
    assert given_range.include_max or all(value < high for value in drawn)
    values = listed(given_range)
    assert len(values) == (1 if low == high else 100 + given_range.include_max)
    assert values == pytest.approx(np.linspace(low, high, 101)[: len(values)].tolist())
    assert values[0] == low
    assert (values[-1] == high) is given_range.include_max


@given(uniform(stepped=True))
def test_a_range_with_steps_has_every_step_below_its_greatest_and_that_one_only_where_it_is_included(
    given_range: UniformParameterRange,
) -> None:
    low, high, step = given_range.min_value, given_range.max_value, given_range.step_size or 0.0
    values = listed(given_range)
    below = [value for value in values if value < high]
    assert below == pytest.approx([low + number * step for number in range(len(below))])
    assert high - (low + len(below) * step) <= 1e-9
    assert values == [*below, high] if given_range.include_max else values == below
    assert {given_range.get_value()["lr"] for _ in range(30)} <= set(values)


def test_the_greatest_of_a_continuous_range_is_not_drawn_where_it_is_excluded() -> None:
    narrow = UniformParameterRange("lr", 1.0, math.nextafter(1.0, 2.0), include_max_value=False)
    assert {narrow.get_value()["lr"] for _ in range(30)} == {1.0}


def test_steps_are_as_one_writes_them() -> None:
    assert listed(UniformParameterRange("lr", 0, 0.3, step_size=0.1)) == [0.0, 0.1, 0.2, 0.3]
    assert listed(UniformParameterRange("lr", 0, 1, step_size=0.3)) == [0.0, 0.3, 0.6, 0.9, 1.0]
    assert listed(UniformIntegerParameterRange("n", 1, 6, 2)) == [1, 3, 5, 6]
    assert listed(LogUniformParameterRange("lr", -3, 0, step_size=1)) == [0.001, 0.01, 0.1, 1.0]


@given(logarithmic())
def test_bounds_and_steps_of_a_logarithmic_range_are_exponents(given_range: LogUniformParameterRange) -> None:
    low, high, step = given_range.min_value, given_range.max_value, given_range.step_size
    exponents = UniformParameterRange("lr", low, high, step, given_range.include_max)
    values = listed(given_range)
    assert values == [given_range.base**exponent for exponent in listed(exponents)]
    drawn = [given_range.get_value()["lr"] for _ in range(10)]
    assert {type(value) for value in (*values, *drawn)} == {float}
    assert all(low - 1e-9 <= math.log(value, given_range.base) <= high + 1e-9 for value in drawn)
    assert step is None or set(drawn) <= set(values)


@given(whole())
def test_whole_numbers_stay_whole_and_in_their_range(given_range: UniformIntegerParameterRange) -> None:
    values = listed(given_range)
    steps = list(range(given_range.min_value, given_range.max_value, given_range.step_size))
    assert values == ([*steps, given_range.max_value] if given_range.include_max else steps)
    assert all(type(value) is int for value in values)
    assert {given_range.get_value()["n"] for _ in range(30)} <= set(values)


@given(st.lists(JSON, min_size=1))
def test_discrete_values_come_back_as_they_were_given(values: list[Any]) -> None:
    parameter = DiscreteParameterRange("d", values)
    assert all(taken is value for taken, value in zip(listed(parameter), values, strict=True))
    drawn = parameter.get_value()["d"]
    assert any(drawn is value for value in values)


def test_numbers_of_numpy_become_plain_ones() -> None:
    values = listed(DiscreteParameterRange("d", np.array([1, 2])))
    assert (values, {type(value) for value in values}) == ([1, 2], {int})


def test_a_set_lists_each_combination_and_each_value_of_the_ranges_in_it() -> None:
    choices = ParameterSet(
        [
            {"optimizer": "sgd", "momentum": DiscreteParameterRange("momentum", [0.8, 0.9])},
            {"optimizer": "adam"},
        ]
    )
    expected = [
        {"optimizer": "sgd", "momentum": 0.8},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "adam"},
    ]
    assert choices.to_list() == expected
    drawn = [choices.get_value() for _ in range(50)]
    assert all(value in expected for value in drawn)
    assert all(value in drawn for value in expected)
    assert choices.names == {"optimizer", "momentum"}


def test_a_range_in_a_set_sets_the_parameter_of_its_own_name() -> None:
    choices = ParameterSet([{"whatever": UniformIntegerParameterRange("layers", 1, 2)}])
    assert choices.to_list() == [{"layers": 1}, {"layers": 2}]


@given(st.lists(RANGES, min_size=1, max_size=3))
def test_a_parameter_that_was_kept_as_json_is_the_same_again(ranges: list[Parameter]) -> None:
    together = ParameterSet([{str(place): range_} for place, range_ in enumerate(ranges)] + [{"plain": [1, {"a": 2}]}])
    for parameter in (*ranges, together):
        again = Parameter.from_dict(json.loads(json.dumps(parameter.to_dict())))
        assert (again, again.to_list()) == (parameter, parameter.to_list())


def test_parameters_are_kept_under_the_names_that_clearml_gives_them() -> None:
    assert UniformIntegerParameterRange("n", 1, 9).to_dict() == {
        "type": "UniformIntegerParameterRange",
        "name": "n",
        "min_value": 1,
        "max_value": 9,
        "step_size": 1,
        "include_max": True,
    }


def test_the_same_seed_draws_the_same_values_and_1337_is_the_first() -> None:
    parameter = UniformParameterRange("lr", 0, 1)
    assert RandomSeed.get_random_seed() == 1337
    first = [parameter.get_value() for _ in range(3)]
    RandomSeed.set_random_seed(7)
    assert RandomSeed.get_random_seed() == 7
    other = [parameter.get_value() for _ in range(3)]
    RandomSeed.set_random_seed()
    assert [parameter.get_value() for _ in range(3)] == first != other


class Pair(Parameter):
    """One of somebody else's, written for ClearML: it draws by itself, and is kept by its attributes."""

    def __init__(self, name: str, *sides: Parameter) -> None:
        super().__init__(name)
        self.left, self.right = sides

    def get_value(self) -> dict[str, Any]:
        return {str(self.name): [*self.left.get_value().values(), *self.right.get_value().values()]}

    def to_list(self) -> list[dict[str, Any]]:
        return [{str(self.name): [a, b]} for a in listed(self.left) for b in listed(self.right)]


def test_a_class_of_ones_own_is_drawn_from_listed_and_kept() -> None:
    pair = Pair("Args/pair", UniformIntegerParameterRange("a", 1, 2), DiscreteParameterRange("b", ["x", None]))
    values = [[1, "x"], [1, None], [2, "x"], [2, None]]
    assert [value["Args/pair"] for value in pair.to_list()] == values
    strategies = [kind("base", [pair], Objective("m", "s"), "default", 1) for kind in (GridSearch, RandomSearch)]
    for strategy in strategies:
        found = [proposed["Args/pair"] for proposed in iter(strategy.propose, None)]
        assert sorted(map(str, found)) == sorted(map(str, values))
    assert Parameter.from_dict(json.loads(json.dumps(pair.to_dict()))) == pair
    with pytest.raises(InvalidArgumentError, match="can't draw a value"):
        type("Empty", (Parameter,), {})


def test_one_is_warned_of_names_that_the_base_task_does_not_have(caplog: pytest.LogCaptureFixture) -> None:
    ranges = [DiscreteParameterRange("lr", [1]), ParameterSet([{"Args/n": 1, "Args/m": 2}])]
    tell_of_unknown(ranges, {"General/lr", "Args/n", "Args/m"})
    tell_of_unknown(ranges, set())
    assert not caplog.records, "nothing is known of a draft that has never run"
    tell_of_unknown(ranges, {"Args/lr", "Args/n"})
    assert "no parameter Args/m, General/lr" in caplog.text
    assert "It has Args/lr, Args/n." in caplog.text


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: UniformParameterRange("lr", 2, 1), "above its max_value"),
        (lambda: UniformParameterRange("lr", 1, 1, include_max_value=False), "has no value"),
        (lambda: UniformParameterRange("lr", 0, 1, step_size=0), "greater than 0"),
        (lambda: UniformParameterRange("lr", 0, math.inf), "finite"),
        (lambda: UniformParameterRange("", 0, 1), "no name"),
        (lambda: LogUniformParameterRange("lr", -1, 2, base=1), "base"),
        (lambda: LogUniformParameterRange("lr", 1, 500), "exponents"),
        (lambda: LogUniformParameterRange("lr", -500, 1), "exponents"),
        (lambda: UniformIntegerParameterRange("n", 1.5, 2), "whole"),  # type: ignore[arg-type]
        (lambda: UniformIntegerParameterRange("n", 1, 2, -1), "greater than 0"),
        (lambda: DiscreteParameterRange("d"), "at least one"),
        (lambda: DiscreteParameterRange("d", "adam"), "give a list"),
        (lambda: DiscreteParameterRange("d", [{1, 2}]), "what JSON has"),
        (lambda: DiscreteParameterRange("d", [math.nan]), "what JSON has"),
        (ParameterSet, "at least one"),
        (lambda: ParameterSet([3]), "no combination"),  # type: ignore[list-item]
        (lambda: ParameterSet([{"a": 1, "b": DiscreteParameterRange("a", [2])}]), "set twice"),
        (lambda: Parameter.from_dict({"type": "Gaussian", "name": "lr"}), "no kind"),
    ],
)
def test_nonsense_is_refused_in_words(make: Any, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        make()
