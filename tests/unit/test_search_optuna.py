"""Optuna as a strategy: it suggests what it would suggest alone, prunes what it would prune, and survives restarts."""

from __future__ import annotations

import importlib
import logging
import math
import sys
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import Trial, TrialState

from tasktape.errors import InvalidArgumentError
from tasktape.producers.search.bohb import OptimizerBOHB
from tasktape.producers.search.objectives import Objective, Objectives, objectives
from tasktape.producers.search.optuna_strategy import OptimizerOptuna
from tasktape.producers.search.parameters import (
    DiscreteParameterRange,
    LogUniformParameterRange,
    Parameter,
    ParameterSet,
    UniformIntegerParameterRange,
    UniformParameterRange,
    canonical,
)
from tasktape.producers.search.proposals import Known

LOSS = Objective("loss", "validation", "min")
RANGES: list[Parameter] = [
    LogUniformParameterRange("lr", -4, -1),
    UniformParameterRange("momentum", 0, 1),
    UniformParameterRange("dropout", 0, 0.5, step_size=0.1),
    UniformIntegerParameterRange("layers", 1, 7, step_size=2),
    DiscreteParameterRange("optimizer", ["sgd", "adam"]),
]
GRID: list[Parameter] = [UniformIntegerParameterRange("a", 1, 4), DiscreteParameterRange("b", ["x", "y", None])]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def made(
    parameters: list[Parameter] | None = None, objective: Objective | Objectives = LOSS, **kwargs: Any
) -> OptimizerOptuna:
    return OptimizerOptuna("base", parameters or RANGES, objective, "default", 2, None, None, **kwargs)


def suggested(trial: Trial) -> dict[str, Any]:
    """The same ranges as somebody who uses Optuna alone writes them."""
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
        "momentum": trial.suggest_float("momentum", 0, 1),
        "dropout": trial.suggest_float("dropout", 0, 0.5, step=0.1),
        "layers": trial.suggest_int("layers", 1, 7, step=2),
        "optimizer": trial.suggest_categorical("optimizer", ["sgd", "adam"]),
    }


def loss(parameters: Mapping[str, Any]) -> float:
    lr = (math.log10(parameters["lr"]) + 2.5) ** 2
    return float(lr + (parameters["momentum"] - 0.3) ** 2 + parameters["dropout"] + parameters["layers"] / 7)


def curve(parameters: Mapping[str, Any], steps: int = 9) -> list[float]:
    return [loss(parameters) + 1 / step for step in range(1, steps + 1)]


def run(strategy: OptimizerOptuna, trials: int, first: int = 0) -> list[Known]:
    """Trials one after the other, each reporting its curve until it is given up."""
    done = []
    for number in range(first, first + trials):
        if (parameters := strategy.propose()) is None:
            break
        done.append(Known(parameters, *live(strategy, number, parameters)))
    return done


def live(strategy: OptimizerOptuna, number: int, parameters: Mapping[str, Any]) -> tuple[str, Any, dict[int, float]]:
    reports = {}
    for step, value in enumerate(curve(parameters), 1):
        reports[step] = value
        if strategy.report(number, value, step):
            strategy.finish(number, "pruned", (value,))
            return "pruned", (value,), reports
    strategy.finish(number, "completed", (value,))
    return "completed", (value,), reports


def alone(trials: int, **kwargs: Any) -> optuna.Study:
    """What a plain loop of Optuna comes to."""

    def objective(trial: Trial) -> float:
        parameters = suggested(trial)
        for step, value in enumerate(curve(parameters), 1):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    study = optuna.create_study(direction="minimize", study_name="search", **kwargs)
    study.optimize(objective, n_trials=trials)
    return study


def pruners() -> list[optuna.pruners.BasePruner]:
    hyperband = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9)
    return [optuna.pruners.NopPruner(), optuna.pruners.MedianPruner(n_startup_trials=3), hyperband]


def told(study: optuna.Study) -> list[tuple[Any, ...]]:
    return [(trial.params, trial.state, trial.values, trial.intermediate_values) for trial in study.trials]


