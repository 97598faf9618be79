"""Searches run by real agents, on both logs: every trial once, callbacks once, and whatever dies is gone on from.

Trials and callbacks write a line each into a file of the test's own, `notes`: what happens twice is seen.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tasktape import Task
from tasktape.events.search_events import SearchEvent, SearchStopping
from tasktape.producers.parameters import value_of
from tasktape.producers.session import change_session
from tasktape.projections.search_fold import SearchFold, TrialState
from tasktape.tests.conftest import empty
from tasktape.tests.support.agent_site import AgentSite, agent_site
from tasktape.tests.support.controller_world import ControllerWorld

QUEUES = ("default", "services")
AGENT = ("--services", "--env", "current")
TRIAL = """
from tasktape import Task
task = Task.init()
held = task.connect({"x": 4.0, "y": "a"})
x, run = held["x"], os.environ["TASKTAPE_RUN"]
def report(value, iteration=0, series="value"):
    task.get_logger().report_scalar("loss", series, value, iteration)
"""
SEARCH = """
from tasktape import Task
from tasktape.producers.search.optimizer import HyperParameterOptimizer
from tasktape.producers.search.parameters import DiscreteParameterRange, UniformParameterRange
from tasktape.producers.search.strategies import GridSearch
(folder / "pid").write_text(str(os.getpid()))
task = Task.init("p", "search")
BASE = {base!r}
def told(job, value, iteration, parameters, best):
    note("told", parameters["General/x"], value, iteration, job == best)
def search(*parameters, **options):
    options = {{"optimizer_class": GridSearch, **options}}
    return HyperParameterOptimizer(BASE, parameters, "loss", "value", "min", **options)
def values(*held):
    return DiscreteParameterRange("General/x", held)
"""


class World(ControllerWorld):
    """A site with what the scripts of one test share."""

    def search(self, body: str, trial: str) -> str:
        """Put a search of a task that does what `trial` says into the queue `services`."""
        base = self.site.create(self.head + TRIAL + trial)
        return self.site.put(self.head + SEARCH.format(base=base) + body, queue="services", task_type="optimizer")

    def fold(self, search: str) -> SearchFold:
        """What has become of a search."""
        fold = SearchFold()
        for event in self.site.of(search, SearchEvent):
            assert fold.apply(event).accepted
        return fold

    def trials(self, search: str) -> list[TrialState]:
        """All trials of a search."""
        return list(self.fold(search).trials)

    def statuses(self, search: str) -> list[str]:
        """What has become of each trial, as the search and as its task tell it."""
        trials = self.trials(search)
        return [f"{trial.status} {Task.get_task(trial.child).get_status()}" for trial in trials]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentSite]:
    """A log with an agent that runs controllers and trials."""
    folder = tmp_path_factory.mktemp("searches")
    url = f"sqlite://{folder}/home/log.db"
    if request.param == "kafka":
        url = str(request.getfixturevalue("kafka_url"))
        if not os.environ.get("TASKTAPE_TEST_KAFKA"):
            empty(url.removeprefix("kafka://"))
    with agent_site(url, folder / "home", folder / "site", QUEUES) as made:
        made.agent(*AGENT)
        yield made


@pytest.fixture
def world(site: AgentSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The site, also for this process's own calls."""
    for name, value in site.settings.items():
        monkeypatch.setenv(name, value)
    change_session(None)
    return World(site, tmp_path / "world")


