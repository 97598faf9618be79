"""What a search's controller hands to its strategy, to runners and to the user, live and after its own death."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from tasktape.events.base import Stamper
from tasktape.events.parts import TaskSpec
from tasktape.events.search_events import (
    Objective,
    SearchEvent,
    SearchLimits,
    SearchStopping,
    TrialFinished,
    TrialQueued,
    TrialStarted,
    TrialStopping,
    TrialTold,
)
from tasktape.events.task_events import RunLost, RunStarted, TaskArchived, TaskCreated, TasksEvent
from tasktape.producers.controllers.children import Children
from tasktape.producers.parameters import make
from tasktape.producers.search import execution
from tasktape.producers.search.board import Board
from tasktape.producers.search.decide import Propose, Say, Tell
from tasktape.producers.search.proposals import Known
from tasktape.producers.search.searcher import Plan, Searcher
from tasktape.producers.task_editing import OWN, WATCHED, handed_on
from tasktape.projections.search_fold import TrialState
from tasktape.tests.support.reported import scalars

LOSS = Objective(title="loss", series="test", sign="min")


class Recorder:
    """A strategy that keeps what it is told, and gives up whatever reports a value as great as `worst`."""

    def __init__(self, worst: float = 100.0) -> None:
        self.worst = worst
        self.reports: list[tuple[int, float, int]] = []
        self.ends: list[tuple[int, str, Sequence[float] | None]] = []
        self.known: Sequence[Known] = ()

    def propose(self) -> Mapping[str, Any] | None:
        return None

    def report(self, trial: int, value: float, iteration: int) -> bool:
        self.reports.append((trial, value, iteration))
        return value >= self.worst

    def finish(self, trial: int, status: str, values: Sequence[float] | None) -> None:
        self.ends.append((trial, status, values))

    def resume(self, trials: Sequence[Known]) -> None:
        self.known = trials


class Search:
    """A search's policy without a log: it is told what the log would say."""

    def __init__(self, **limits: Any) -> None:
        self.strategy = Recorder(worst=9.0)
        self.stamp = Stamper("a")
        base = TaskSpec(project="p", name="n", system_tags=[OWN, "kept"])
        plan = Plan("b", base, [LOSS], SearchLimits(concurrent=9, **limits), "Recorder", project="elsewhere")
        surroundings: Any = SimpleNamespace(stamp=self.stamp, actor="a")
        self.runs: list[tuple[str, int]] = []
        self.specs: list[TaskSpec] = []
        self.stops: list[tuple[str, int, bool]] = []
        runner: Any = SimpleNamespace(
            retries_of=lambda _: 0,
            start=self.run,
            stop=lambda child, run, has_started: self.stops.append((child, run, has_started)),
            ended=list,
        )
        channel: Any = None
        self.searcher = Searcher(surroundings, "c", 1, plan, self.strategy, Children(), Board([LOSS]), runner, channel)

    def run(self, trials: Sequence[Any]) -> None:
        self.runs.extend((trial.child, trial.run) for trial in trials)
        self.specs.extend(trial.spec for trial in trials)

    def begin(self) -> None:
        for event in self.searcher.begin([]):
            assert self.searcher.apply(event).accepted

    def say(self, kind: type[SearchEvent], **fields: Any) -> None:
        assert self.searcher.apply(kind(meta=self.stamp(), task="c", run=1, **fields)).accepted

    def child(self, kind: type[TasksEvent], task: str, **fields: Any) -> None:
        self.searcher.children.apply(kind.model_validate({"meta": self.stamp(), "task": task, **fields}))

    def start(self, count: int) -> None:
        for number in range(count):
            self.say(TrialQueued, trial=number, child=f"t{number}", parameters=[make("General/x", number)])
            self.say(TrialStarted, trial=number)


def test_a_strategy_hears_of_every_value_of_trials_under_way_in_order() -> None:
    search = Search()
    search.begin()
    search.start(2)
    search.say(TrialFinished, trial=1, status="completed", values=[5.0])
    search.searcher.heard(scalars("t0", 1.0, 2.0, 3.0))
    search.searcher.heard(scalars("t1", 5.0))
    search.searcher.decide()
    search.searcher.heard(scalars("t0", 4.0, first=3))
    search.searcher.decide()
    assert search.strategy.reports == [(0, 1.0, 0), (0, 2.0, 1), (0, 3.0, 2), (0, 4.0, 3)]
    assert search.strategy.ends == [(1, "completed", [5.0])]


def test_a_trial_that_the_strategy_gives_up_is_pruned_at_that_value_but_not_before_its_fewest_iterations() -> None:
    search = Search(fewest_iterations=2)
    search.begin()
    search.start(1)
    search.searcher.heard(scalars("t0", 9.0, 9.0))
    assert search.searcher.decide() == [Propose(8)]
    search.searcher.heard(scalars("t0", 9.0, 9.0, first=2))
    (said,) = search.searcher.decide()
    assert isinstance(said, Say)
    assert (said.kind, said.fields["status"]) == (TrialStopping, "pruned")
    assert said.fields["reason"] == "its curve is worse than those of other trials at iteration 2"


