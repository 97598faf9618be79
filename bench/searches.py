"""What a search's controller costs: trials per second, how long until the next trial, and until a bad one is given up.

Trials are run by an agent that only pretends to run them; what a script itself sees comes from a real process.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

from tasktape.events.base import Event, Stamper, new_task_id
from tasktape.events.log import Log
from tasktape.events.parts import Parameter, Script, TaskSpec
from tasktape.events.report_events import ScalarsReported, SingleValueReported
from tasktape.events.search_events import TrialQueued, TrialStopping
from tasktape.events.task_events import RunCompleted, RunStopped, TaskCreated, TasksEvent
from tasktape.events.wire import append_event

from .dispatch import SHAM, Bench
from .site import Site

TRIALS: Final = 1_000
PART: Final = 100
"""So many of the first and of the last trials are compared."""
COMPARED: Final = 50
PRUNED: Final = 50
REPORTS: Final = 100
"""Values that a real trial reports, at random moments."""
SEARCH: Final = """
import json, sys, time
import optuna
from tasktape import Task
from tasktape.automation import HyperParameterOptimizer, RandomSearch, UniformParameterRange
from tasktape.automation.optuna import OptimizerOptuna
base, queue, kind, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
optuna.logging.set_verbosity(optuna.logging.ERROR)
Task.init("bench", f"{kind} search of {count}", task_type=Task.TaskTypes.optimizer)
sampler = optuna.samplers.TPESampler(seed=1)
options = {
    "random": {"optimizer_class": RandomSearch},
    "optuna": {"optimizer_class": OptimizerOptuna, "optuna_sampler": sampler},
    "pruned": {"optimizer_class": OptimizerOptuna, "optuna_pruner": optuna.pruners.ThresholdPruner(upper=-1.0)},
}
search = HyperParameterOptimizer(
    base, [UniformParameterRange("General/x", -4.0, 4.0)], "Summary", "loss", "min",
    execution_queue=queue, max_number_of_concurrent_tasks=1, total_max_jobs=count, **options[kind],
)
began = time.perf_counter()
search.start()
search.wait()
took = time.perf_counter() - began
best = search.fold.best
print(json.dumps({"trials": len(search.fold.trials), "took": took, "best": search.fold.trials[best].values[0]}))
"""
STUDY: Final = """
import json, sys, time
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
began = time.perf_counter()
study.optimize(lambda trial: (trial.suggest_float("General/x", -4.0, 4.0) - 1) ** 2, n_trials=int(sys.argv[1]))
print(json.dumps({"took": time.perf_counter() - began, "best": study.best_value}))
"""
WATCH: Final = """
import json, sys, time
from tasktape import Task
from tasktape.automation import HyperParameterOptimizer
from tasktape.automation.optimization import SearchStrategy
class Watching(SearchStrategy):
    ages = []
    def create_job(self):
        return None if self.ages else self.helper_create_job(self._base_task_id)
    def report(self, trial, value, iteration):
        self.ages.append(time.time() - value)
        return False
Task.init("bench", "watch", task_type=Task.TaskTypes.optimizer)
search = HyperParameterOptimizer(sys.argv[1], [], "time", "now", optimizer_class=Watching, total_max_jobs=1)
search.start_locally()
search.wait()
print(json.dumps(Watching.ages))
"""
TRIAL: Final = """
import random, time
from tasktape import Task
logger = Task.init().get_logger()
for number in range({reports}):
    time.sleep(random.uniform(0.0, 0.05))
    logger.report_scalar("time", "now", time.time(), number)
"""


class Course(NamedTuple):
    """Some trials of a search in a row. `to_queue` are the ms from each one's end to the next one queued."""

    per_second: float
    to_queue: list[float]


class Compared(NamedTuple):
    """Seconds that a search took, and that Optuna's own loop took over the same trials."""

    search: float
    study: float