def test_a_grid_is_tried_once_each_and_the_best_trials_are_its_least_values(world: World) -> None:
    search = world.search(
        """
found = search(
    values(1.0, 3.0),
    DiscreteParameterRange("General/y", ["a", "b"]),
    max_number_of_concurrent_tasks=2,
    save_top_k_tasks_only=2,
)
found.start(told)
found.start()
note("over", found.wait(), found.is_active(), found.get_num_active_experiments())
note("top", *(top.get_parameters()["General/x"] + top.get_parameters()["General/y"]
    for top in found.get_top_experiments(3)))
""",
        trial="""
note("trial", x, held["y"], run)
for step in range(3):
    report(x - step + (held["y"] == "b") / 2, step)
""",
    )
    assert world.end(search) == "RunCompleted"
    over = world.notes.index("over True False 0")
    assert sorted(line for line in world.notes[:over] if line.startswith("trial")) == [
        *("trial 1.0 a 1", "trial 1.0 b 1", "trial 3.0 a 1", "trial 3.0 b 1"),
    ]
    told = [line.rpartition(" ")[0] for line in world.notes[:over] if line.startswith("told")]
    assert sorted(told) == ["told 1.0 -0.5 2", "told 1.0 -1.0 2", "told 3.0 1.0 2", "told 3.0 1.5 2"]
    assert world.notes[over + 1 :] == ["top 1.0a 1.0b 3.0a"]
    assert world.statuses(search) == ["completed completed"] * 4
    assert [Task.get_task(trial.child).get_archived() for trial in world.trials(search)] == [False, False, True, True]


def test_optuna_tries_what_its_study_would_and_finds_better_than_the_base_task(world: World) -> None:
    search = world.search(
        """
import optuna
from tasktape.producers.search.optuna_strategy import OptimizerOptuna
found = search(
    UniformParameterRange("General/x", -4.0, 4.0),
    DiscreteParameterRange("General/y", ["a", "b"]),
    optimizer_class=OptimizerOptuna,
    optuna_sampler=optuna.samplers.TPESampler(seed=7, n_startup_trials=2),
    max_number_of_concurrent_tasks=1,
    total_max_jobs=5,
)
found.start()
found.wait()
""",
        trial="report((x - 1) ** 2 + (held['y'] == 'b'))",
    )

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("General/x", -4.0, 4.0)
        return (x - 1) ** 2 + (trial.suggest_categorical("General/y", ["a", "b"]) == "b")

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=7, n_startup_trials=2))
    study.optimize(objective, n_trials=5)
    assert world.end(search) == "RunCompleted"
    fold = world.fold(search)
    tried = [({held.name: value_of(held) for held in trial.parameters}, *trial.values) for trial in fold.trials]
    assert tried == [(trial.params, trial.value) for trial in study.trials]
    assert (fold.best, fold.trials[fold.best or 0].values) == (study.best_trial.number, (study.best_value,))
    assert study.best_value < (4.0 - 1) ** 2


def test_a_search_that_is_killed_goes_on_with_its_study_and_nothing_is_done_twice(world: World) -> None:
    storage = f"sqlite:///{world.folder}/study.db"
    search = world.search(
        f"""
import optuna
from tasktape.producers.search.optuna_strategy import OptimizerOptuna
found = search(
    UniformParameterRange("General/x", -4.0, 4.0),
    optimizer_class=OptimizerOptuna,
    optuna_sampler=optuna.samplers.RandomSampler(seed=7),
    max_number_of_concurrent_tasks=2,
    total_max_jobs=4,
    storage={storage!r},
    study_name="kept",
    load_if_exists=True,
)
found.start(told)
found.wait()
""",
        trial="""
note("trial", x, run)
try:
    (folder / "one is quick").mkdir()
except FileExistsError:
    wait_for("go")
report(x * x)
""",
    )
    world.site.wait(lambda: sum(line.startswith("trial") for line in world.notes) == 3)
    world.kill_controller(search)
    world.let("go")
    assert world.end(search, 2) == "RunCompleted"
    trials = world.trials(search)
    tried = [float(trial.parameters[0].value) for trial in trials]
    assert len(set(tried)) == 4
    assert sorted(line for line in world.notes if line.startswith("trial")) == sorted(f"trial {x} 1" for x in tried)
    told = [line.rpartition(" ")[0] for line in world.notes if line.startswith("told")]
    assert sorted(told) == sorted(f"told {x} {x * x} 0" for x in tried)
    assert world.statuses(search) == ["completed completed"] * 4
    study = optuna.load_study(study_name="kept", storage=storage)
    done = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    assert sorted(trial.params["General/x"] for trial in done) == sorted(tried)
    assert not study.get_trials(states=[optuna.trial.TrialState.RUNNING])