def test_a_later_run_gives_the_strategy_what_trials_had_reported_and_reports_on_those_under_way() -> None:
    search = Search()
    search.start(2)
    search.say(TrialFinished, trial=0, status="completed", values=[2.0])
    search.searcher.heard(scalars("t0", 1.0, 2.0))
    search.searcher.heard(scalars("t1", 3.0, 4.0))
    search.begin()
    search.searcher.decide()
    assert search.strategy.known == [
        Known({"General/x": 0}, "completed", (2.0,), {0: 1.0, 1: 2.0}),
        Known({"General/x": 1}, reports={0: 3.0, 1: 4.0}),
    ]
    assert search.strategy.reports == [(1, 3.0, 0), (1, 4.0, 1)]
    assert search.strategy.ends == []


def test_a_search_that_was_to_stop_before_it_was_defined_stops() -> None:
    search = Search()
    search.say(SearchStopping, reason="enough")
    search.begin()
    assert search.searcher.decide() == []
    assert search.searcher.is_over()


def test_a_trial_that_is_to_stop_is_stopped_once_and_again_when_another_agent_takes_it_up() -> None:
    search = Search()
    search.begin()
    search.start(2)
    for task in ("t0", "t1"):
        search.child(TaskCreated, task, spec=TaskSpec(project="p", name="n"))
        search.child(RunStarted, task, run=1, worker="w")
    search.say(TrialStopping, trial=0, status="aborted", reason="enough")
    search.searcher.act([])
    search.searcher.tick()
    assert search.stops == [("t0", 1, True)]
    search.child(RunLost, "t0", run=1, worker="w", reason="gone")
    search.searcher.tick()
    search.searcher.tick()
    assert search.stops == [("t0", 1, True), ("t0", 2, False)]


def test_a_later_run_has_queued_trials_run_of_which_nothing_was_heard_and_stops_those_that_were_to_stop() -> None:
    search = Search()
    for number in range(4):
        search.say(TrialQueued, trial=number, child=f"t{number}", parameters=[])
        search.child(TaskCreated, f"t{number}", spec=TaskSpec(project="p", name="n"))
    search.child(RunStarted, "t1", run=1, worker="w")
    search.say(TrialStopping, trial=2, status="aborted", reason="enough")
    search.say(TrialFinished, trial=3, status="aborted")
    search.begin()
    search.searcher.resume()
    assert (search.runs, search.stops) == ([("t0", 1)], [("t2", 1, False)])


def test_trials_that_are_over_are_told_of_and_by_a_later_run_those_that_are_still_in_sight() -> None:
    search = Search()
    told: list[list[int]] = []
    search.searcher.on_over = lambda trials: told.append([trial.number for trial in trials])
    for number in range(4):
        search.say(TrialQueued, trial=number, child=f"t{number}", parameters=[])
        search.child(TaskCreated, f"t{number}", spec=TaskSpec(project="p", name="n"))
    search.say(TrialFinished, trial=1, status="completed", values=[1.0])
    search.say(TrialFinished, trial=2, status="failed")
    search.child(TaskArchived, "t2")
    search.begin()
    search.searcher.resume()
    finished = TrialFinished(meta=search.stamp(), task="c", run=1, trial=3, status="pruned")
    assert search.searcher.apply(finished).accepted
    search.searcher.act([finished])
    assert told == [[1], [3]]


def test_trials_go_to_the_searchs_project_and_know_that_somebody_waits_for_them_and_copies_of_them_do_not() -> None:
    search = Search()
    search.say(TrialQueued, trial=0, child="t0", parameters=[])
    search.begin()
    search.searcher.resume()
    (spec,) = search.specs
    assert (spec.project, spec.parent) == ("elsewhere", "c")
    assert spec.system_tags == ["kept", WATCHED]
    assert handed_on(spec.system_tags) == ["kept"]


def test_a_callback_that_raises_is_told_of_and_stops_no_search(caplog: pytest.LogCaptureFixture) -> None:
    def told(trial: TrialState, best: TrialState | None) -> object:
        raise ValueError(f"trial {trial.number}, best {best and best.number}")

    search = Search()
    search.searcher.on_finished = told
    search.begin()
    search.start(1)
    search.say(TrialFinished, trial=0, status="completed", values=[2.0])
    (event,) = search.searcher.carry_out([Tell(0)])
    assert isinstance(event, TrialTold)
    assert "ValueError: trial 0, best 0" in caplog.text


@pytest.mark.parametrize(("values", "given"), [((), None), ((2.0,), 2.0), ((2.0, 3.0), [2.0, 3.0])])
def test_a_callback_gets_the_value_and_with_several_objectives_all_of_them(values: Any, given: Any) -> None:
    calls: list[tuple[Any, ...]] = []
    tell = execution._telling(lambda *arguments: calls.append(arguments))
    trial = TrialState(0, "t0", (make("General/x", 1),), values=values, iteration=7)
    tell(trial, trial)
    assert calls == [("t0", given, 7, {"General/x": 1}, "t0")]
