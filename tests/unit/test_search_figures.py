"""What people see of a search: its trials as a table, the objective over them, parameters against it, what matters."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import plotly.graph_objects as go
import pytest

from tasktape.events.parts import Parameter
from tasktape.events.search_events import Objective
from tasktape.producers.parameters import make
from tasktape.producers.search import figures
from tasktape.producers.search.figures import Shown
from tasktape.producers.search.importances import FEWEST, importances
from tasktape.producers.search.parameters import LogUniformParameterRange
from tasktape.projections.search_fold import TrialState

LOSS = Objective(title="loss", series="test", sign="min")
ACCURACY = Objective(title="accuracy", series="test", sign="max_global")


def trial(number: int, *values: float, status: str = "completed", **parameters: Any) -> Shown:
    held = {f"General/{name}": value for name, value in parameters.items()}
    return Shown(number, f"t{number}", status, values, 10 * number, held)


TRIALS = [
    trial(0, 0.5, 0.7, lr=0.1, kind="adam"),
    trial(1, 0.2, 0.9, lr=0.2, kind="<b>"),
    trial(2, status="failed", lr=0.3, kind="adam"),
    trial(3, 0.4, 0.8, status="pruned", lr=0.4, kind="adam"),
    trial(4, status="running", lr=0.5, kind="sgd"),
]


def test_a_trial_of_the_fold_is_shown_with_values_of_their_types() -> None:
    held = (make("General/lr", 0.1), Parameter(name="Args/kind", value='"adam"'))
    shown = Shown.of(TrialState(3, "t", held, status="pruned", values=(0.5,), iteration=7))
    assert shown == Shown(3, "t", "pruned", (0.5,), 7, {"General/lr": 0.1, "Args/kind": "adam"})


def test_the_table_has_the_best_trial_first_and_those_without_values_last() -> None:
    assert figures.summary_table(TRIALS, [LOSS, ACCURACY]) == [
        ["trial", "task id", "status", "loss/test", "accuracy/test", "iteration", "lr", "kind"],
        [1, "t1", "completed", 0.2, 0.9, 10, "0.2", "<b>"],
        [3, "t3", "pruned", 0.4, 0.8, 30, "0.4", "adam"],
        [0, "t0", "completed", 0.5, 0.7, 0, "0.1", "adam"],
        [2, "t2", "failed", "", "", 20, "0.3", "adam"],
        [4, "t4", "running", "", "", 40, "0.5", "sgd"],
    ]


@pytest.mark.parametrize(("place", "objective", "best"), [(0, LOSS, [0.5, 0.2, 0.2]), (1, ACCURACY, [0.7, 0.9, 0.9])])
def test_the_objective_is_drawn_over_the_trials_with_the_best_so_far(
    place: int, objective: Objective, best: list[float]
) -> None:
    figure = figures.objective_plot(TRIALS, objective, place)
    traces = {trace["name"]: trace for trace in figure["data"]}
    assert list(traces) == ["completed", "pruned", "best so far"]
    assert (traces["completed"]["x"], traces["completed"]["customdata"]) == ([0, 1], ["t0", "t1"])
    assert traces["completed"]["text"][1] == "task: t1<br>lr: 0.2<br>kind: &lt;b&gt;"
    assert (traces["best so far"]["x"], traces["best so far"]["y"]) == ([0, 1, 3], best)
    go.Figure(figure)


def test_parallel_coordinates_have_an_axis_for_each_parameter_and_objective() -> None:
    figure = figures.parallel_coordinates(TRIALS, [LOSS, ACCURACY])
    assert figure is not None
    (trace,) = figure["data"]
    assert trace["dimensions"] == [
        {"label": "lr", "values": [0.1, 0.2, 0.4]},
        {"label": "kind", "values": [1, 0, 1], "tickvals": [0, 1], "ticktext": ["&lt;b&gt;", "adam"]},
        {"label": "loss/test", "values": [0.5, 0.2, 0.4]},
        {"label": "accuracy/test", "values": [0.7, 0.9, 0.8]},
    ]
    assert (trace["line"]["color"], trace["line"]["reversescale"]) == ([0.5, 0.2, 0.4], True)
    go.Figure(figure)


def test_values_that_are_no_numbers_are_ticks() -> None:
    shown = [trial(0, 1.0, a=True, b=None, c=1), trial(1, 2.0, a=False, b="3", c="x"), trial(2, float("inf"), a=1)]
    figure = figures.parallel_coordinates(shown, [LOSS])
    assert figure is not None
    axes = {axis["label"]: axis.get("ticktext") for axis in figure["data"][0]["dimensions"]}
    assert axes == {"a": ["False", "True"], "b": ["3", "none"], "c": ["1", "x"], "loss/test": None}
    assert figures.parallel_coordinates(shown[2:], [LOSS]) is None


def test_numbers_that_a_trial_lacks_are_below_those_that_others_have() -> None:
    shown = [trial(0, 1.0, n=4, lr=0.01), trial(1, 2.0, n=10, lr=0.1), trial(2, 3.0)]
    figure = figures.parallel_coordinates(shown, [LOSS], {"General/lr"})
    assert figure is not None
    number, rate, _ = figure["data"][0]["dimensions"]
    assert (number["values"], number["range"]) == ([4, 10, 3.0], [3.0, 10])
    assert number["ticktext"] == ["none", "4", "7", "10"]
    assert (rate["values"][:2], rate["ticktext"]) == ([-2.0, -1.0], ["none", "0.01", "0.1"])
    assert rate["values"][2] < -2.0
    go.Figure(figure)


def test_many_categories_have_few_ticks_and_many_axes_short_names() -> None:
    shown = [trial(number, 1.0, name=f"text {number:03}") for number in range(100)]
    figure = figures.parallel_coordinates(shown, [LOSS])
    assert figure is not None
    ticks = figure["data"][0]["dimensions"][0]["ticktext"]
    assert (len(ticks), ticks[0], ticks[-1]) == (20, "text 000", "text 099")
    held = {f"a long name {number}": number for number in range(19)}
    wide = figures.parallel_coordinates([Shown(0, "t", "completed", (1.0,), 0, held)], [LOSS])
    assert wide is not None
    assert max(len(axis["label"]) for axis in wide["data"][0]["dimensions"]) <= 6


def test_parameters_that_are_powers_have_logarithmic_axes() -> None:
    shown = [trial(0, 1.0, lr=0.001, n=1), trial(1, 2.0, lr=0.1, n=0), trial(2, 3.0, lr=0.3, n=2)]
    figure = figures.parallel_coordinates(shown, [LOSS], {"General/lr", "General/n"})
    assert figure is not None
    rate, number, _ = figure["data"][0]["dimensions"]
    assert rate["values"] == pytest.approx([-3.0, -1.0, -0.5229], abs=1e-4)
    assert (rate["tickvals"], rate["ticktext"]) == ([-3, -2, -1, 0], ["0.001", "0.01", "0.1", "1"])
    assert number["values"] == [1, 0, 2]
    same = figures.parallel_coordinates([trial(0, 1.0, lr=1.0)], [LOSS], {"General/lr"})
    assert same is not None
    assert same["data"][0]["dimensions"][0]["range"] == [0, 1]
    go.Figure(figure)


def test_what_matters_most_is_at_the_top() -> None:
    (bars,) = figures.importance_plot({"General/a": 0.7, "Args/b": 0.1, "General/c": 0.2})["data"]
    assert (bars["y"], bars["x"]) == (["Args/b", "c", "a"], [0.1, 0.2, 0.7])


def varied(count: int, seed: int = 0) -> list[Shown]:
    """Trials whose objective depends on `lr` and hardly on anything else."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        lr, kind = 10 ** chance.uniform(-4, 0), chance.choice(["a", "b"])
        found.append(trial(number, abs(lr - 0.01) + chance.uniform(0, 1e-4), lr=lr, kind=kind, fixed=1))
    return found