@pytest.mark.parametrize("pruner", range(3), ids=["none", "median", "hyperband"])
def test_it_tries_and_prunes_what_a_plain_loop_of_optuna_does(pruner: int) -> None:
    strategy = made(
        optuna_sampler=optuna.samplers.TPESampler(seed=7), optuna_pruner=pruners()[pruner], study_name="search"
    )
    trials = run(strategy, 25)
    study = alone(25, sampler=optuna.samplers.TPESampler(seed=7), pruner=pruners()[pruner])
    assert told(strategy.study) == told(study)
    assert [trial.parameters for trial in trials] == [trial.params for trial in study.trials]
    assert any(trial.status == "pruned" for trial in trials) is (pruner > 0)


def test_any_sampler_of_optuna_suggests() -> None:
    strategy = made(optuna_sampler=optuna.samplers.RandomSampler(seed=7), study_name="search")
    run(strategy, 15)
    assert told(strategy.study) == told(alone(15, sampler=optuna.samplers.RandomSampler(seed=7)))


def test_no_trial_is_given_up_before_its_least_number_of_iterations() -> None:
    strategy = made(optuna_pruner=optuna.pruners.ThresholdPruner(upper=0.0), min_iteration_per_job=4)
    trials = run(strategy, 3)
    assert [len(trial.reports) for trial in trials] == [4, 4, 4]


def test_what_is_reported_again_changes_nothing() -> None:
    strategy = made()
    strategy.propose()
    for value in (1.0, 2.0):
        assert not strategy.report(0, value, 1)
    assert not strategy.report(0, 1.0, -1)
    assert not strategy.report(5, 1.0, 1)
    strategy.finish(0, "completed", (3.0,))
    strategy.finish(0, "failed", None)
    assert told(strategy.study)[0][1:] == (TrialState.COMPLETE, [3.0], {1: 1.0})


@pytest.mark.parametrize(
    ("status", "values", "state"),
    [
        ("completed", (1.0,), TrialState.COMPLETE),
        ("aborted", (1.0,), TrialState.COMPLETE),
        ("completed", None, TrialState.PRUNED),
        ("completed", (math.nan,), TrialState.PRUNED),
        ("failed", (1.0,), TrialState.FAIL),
        ("failed", None, TrialState.FAIL),
    ],
)
def test_the_study_is_told_how_a_trial_ended(status: str, values: Any, state: TrialState) -> None:
    strategy = made()
    strategy.propose()
    strategy.finish(0, status, values)
    resumed = made()
    resumed.resume([Known(strategy.study.trials[0].params, status, values)])
    assert [trial.state for study in (strategy.study, resumed.study) for trial in study.trials] == [state, state]