class GivenUp(NamedTuple):
    """Milliseconds from a bad value on the log to the decision to give its trial up, and to the trial's end."""

    decided: list[float]
    ended: list[float]


class Searches:
    """Searches on one log, with agents that pretend."""

    def __init__(self, site: Site, log: Log) -> None:
        self._site = site
        self._log = log
        self._stamp = Stamper("bench")

    def courses(self) -> tuple[Course, Course]:
        """Try random values, one after the other; return how the first of them went, and the last."""
        _, events = self._search("random", TRIALS)
        queued = {event.child: at for at, event in events if isinstance(event, TrialQueued)}
        ended = {event.task: at for at, event in events if isinstance(event, RunCompleted)}
        spans = [(at, ended[child]) for child, at in queued.items()]
        return _course(spans[:PART]), _course(spans[-PART:])

    def compared(self) -> Compared:
        """Have Optuna try values here, and in its own loop; it has to find the same."""
        found, _ = self._search("optuna", COMPARED)
        plain = self._site.run(STUDY, COMPARED)
        if found["best"] != plain["best"]:
            raise RuntimeError(f"the search's best is {found['best']}, that of Optuna alone {plain['best']}")
        return Compared(found["took"], plain["took"])

    def given_up(self) -> GivenUp:
        """Have each trial given up at its only value."""
        _, events = self._search("pruned", PRUNED)
        children = {event.trial: event.child for _, event in events if isinstance(event, TrialQueued)}
        reported = {event.task: at for at, event in events if isinstance(event, SingleValueReported)}
        stops = [(at, children[event.trial]) for at, event in events if isinstance(event, TrialStopping)]
        ends = [(at, event.task) for at, event in events if isinstance(event, RunStopped)]
        decided, ended = ([(at - reported[child]) / 1e3 for at, child in found] for found in (stops, ends))
        return GivenUp(decided, ended)

    def seen(self) -> list[float]:
        """Milliseconds from a script's `report_scalar` to the strategy that is asked whether to go on."""
        script = Script(entry_point="main.py", source=TRIAL.format(reports=REPORTS))
        ages = self._site.run(WATCH, self._base(TaskSpec(project="bench", name="trial", script=script)))
        return [age * 1e3 for age in ages]

    def _search(self, kind: str, count: int) -> tuple[Mapping[str, Any], list[tuple[int, Event]]]:
        """Run a search to its end; return what it printed and what happened, with the log's times in µs."""
        bench = Bench(self._site, self._log)
        since = self._log.end_positions([TasksEvent.topic, ScalarsReported.topic])
        lasting = {"SECONDS": "inf"} if kind == "pruned" else {}
        x = Parameter(name="General/x", value="0.0", type="float")
        spec = TaskSpec(project="bench", name="trial", parameters=[x], environment={"OBJECTIVE": "loss", **lasting})
        with bench.agents(1, sys.executable, SHAM, bench.queue):
            said = self._site.run(SEARCH, self._base(spec), bench.queue, kind, count)
        if said["trials"] != count:
            raise RuntimeError(f"the {kind} search had {said['trials']} trials instead of {count}")
        return said, sorted(self._site.said(self._log, since), key=lambda found: found[0])

    def _base(self, spec: TaskSpec) -> str:
        task = new_task_id()
        created = TaskCreated(meta=self._stamp(), task=task, spec=spec)
        append_event(self._log, created, codec=self._site.settings.codec())
        self._log.flush()
        return task


def _course(spans: list[tuple[int, int]]) -> Course:
    """Put a course together from when its trials were queued, and when they had ended, in µs."""
    gaps = [(queued - ended) / 1e3 for (_, ended), (queued, _) in pairwise(spans)]
    return Course(len(spans) / (spans[-1][1] - spans[0][0]) * 1e6, gaps)


def percentiles(values: list[float]) -> str:
    """Median and 99th percentile in ms."""
    return f"{statistics.median(values):.0f} ms, {statistics.quantiles(values, n=100)[98]:.0f} ms"
