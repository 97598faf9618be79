"""What a search looks for: the value that counts, and trials from the best to the worst."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.errors import InvalidArgumentError
from tasktape.producers.search.keeping import Keeper
from tasktape.producers.search.objectives import Objective, Objectives, objectives
from tasktape.projections.scalar_summary import Points, Summary, summarise
from tasktape.projections.search_fold import TrialState

SIGNS = ["min", "max", "min_global", "max_global"]
VALUES = st.floats(-100, 100) | st.integers(-3, 3).map(float)


def summary(values: list[float]) -> Summary:
    numbers = np.arange(len(values))
    return summarise(Points(np.zeros_like(numbers), numbers, numbers, np.array(values, float)), [0.0])[0]


def one(sign: str) -> Objective:
    return objectives("loss", "validation", sign).each[0]


@given(st.lists(VALUES | st.just(math.nan), min_size=1))
def test_the_last_value_counts_or_the_best_of_all_and_never_one_that_is_no_number(values: list[float]) -> None:
    known = [value for value in values if not math.isnan(value)]
    last = None if math.isnan(values[-1]) else values[-1]
    expected = [last, last, min(known, default=None), max(known, default=None)]
    assert [one(sign).value(summary(values)) for sign in SIGNS] == expected


def test_a_series_nobody_has_reported_has_no_value() -> None:
    assert (one("min").value(None), one("max_global").value(Summary())) == (None, None)
    both = objectives(["loss", "size"], ["v", "v"], ["min", "min"])
    assert both.values([summary([1.0]), None]) is None
    assert both.values([summary([1.0]), summary([3.0, 2.0])]) == (1.0, 2.0)


@given(st.sampled_from(SIGNS), st.lists(st.none() | VALUES.map(lambda value: (value,)), max_size=20))
def test_one_objective_ranks_by_value_and_the_earlier_of_equals_first(sign: str, trials: list[Any]) -> None:
    goal = Objectives((one(sign),))
    down = -1 if sign.startswith("max") else 1
    known = [place for place, values in enumerate(trials) if values]
    expected = sorted(known, key=lambda place: (down * trials[place][0], place))
    assert goal.ranking(trials) == expected
    assert goal.best(trials) == (expected[0] if expected else None)


FEW_VALUES = st.integers(-3, 3).map(float)
PAIRS = st.lists(st.tuples(FEW_VALUES, FEW_VALUES) | st.tuples(VALUES, VALUES), max_size=20)
TRIPLES = st.lists(st.tuples(FEW_VALUES, FEW_VALUES, FEW_VALUES), max_size=20)


@given(PAIRS | TRIPLES)
def test_several_objectives_rank_front_by_front(trials: list[tuple[float, ...]]) -> None:
    count = len(trials[0]) if trials else 2
    goal = objectives(["loss", "accuracy", "size"][:count], ["v"] * count, ["min", "max", "min"][:count])
    ranking = goal.ranking(trials)
    left = list(range(len(trials)))
    peeled: list[int] = []
    while left:
        best = [place for place in left if not any(goal.is_better(trials[other], trials[place]) for other in left)]
        peeled += best
        left = [place for place in left if place not in best]
    assert ranking == peeled
    front = goal.front(trials)
    assert front == ranking[: len(front)]
    assert all(any(goal.is_better(trials[other], trials[place]) for other in front) for place in ranking[len(front) :])


def test_better_is_nowhere_worse_and_somewhere_better() -> None:
    goal = objectives(["loss", "accuracy"], ["v", "v"], ["min", "max"])
    assert goal.is_better([1, 5], [2, 5])
    assert not goal.is_better([1, 5], [1, 5])
    assert not goal.is_better([1, 4], [2, 5])
    assert [objective.direction for objective in goal.each] == ["minimize", "maximize"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("loss", "v", "least"), "give one of min, max, min_global, max_global"),
        ((["loss"], "v", "min"), "don't go together"),
        ((["loss", "size"], ["v", "v"], ["min"]), "don't go together"),
        (([], [], []), "don't go together"),
    ],
)
def test_objectives_that_make_no_sense_are_refused(arguments: tuple[Any, Any, Any], said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        objectives(*arguments)


def test_an_order_is_min_or_max() -> None:
    with pytest.raises(InvalidArgumentError, match="'min' or 'max'"):
        Objective("loss", "v", "min_global")


def over(number: int, *values: float, status: Any = "completed") -> TrialState:
    return TrialState(number, f"t{number}", (), status=status, values=values)


def test_the_best_trials_are_kept_and_each_other_is_dropped_once() -> None:
    keeper = Keeper(objectives("loss", "v", "min"), 2)
    assert keeper.take([over(0, 3.0), over(1), over(2, 1.0)]) == ([over(1)], [])
    assert keeper.take([over(3, 2.0), over(4, 0.0, status="failed")]) == (
        [over(0, 3.0), over(4, 0.0, status="failed")],
        [],
    )
    assert keeper.take([over(6, 2.0)]) == ([over(6, 2.0)], [])
    assert keeper.take([over(5, 0.5)]) == ([over(3, 2.0)], [])
    assert keeper.take([]) == ([], [])


@given(st.lists(VALUES, max_size=30), st.integers(1, 5))
def test_those_kept_in_the_end_are_the_best_of_all(values: list[float], most: int) -> None:
    goal = objectives("loss", "v", "max")
    keeper = Keeper(goal, most)
    dropped = {
        trial.number for number, value in enumerate(values) for trial in keeper.take([over(number, value)]).hidden
    }
    best = goal.ranking([(value,) for value in values])[:most]
    assert set(range(len(values))) - dropped == set(best)


POINTS = st.lists(st.tuples(st.integers(0, 4).map(float), st.integers(0, 4).map(float)), max_size=20)


@given(POINTS, st.integers(1, 4))
def test_with_several_objectives_those_in_sight_are_the_best_of_all_at_each_moment(
    values: list[tuple[float, float]], most: int
) -> None:
    goal = objectives(["loss", "size"], ["v", "v"], ["min", "min"])
    keeper, sight = Keeper(goal, most), set[int]()
    for number, pair in enumerate(values):
        hidden, shown = keeper.take([over(number, *pair)])
        sight = (sight | {number} | {trial.number for trial in shown}) - {trial.number for trial in hidden}
        assert sight == set(goal.ranking(values[: number + 1])[:most])