def test_several_objectives_are_told_in_their_directions() -> None:
    both = objectives(["loss", "accuracy"], ["v", "v"], ["min", "max_global"])
    strategy = made(objective=both, optuna_sampler=optuna.samplers.NSGAIISampler(seed=7, population_size=4))
    trials = []
    for number in range(12):
        parameters = strategy.propose()
        assert parameters is not None
        values = (loss(parameters), parameters["momentum"])
        assert not strategy.report(number, values[0], 1)
        strategy.finish(number, "completed", values)
        trials.append(values)
    assert [direction.name for direction in strategy.study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert sorted(map(tuple, (trial.values for trial in strategy.study.best_trials))) == sorted(
        trials[place] for place in both.front(trials)
    )


def test_a_suggestion_that_was_tried_is_pruned_and_another_follows_until_there_is_none() -> None:
    strategy = made(GRID, optuna_sampler=optuna.samplers.TPESampler(seed=3))
    found: list[str] = []
    while (parameters := strategy.propose()) is not None:
        strategy.finish(len(found), "completed", (float(parameters["a"]),))
        found.append(canonical(parameters))
    assert len(found) == len(set(found)) == 12
    pruned = [trial for trial in strategy.study.trials if trial.state == TrialState.PRUNED]
    assert len(pruned) == len(strategy.study.trials) - 12 > 0
    assert strategy.study.trials[-1].state == TrialState.COMPLETE


class Stubborn(optuna.samplers.RandomSampler):
    """Suggests the same again and again."""

    def sample_independent(self, *_: Any) -> Any:
        return 1


def test_a_sampler_that_comes_to_nothing_new_is_asked_no_more() -> None:
    strategy = made(GRID[:1], optuna_sampler=Stubborn())
    assert [strategy.propose() for _ in range(2)] == [{"a": 1}, None]
    asked = len(strategy.study.trials)
    strategy.finish(0, "completed", (1.0,))
    assert strategy.propose() is None
    assert len(strategy.study.trials) == asked


def test_an_excluded_end_is_not_suggested() -> None:
    narrow = UniformParameterRange("x", 1.0, math.nextafter(1.0, 2.0), include_max_value=False)
    strategy = made([narrow], optuna_sampler=optuna.samplers.GridSampler({"x": [1.0]}))
    assert strategy.propose() == {"x": 1.0}
    assert strategy.study.trials[0].distributions["x"].single()


@pytest.mark.filterwarnings("ignore:BruteForceSampler is experimental")
@pytest.mark.parametrize("kind", ["grid", "brute force"])
def test_a_sampler_that_has_tried_everything_ends_the_search(kind: str) -> None:
    grid = optuna.samplers.GridSampler({"a": [1, 2], "b": ["x", "y"]}, seed=3)
    strategy = made(GRID, optuna_sampler=grid if kind == "grid" else optuna.samplers.BruteForceSampler(seed=3))
    found: list[str] = []
    while (parameters := strategy.propose()) is not None:
        strategy.finish(len(found), "completed", (1.0,))
        found.append(canonical(parameters))
    assert len(found) == len(set(found)) == (4 if kind == "grid" else 12)


def test_values_keep_their_types_and_ranges_their_ends() -> None:
    odd = [[1, 2], {"depth": 3}, (4, 5)]
    ranges: list[Parameter] = [
        DiscreteParameterRange("odd", odd),
        DiscreteParameterRange("alike", [1, True]),
        LogUniformParameterRange("lr", -3, -1, step_size=1),
        UniformIntegerParameterRange("n", 1, 4, step_size=2),
        UniformIntegerParameterRange("m", 1, 3, include_max_value=False),
        UniformParameterRange("x", 0, 1, step_size=0.3),
    ]
    strategy = made(ranges, optuna_sampler=optuna.samplers.RandomSampler(seed=1))
    found = [parameters for _ in range(120) if (parameters := strategy.propose())]
    assert all(any(parameters["odd"] is value for value in odd) for parameters in found)
    assert {type(parameters["alike"]) for parameters in found} == {int, bool}
    assert {parameters["lr"] for parameters in found} == {0.001, 0.01, 0.1}
    assert {(type(parameters["n"]), parameters["n"]) for parameters in found} == {(int, 1), (int, 3)}
    assert {parameters["m"] for parameters in found} == {1, 2}
    assert sorted({round(parameters["x"], 9) for parameters in found}) == [0.0, 0.3, 0.6, 0.9]
    resumed = made(ranges)
    resumed.resume([Known(parameters, "completed", (1.0,)) for parameters in found])
    assert len(resumed.study.trials) == len(found)


@pytest.mark.parametrize("known", [0, 1, 5, 11, 24])
@pytest.mark.parametrize("pruner", range(3), ids=["none", "median", "hyperband"])
def test_a_restart_at_any_point_goes_on_with_the_same_study(known: int, pruner: int) -> None:
    first = made(
        optuna_sampler=optuna.samplers.TPESampler(seed=7), optuna_pruner=pruners()[pruner], study_name="search"
    )
    trials = run(first, known)
    resumed = made(
        optuna_sampler=optuna.samplers.TPESampler(seed=7), optuna_pruner=pruners()[pruner], study_name="search"
    )
    resumed.resume(trials)
    assert told(resumed.study) == told(first.study)
    trials += run(resumed, 8, first=known)
    assert len({canonical(trial.parameters) for trial in trials}) == len(resumed.study.trials) == known + 8
    ended = [trial.values[0] for trial in trials if trial.status == "completed" and trial.values]
    assert resumed.study.best_value == min(ended)


def test_trials_under_way_are_adopted_and_judged_by_what_the_others_have_reported() -> None:
    first = made(optuna_pruner=optuna.pruners.MedianPruner(n_startup_trials=2))
    trials = run(first, 4)
    under_way = [Known(parameters) for _ in range(2) if (parameters := first.propose())]
    resumed = made(optuna_pruner=optuna.pruners.MedianPruner(n_startup_trials=2))
    resumed.resume([*trials, *under_way])
    assert [trial.params for trial in resumed.study.trials] == [trial.params for trial in first.study.trials]
    assert [trial.state for trial in resumed.study.trials[4:]] == [TrialState.RUNNING, TrialState.RUNNING]
    assert resumed.report(4, 1e9, 1)
    resumed.finish(4, "pruned", (1e9,))
    assert not resumed.report(5, -1e9, 1)
    resumed.finish(5, "completed", (-1e9,))
    assert resumed.study.best_trial.params == under_way[1].parameters
    assert resumed.propose() is not None


def test_a_restarted_search_over_few_values_tries_the_rest_only() -> None:
    every = [{"a": a, "b": b} for a in (1, 2, 3, 4) for b in ("x", "y", None)]
    strategy = made(GRID, optuna_sampler=optuna.samplers.RandomSampler(seed=3))
    strategy.resume([*(Known(p, "completed", (1.0,)) for p in every[:7]), Known(every[7]), Known({"a": 9, "b": "x"})])
    found = [parameters for _ in range(20) if (parameters := strategy.propose())]
    assert sorted(map(canonical, found)) == sorted(map(canonical, every[8:]))
    strategy.finish(8, "completed", (-1.0,))
    assert strategy.study.best_value == 1.0


def test_a_study_is_continued_with_its_trials_and_those_that_were_enqueued() -> None:
    study = optuna.create_study(direction="minimize")
    study.enqueue_trial({"a": 1, "b": "x"})
    study.add_trial(
        optuna.trial.create_trial(
            value=-5.0, params={"a": 2}, distributions={"a": optuna.distributions.IntDistribution(1, 4)}
        )
    )
    pruner = optuna.pruners.NopPruner()
    strategy = made(GRID, continue_previous_study=study, optuna_pruner=pruner)
    assert strategy.propose() == {"a": 1, "b": "x"}
    strategy.finish(0, "completed", (1.0,))
    assert (strategy.study, study.pruner) == (study, pruner)
    assert study.best_value == -5.0
    with pytest.raises(InvalidArgumentError, match="continue"):
        made(objective=Objective("a", "b", "max"), continue_previous_study=study).propose()


def test_a_restart_over_a_study_that_was_stored_adds_nothing_twice() -> None:
    storage = optuna.storages.InMemoryStorage()
    task = SimpleNamespace(id="search-task")
    first = made(GRID, storage=storage)
    first.set_optimizer_task(task)
    for a in (4, 1, 2):
        first.study.enqueue_trial({"a": a, "b": "y"})
    proposed = [parameters for _ in range(3) if (parameters := first.propose())]
    first.finish(1, "completed", (2.0,))
    again: dict[str, Any] = {"params": dict(proposed[0]), "distributions": first.study.trials[0].distributions}
    first.study.add_trial(optuna.trial.create_trial(state=TrialState.PRUNED, **again))
    first.study.enqueue_trial({"a": 3, "b": None})
    second = made(GRID, storage=storage)
    second.set_optimizer_task(task)
    second.resume([Known(proposed[0]), Known(proposed[1], "completed", (2.0,)), Known(proposed[2], "failed")])
    states: list[tuple[Mapping[str, Any], TrialState]] = [(trial.params, trial.state) for trial in second.study.trials]
    assert second.study.study_name == "search-task"
    assert states.count((proposed[1], TrialState.COMPLETE)) == 1
    assert states.count((proposed[0], TrialState.RUNNING)) == 1
    assert states.count((proposed[2], TrialState.RUNNING)) == 0
    assert second.propose() == {"a": 3, "b": None}
    second.finish(0, "completed", (1.0,))
    assert second.study.best_params == proposed[0]


@pytest.mark.parametrize(
    ("verbosity", "said"), [(optuna.logging.INFO, 0), (optuna.logging.DEBUG, 1)], ids=["as Optuna has it", "as set"]
)
def test_optuna_says_nothing_of_its_study_unless_it_was_told_to(
    verbosity: int, said: int, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("optuna")
    logger.addHandler(caplog.handler)
    optuna.logging.set_verbosity(verbosity)
    try:
        assert made().study.trials == []
    finally:
        logger.removeHandler(caplog.handler)
    assert ["A new study created" in record.getMessage() for record in caplog.records] == [True] * said
    assert optuna.logging.get_verbosity() == verbosity


def test_without_optuna_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, OptimizerOptuna.__module__)
    with pytest.raises(ImportError, match=r"pip install 'tasktape\[hpo\]'"):
        importlib.import_module(OptimizerOptuna.__module__)


def test_arguments_of_create_study_count_and_what_nobody_knows_is_told_and_ignored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sampler, pruner = optuna.samplers.RandomSampler(seed=1), optuna.pruners.NopPruner()
    strategy = made(sampler=sampler, pruner=pruner, study_name="mine", max_number_of_current_tasks=2)
    assert (strategy.study.sampler, strategy.study.pruner, strategy.study.study_name) == (sampler, pruner, "mine")
    assert [record.__dict__.get("arguments") for record in caplog.records] == [["max_number_of_current_tasks"]]


@pytest.mark.parametrize(
    ("module", "strategy"), [("optuna.optuna", OptimizerOptuna), ("hpbandster.bandster", OptimizerBOHB)]
)
def test_clearmls_modules_have_the_strategies_too(module: str, strategy: type[OptimizerOptuna]) -> None:
    for name in (module, module.partition(".")[0]):
        found = importlib.import_module(f"tasktape.automation.{name}")
        assert getattr(found, strategy.__name__) is strategy


def bohb(**kwargs: Any) -> OptimizerBOHB:
    return OptimizerBOHB("base", RANGES, LOSS, "default", 2, 1, 9, 25, **kwargs)


def test_bohb_prunes_as_hyperband_and_suggests_as_tpe_of_the_process_seed() -> None:
    strategy = bohb()
    strategy.set_optimizer_task(SimpleNamespace(id="search"))
    run(strategy, 25)
    hyperband = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9, reduction_factor=3)
    assert told(strategy.study) == told(alone(25, sampler=optuna.samplers.TPESampler(seed=1337), pruner=hyperband))


