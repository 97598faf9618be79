"""A search that is told in words: kept as a task's parameters, the same again, and refused where it can't go well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasktape.errors import InvalidArgumentError
from tasktape.producers.parameters import value_of
from tasktape.producers.search.description import STRATEGIES, Description, described, held
from tasktape.producers.search.optuna_named import optuna_arguments

PLAIN = Description("b", ("loss/test:min",), (("General/lr", "uniform(0, 1)"),), trials=3)
OPTUNA = replace(PLAIN, strategy="optuna")

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
DESCRIPTIONS = st.builds(
    Description,
    base_task=NAMES,
    objectives=st.lists(NAMES, min_size=1).map(tuple),
    space=st.dictionaries(NAMES, NAMES, min_size=1).map(lambda space: tuple(space.items())),
    strategy=st.sampled_from(STRATEGIES),
    seed=st.none() | st.integers(),
    trials=st.integers(0, 1000),
    time_limit=st.floats(0, 1e6),
    project=st.text(st.characters(exclude_categories=["Cs"])),
)


@given(DESCRIPTIONS)
def test_a_description_is_the_same_again_from_its_tasks_parameters(description: Description) -> None:
    assert described({one.name: value_of(one) for one in held(description)}) == description


def test_a_task_that_describes_no_search_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="describes no search"):
        described({"General/lr": 0.1})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"strategy": "greedy"}, "give one of random, grid, optuna, bohb"),
        ({"objectives": ()}, "name an objective"),
        ({"space": ()}, "name a parameter"),
        ({"sampler": "TPESampler"}, "take the strategy optuna"),
        ({"strategy": "bohb"}, "the least and the most"),
        ({"strategy": "optuna", "pruner": "median", "objectives": ("a/b:min", "c/d:max")}, "leave the pruner out"),
        ({"trials": 0}, "nothing ends this search"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        replace(PLAIN, **changes).check()


@pytest.mark.parametrize("changes", [{}, {"trials": 0, "strategy": "grid"}, {"trials": 0, "compute_time_limit": 1.0}])
def test_what_goes_together_is_taken(changes: dict[str, Any]) -> None:
    replace(PLAIN, **changes).check()


@pytest.mark.parametrize("name", ["TPESampler", "tpesampler", "tpe"])
def test_a_sampler_goes_by_optunas_name_and_takes_the_seed(name: str) -> None:
    (first, second) = (optuna_arguments(replace(OPTUNA, sampler=name, seed=7))["optuna_sampler"] for _ in range(2))
    assert isinstance(first, optuna.samplers.TPESampler)
    asked = [optuna.create_study(sampler=one).ask().suggest_float("x", 0, 1) for one in (first, second)]
    assert asked[0] == asked[1]


def test_without_a_name_optuna_chooses_and_a_seed_seeds_its_choice() -> None:
    assert optuna_arguments(OPTUNA) == {}
    assert isinstance(optuna_arguments(replace(OPTUNA, seed=7))["optuna_sampler"], optuna.samplers.TPESampler)
    several = replace(OPTUNA, seed=7, objectives=("a/b:min", "c/d:max"))
    assert isinstance(optuna_arguments(several)["optuna_sampler"], optuna.samplers.NSGAIISampler)


def test_a_pruner_goes_by_optunas_name() -> None:
    assert isinstance(optuna_arguments(replace(OPTUNA, pruner="median"))["optuna_pruner"], optuna.pruners.MedianPruner)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sampler": "best"}, "no sampler 'best'. There are .*TPESampler"),
        ({"sampler": "GridSampler"}, "needs arguments"),
        ({"pruner": "ThresholdPruner"}, "needs arguments"),
        ({"pruner": "BasePruner"}, "no pruner 'BasePruner'"),
    ],
)
def test_what_optuna_lacks_or_can_not_make_is_said(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        optuna_arguments(replace(OPTUNA, **changes))