def test_a_trial_whose_curve_is_worse_than_that_of_others_is_pruned(world: World) -> None:
    search = world.search(
        """
import optuna
from tasktape.producers.search.optuna_strategy import OptimizerOptuna
found = search(
    UniformParameterRange("General/x", -4.0, 4.0),
    optimizer_class=OptimizerOptuna,
    optuna_pruner=optuna.pruners.MedianPruner(n_startup_trials=1),
    max_number_of_concurrent_tasks=1,
    total_max_jobs=2,
)
found.start()
found.wait()
""",
        trial="""
def curve(value, steps):
    for step in range(steps):
        report(value, step)
if is_first("good"):
    curve(1.0, 10)
else:
    curve(9.0, 5)
    wait_for("never")
""",
    )
    assert world.end(search) == "RunCompleted"
    assert world.statuses(search) == ["completed completed", "pruned stopped"]
    assert world.fold(search).best == 0


def test_trials_that_fail_count_and_the_search_goes_on(world: World) -> None:
    search = world.search(
        """
found = search(values(1.0, 2.0, 3.0), max_number_of_concurrent_tasks=1)
found.start(told)
found.wait()
note("top", *(top.get_parameters()["General/x"] for top in found.get_top_experiments(9)))
""",
        trial="""
if x < 3:
    raise SystemExit(7)
report(x)
""",
    )
    assert world.end(search) == "RunCompleted"
    assert world.notes == ["told 1.0 None 0 False", "told 2.0 None 0 False", "told 3.0 3.0 0 True", "top 3.0"]
    assert world.statuses(search) == ["failed failed", "failed failed", "completed completed"]
    assert "exit code 7" in world.trials(search)[0].message


def test_a_search_whose_trials_all_fail_ends_as_failed_and_says_why(world: World) -> None:
    search = world.search(
        """
found = search(values(1.0, 2.0, 3.0), max_number_of_concurrent_tasks=1)
found.start(told)
note("ended", found.wait())
note("top", *found.get_top_experiments(9))
found.stop()
task.upload_artifact("after", {"all": "the same"})
""",
        trial="raise SystemExit(7 if x < 3 else 8)",
    )
    assert world.end(search) == "RunFailed"
    assert world.notes[3:] == ["ended True", "top"]
    reason = "none of 3 trials has come to a value: 3 failed; the reason of 2: exit code 7"
    assert world.reason(search) == reason
    stopping = world.fold(search).stopping
    assert stopping is not None
    assert (stopping.reason, stopping.failed) == (reason, True)
    assert list(Task.get_task(search).artifacts) == ["after"]


def test_a_dead_agent_takes_no_trial_with_it(world: World) -> None:
    *_, dies = world.site.agents
    search = world.search(
        """
found = search(values(1.0, 2.0, 3.0), max_number_of_concurrent_tasks=2)
found.start(told)
found.wait()
""",
        trial="""
note("trial", x, run)
if x == 2:
    wait_for("go")
report(x)
""",
    )
    world.wait_for("trial 2.0 1", "trial 3.0 1", "told 3.0 3.0 0 False")
    world.site.agent(*AGENT)
    dies.kill()
    world.wait_for("trial 2.0 2")
    world.let("go")
    assert world.end(search, 2) == "RunCompleted"
    counts = Counter(line for line in world.notes if line.startswith("trial"))
    assert counts == Counter(["trial 1.0 1", "trial 2.0 1", "trial 2.0 2", "trial 3.0 1"])
    assert world.notes.count("told 2.0 2.0 0 False") == 1
    assert world.statuses(search) == ["completed completed"] * 3