def test_bohbs_arguments_go_where_optuna_has_them(caplog: pytest.LogCaptureFixture) -> None:
    strategy = bohb(eta=2, bandwidth_factor=3)
    strategy.set_optimization_args(min_budget=0.2, min_points_in_model=3)
    assert [record.__dict__.get("arguments") for record in caplog.records] == [["bandwidth_factor"]]
    strategy.set_optimizer_task(SimpleNamespace(id="search"))
    run(strategy, 20)
    hyperband = optuna.pruners.HyperbandPruner(min_resource=2, max_resource=9, reduction_factor=2)
    tpe = optuna.samplers.TPESampler(seed=1337, n_startup_trials=3)
    assert told(strategy.study) == told(alone(20, sampler=tpe, pruner=hyperband))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: bohb(eta=1), "halve"),
        (lambda: bohb(max_budget=0.05, min_budget=0.9), "halve"),
        (lambda: OptimizerBOHB("base", RANGES, LOSS, "default", 2, None, 9, 25), "number of iterations"),
        (lambda: OptimizerBOHB("base", RANGES, Objectives((LOSS, LOSS)), "q", 2, 1, 9, 25), "one objective"),
        (lambda: made([ParameterSet([{"a": 1}])]), "ParameterSet"),
    ],
)
def test_what_optuna_can_not_do_is_refused(make: Any, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        make()
