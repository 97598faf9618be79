"""Strategies that propose from a grid or by chance: everything once, and a restart changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.errors import InvalidArgumentError
from tasktape.producers.search.objectives import Objective
from tasktape.producers.search.parameters import (
    DiscreteParameterRange,
    Parameter,
    ParameterSet,
    RandomSeed,
    UniformIntegerParameterRange,
    UniformParameterRange,
    canonical,
)
from tasktape.producers.search.proposals import Known
from tasktape.producers.search.strategies import GridSearch, RandomSearch, SearchStrategy

LOSS = Objective("loss", "validation", "min")
SMALL = [
    UniformIntegerParameterRange("Args/layers", 1, 3),
    DiscreteParameterRange("Args/optimizer", ["sgd", "adam", None]),
    UniformParameterRange("Args/lr", 0.1, 0.3, step_size=0.1),
]
CHOICES = st.lists(st.sampled_from([1, 1.0, True, "1", None, [1], {"a": 1}]), min_size=1, max_size=4)


@pytest.fixture(autouse=True)
def seed() -> Iterator[None]:
    RandomSeed.set_random_seed()
    yield
    RandomSeed.set_random_seed()


def made(kind: type[SearchStrategy], parameters: Sequence[Parameter]) -> SearchStrategy:
    return kind("base", parameters, LOSS, "default", 2)


def proposed(strategy: SearchStrategy) -> list[Mapping[str, Any]]:
    return list(iter(strategy.propose, None))


def ask(strategy: SearchStrategy, number: int) -> list[Mapping[str, Any]]:
    return list(islice(iter(strategy.propose, None), number))


@given(st.lists(CHOICES, min_size=1, max_size=3))
def test_a_grid_is_every_combination_exactly_once(choices: list[list[Any]]) -> None:
    names = [f"p{place}" for place in range(len(choices))]
    ranges = [DiscreteParameterRange(name, values) for name, values in zip(names, choices, strict=True)]
    found = [canonical(parameters) for parameters in proposed(made(GridSearch, ranges))]
    expected = [canonical(dict(zip(names, values, strict=True))) for values in product(*choices)]
    assert found == list(dict.fromkeys(expected))


@st.composite
def sets(draw: st.DrawFn, prefix: str) -> ParameterSet:
    """Combinations of values and ranges of several names, and not all of the same ones."""
    value = st.integers(0, 2) | st.lists(st.integers(0, 2), min_size=1, max_size=2)
    combination = st.dictionaries(st.sampled_from([f"{prefix}/a", f"{prefix}/b"]), value, max_size=2)
    chosen = draw(st.lists(combination, min_size=1, max_size=3))
    return ParameterSet(
        [
            {name: DiscreteParameterRange(name, held) if isinstance(held, list) else held for name, held in one.items()}
            for one in chosen
        ]
    )


def choices_of(combination: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All that a combination stands for, spelt out."""
    values = [one.values if isinstance(one, DiscreteParameterRange) else [one] for one in combination.values()]
    return [dict(zip(combination, chosen, strict=True)) for chosen in product(*values)]


@given(sets("x"), sets("y"), st.integers(1, 3))
def test_a_grid_of_sets_with_ranges_in_them_is_every_combination_exactly_once(
    first: ParameterSet, second: ParameterSet, steps: int
) -> None:
    layers = UniformIntegerParameterRange("layers", 1, steps)
    found = [canonical(parameters) for parameters in proposed(made(GridSearch, [first, layers, second]))]
    spelt_out = [[choice for one in each.values for choice in choices_of(one)] for each in (first, second)]
    expected = [
        canonical(one | {"layers": number} | other)
        for one, number, other in product(spelt_out[0], range(1, steps + 1), spelt_out[1])
    ]
    assert found == list(dict.fromkeys(expected))


def test_chance_proposes_every_combination_before_it_has_no_more() -> None:
    found = {canonical(parameters) for parameters in proposed(made(RandomSearch, SMALL))}
    grid = [canonical(parameters) for parameters in proposed(made(GridSearch, SMALL))]
    assert found == set(grid)
    assert len(proposed(made(RandomSearch, SMALL))) == len(grid) == 27


def test_chance_proposes_no_combination_twice_even_of_those_that_are_seldom_drawn() -> None:
    often = DiscreteParameterRange("a", [1] * 500 + [2, 3])
    assert sorted(p["a"] for p in proposed(made(RandomSearch, [often]))) == [1, 2, 3]