@pytest.mark.parametrize("how", ["stop", "abort"])
def test_a_search_that_is_to_end_stops_its_trials_and_starts_no_more(world: World, how: str) -> None:
    search = world.search(
        """
found = search(values(1.0, 2.0, 3.0, 4.0), max_number_of_concurrent_tasks=2)
found.start(told)
wait_for("stop")
found.stop()
note("stopped", found.is_active())
""",
        trial="""
note("trial", x, run)
wait_for("never")
""",
    )
    world.wait_for("trial 1.0 1", "trial 2.0 1")
    if how == "abort":
        assert world.site.command("tasks", "abort", search).returncode == 0
    else:
        world.let("stop")
    assert world.end(search) == ("RunStopped" if how == "abort" else "RunCompleted")
    told = {"told 1.0 None 0 False", "told 2.0 None 0 False"}
    assert set(world.notes[2:]) == told | ({"stopped False"} if how == "stop" else set())
    assert world.statuses(search) == ["aborted stopped"] * 2


def test_limits_end_trials_that_have_come_far_enough_and_the_search(world: World) -> None:
    search = world.search(
        """
found = search(values(1.0, 2.0, 3.0, 4.0), total_max_jobs=2, max_iteration_per_job=5)
found.start(told)
found.wait()
""",
        trial="""
for step in range(6):
    report(x * step, step)
wait_for("never")
""",
    )
    assert world.end(search) == "RunCompleted"
    assert {line.rpartition(" ")[0] for line in world.notes} == {"told 1.0 5.0 5", "told 2.0 10.0 5"}
    assert world.statuses(search) == ["completed stopped"] * 2


def test_several_objectives_rank_trials_in_a_project_of_their_own_and_only_the_best_stay_in_sight(world: World) -> None:
    search = world.search(
        """
found = HyperParameterOptimizer(
    BASE,
    [values(1.0, 2.0, 3.0)],
    ["loss", "Summary"],
    ["value", "size"],
    ["min_global", "max"],
    optimizer_class=GridSearch,
    max_number_of_concurrent_tasks=1,
    spawn_project="elsewhere",
    save_top_k_tasks_only=1,
)
found.start()
found.wait()
(best,) = found.get_top_experiments_details(1)
note("best", *(f"{name}={held['value']:g}" for name, held in sorted(best["metrics"].items())))
""",
        trial="""
task.get_logger().report_single_value("size", 10 * x)
for step, value in enumerate((x, 3 - x, 5.0)):
    report(value, step)
""",
    )
    assert world.end(search) == "RunCompleted"
    trials = world.trials(search)
    assert [trial.values for trial in trials] == [(1.0, 10.0), (1.0, 20.0), (0.0, 30.0)]
    tasks = [Task.get_task(trial.child) for trial in trials]
    assert [(task.get_project_name(), task.get_archived()) for task in tasks] == [
        *(("elsewhere", True), ("elsewhere", True), ("elsewhere", False)),
    ]
    assert world.notes == ["best Summary/size=30 loss/value=5"]


def test_time_ends_a_trial_and_the_search(world: World) -> None:
    search = world.search(
        """
found = search(values(1.0, 2.0, 3.0, 4.0), max_number_of_concurrent_tasks=1, time_limit_per_job=0.02,
    compute_time_limit=0.05)
found.start()
found.wait()
""",
        trial="report(x)\nwait_for('never')",
    )
    assert world.end(search) == "RunCompleted"
    assert world.statuses(search)[0] == "completed stopped"
    assert world.trials(search)[0].message == "it ran for its 0.02 min"
    (stopping,) = world.site.of(search, SearchStopping)
    assert stopping.reason == "the trials have had their 0.05 min of computing"


def test_a_search_whose_objective_nobody_reports_fails_and_says_what_they_did(world: World) -> None:
    search = world.search(
        "found = search(values(1.0))\nfound.start()\nfound.wait()\nfound.stop()", trial="report(x, series='values')"
    )
    assert world.end(search) == "RunFailed"
    assert re.fullmatch(r"no trial has reported loss/value; they reported .*\bloss/values\b.*", world.reason(search))