def test_the_importances_name_what_the_objective_depends_on(capsys: pytest.CaptureFixture[str]) -> None:
    space = json.dumps([LogUniformParameterRange("General/lr", -4, 0).to_dict()])
    found = importances(varied(40), LOSS, space)
    assert set(found) == {"General/lr", "General/kind"}
    assert found["General/lr"] > 0.8
    assert sum(found.values()) == pytest.approx(1.0)
    assert capsys.readouterr() == ("", "")


def test_there_are_no_importances_where_nothing_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert importances(varied(FEWEST), LOSS)
    assert importances(varied(FEWEST - 1), LOSS) == {}
    assert importances([one._replace(status="pruned") for one in varied(20)], LOSS) == {}
    assert importances([one._replace(values=(1.0,)) for one in varied(20)], LOSS) == {}
    assert importances([one._replace(parameters={"a": 1}) for one in varied(20)], LOSS) == {}
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert importances(varied(20), LOSS) == {}


def many(count: int, best: int) -> list[Shown]:
    """Trials that hardly differ, but for one that is the best."""
    return [trial(number, 0.5 if number == best else 1.0 + number % 7, lr=0.1, kind="a") for number in range(count)]


@pytest.mark.parametrize("count", [1000, 10_000])
def test_figures_of_many_trials_are_as_small_as_those_of_some_and_show_the_best(count: int) -> None:
    trials, best = many(count, best=333), 333
    plot = figures.objective_plot(trials, LOSS, most=100)
    points, line = plot["data"]
    assert best in points["x"]
    assert (line["x"], line["y"]) == ([0, best, count - 1], [1.0, 0.5, 0.5])
    assert len(points["x"]) <= 101
    assert plot["layout"]["xaxis"]["title"]["text"] == f"trial ({len(points['x'])} of {count:,} drawn)"
    parallel = figures.parallel_coordinates(trials, [LOSS], most=100)
    assert parallel is not None
    *_, values = parallel["data"][0]["dimensions"]
    assert (len(values["values"]), min(values["values"])) == (len(points["x"]), 0.5)
    assert [row[0] for row in figures.summary_table(trials, [LOSS], most=2)] == ["trial", best, 0]


def test_the_best_of_each_objective_is_drawn_and_none_that_failed_counts_as_such() -> None:
    trials = [trial(number, 5.0, 5.0) for number in range(1000)]
    trials[301] = trial(301, 1.0, 5.0)
    trials[302] = trial(302, 5.0, 9.0)
    trials[303] = trial(303, 0.0, 10.0, status="failed")
    numbers = {one.number for one in figures.thinned(trials, [LOSS, ACCURACY], 10)}
    assert numbers & {301, 302, 303} == {301, 302}
    failed = [trial(number, 1.0, status="failed") for number in range(20)]
    assert len(figures.thinned(failed, [LOSS], 10)) == 10


def test_a_line_that_gets_better_all_the_time_is_drawn_in_few_steps() -> None:
    *_, line = figures.objective_plot([trial(number, -number) for number in range(5000)], LOSS, most=50)["data"]
    assert (len(line["x"]), line["y"][0], line["y"][-1]) == (50, 0, -4999)