def test_chance_follows_the_seed_as_the_ranges_themselves_do() -> None:
    lr = UniformParameterRange("lr", 0, 1)
    first = ask(made(RandomSearch, [lr]), 5)
    assert first == [lr.get_value() for _ in range(5)]
    RandomSeed.set_random_seed(7)
    assert ask(made(RandomSearch, [lr]), 5) != first


@pytest.mark.parametrize("kind", [GridSearch, RandomSearch])
@pytest.mark.parametrize("known", range(0, 28, 3))
def test_a_restarted_search_proposes_what_it_would_have_proposed(kind: type[SearchStrategy], known: int) -> None:
    through = proposed(made(kind, SMALL))
    resumed = made(kind, SMALL)
    before = [Known(parameters, "completed", (1.0,)) for parameters in through[:known]]
    resumed.resume([*before[:-1], Known(before[-1].parameters)] if before else [])
    assert proposed(resumed) == through[known:]


def test_chance_goes_on_over_a_continuous_range_where_it_was() -> None:
    ranges = [ParameterSet([{"lr": UniformParameterRange("lr", 0, 1)}, {"momentum": 0.9}])]
    through = ask(made(RandomSearch, ranges), 100)
    resumed = made(RandomSearch, ranges)
    resumed.resume([Known(parameters, "completed", (1.0,)) for parameters in through[:60]])
    assert ask(resumed, 40) == through[60:]


@pytest.mark.parametrize("kind", [GridSearch, RandomSearch])
def test_a_restart_with_other_ranges_tries_all_that_is_new_and_nothing_again(kind: type[SearchStrategy]) -> None:
    known = [Known({"n": 1}, "completed", (1.0,)), Known({"n": 9}, "failed")]
    resumed = made(kind, [UniformIntegerParameterRange("n", 1, 5)])
    resumed.resume(known)
    assert sorted(parameters["n"] for parameters in proposed(resumed)) == [2, 3, 4, 5]


def test_two_ranges_for_one_name_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="several hyper-parameters set n"):
        made(GridSearch, [DiscreteParameterRange("n", [1]), ParameterSet([{"n": 2}])])


def test_a_strategy_of_ones_own_has_clearmls_attributes_and_proposes_nothing_by_itself() -> None:
    class Own(SearchStrategy):
        pass

    own = Own("base", SMALL, LOSS, "default", 2, total_max_jobs=5, optuna_sampler="of another strategy")
    limits = (own.total_max_jobs, own.pool_period_minutes, own.time_limit_per_job, own.max_iteration_per_job)
    assert limits == (5, 2.0, None, None)
    assert (own.propose(), own.report(0, 1.0, 1)) == (None, False)


class Ladder(SearchStrategy):
    """Tries one value after the other, as a strategy written for ClearML does."""

    asked = 0

    def create_job(self) -> Any:
        self.asked += 1
        return self.helper_create_job(self._base_task_id, parameter_override={"n": self.asked}, tags=[], parent=None)


def test_what_a_strategy_of_ones_own_creates_is_tried() -> None:
    assert ask(made(Ladder, []), 2) == [{"n": 1}, {"n": 2}]
    resumed = made(Ladder, [])
    resumed.resume([Known({"n": 1}), Known({"n": 2})])
    assert resumed.propose() == {"n": 3}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"base_task_id": "another"}, r"another base task \(another\)"),
        ({"task_overrides": {"script.branch": "main"}, "tags": ["mine"]}, "can't have tags, task_overrides"),
    ],
)
def test_a_trial_that_would_differ_by_more_than_its_parameters_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        made(Ladder, []).helper_create_job(**{"base_task_id": "base", **given})


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (SearchStrategy, "process_step"),
        (SearchStrategy, "monitor_job"),
        (SearchStrategy, "start"),
        (GridSearch, "create_job"),
        (RandomSearch, "helper_create_job"),
    ],
)
def test_what_nothing_would_call_is_refused_rather_than_ignored(kind: type[SearchStrategy], name: str) -> None:
    theirs = type("Theirs", (kind,), {name: lambda _: None})
    with pytest.raises(InvalidArgumentError, match=f"Theirs overrides {name}, which a search does not call"):
        made(theirs, SMALL)


def test_a_strategy_that_proposes_by_itself_may_call_what_it_likes() -> None:
    theirs = type("Theirs", (GridSearch,), {"propose": lambda _: {"n": 1}, "create_job": lambda _: None})
    assert made(theirs, SMALL).propose() == {"n": 1}
