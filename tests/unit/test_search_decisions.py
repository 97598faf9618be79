"""What a search does next, given what was said so far: what is urgent first, within its limits, and never stalled."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasktape.events.base import Meta
from tasktape.events.parts import TaskSpec
from tasktape.events.search_events import (
    Objective,
    SearchContinued,
    SearchDefined,
    SearchEvent,
    SearchLimits,
    SearchStopping,
    TrialFinished,
    TrialQueued,
    TrialStarted,
    TrialStopping,
    TrialTold,
)
from tasktape.events.task_events import (
    RunCompleted,
    RunFailed,
    RunLost,
    RunStarted,
    RunStopped,
    TaskCreated,
    TaskReset,
    TasksEvent,
)
from tasktape.producers.controllers.children import Children
from tasktape.producers.search.board import Board
from tasktape.producers.search.decide import UNREPORTED, Decision, End, Propose, Say, Situation, Tell, decide, observed
from tasktape.projections.search_fold import SearchFold
from tasktape.tests.support.reported import scalars, single

START = datetime(2026, 1, 1, tzinfo=UTC)
LOSS = Objective(title="loss", series="test", sign="min")


class Search:
    """A search that is told what happens, at times that the test sets, and asked what it would do."""

    def __init__(self, *objectives: Objective, **limits: Any) -> None:
        self.fold = SearchFold()
        self.board = Board(objectives or (LOSS,))
        self.children = Children()
        self.now = START
        about = {"base_task": "b", "strategy": "s", "objectives": list(objectives or (LOSS,))}
        self.say(SearchDefined, **about, limits=SearchLimits(**limits))

    @property
    def meta(self) -> Meta:
        return Meta(event_id="e", occurred_at=self.now, actor="a", session="s", seq=0)

    def say(self, kind: type[SearchEvent], **fields: Any) -> None:
        """The controller says something that counts."""
        assert self.fold.apply(kind(meta=self.meta, task="c", run=1, **fields)).accepted

    def queue(self, count: int = 1, *, retries: int | None = 0) -> None:
        """So many more trials are to run."""
        for number in range(len(self.fold.trials), len(self.fold.trials) + count):
            self.say(TrialQueued, trial=number, child=f"t{number}", parameters=[])
            self.children.watch(f"t{number}", 1, retries)
            spec = TaskSpec(project="p", name="n")
            self.children.apply(TaskCreated(meta=self.meta, task=f"t{number}", spec=spec))

    def child(self, trial: int, kind: type[TasksEvent], run: int = 1, **fields: Any) -> None:
        """A trial's task says something."""
        self.children.apply(kind.model_validate({"meta": self.meta, "task": f"t{trial}", "run": run, **fields}))

    def run(self, trial: int, kind: type[TasksEvent] = RunCompleted, **fields: Any) -> None:
        """A trial's task runs from its beginning to this end."""
        self.child(trial, RunStarted, worker="w")
        self.child(trial, kind, **fields)

    def finish(self, *values: float, status: str = "completed", told: bool = False, **about: Any) -> None:
        """Another trial has run and is over; the controller has said so."""
        self.queue()
        number = len(self.fold.trials) - 1
        self.run(number)
        self.say(TrialFinished, trial=number, status=status, values=list(values), **about)
        if told:
            self.say(TrialTold, trial=number)

    def start(self, count: int = 1) -> None:
        """So many more trials run."""
        for number in range(len(self.fold.trials), len(self.fold.trials) + count):
            self.queue()
            self.child(number, RunStarted, worker="w")
            self.say(TrialStarted, trial=number)

    def report(self, trial: int, *values: float, first: int = 0, **name: str) -> None:
        """A trial reports values of the objective, or of what is named."""
        self.board.apply(scalars(f"t{trial}", *values, first=first, **name))

    def later(self, seconds: float) -> None:
        """Some time passes."""
        self.now += timedelta(seconds=seconds)

    def decide(self, **seen: Any) -> Sequence[Decision]:
        news = self.children.news(functools.partial(observed, self.fold))
        return decide(self.fold, Situation(news, self.board, self.now, seen.pop("given_up", {}), **seen))

    def stopping(self, **seen: Any) -> tuple[str, bool]:
        """The reason for which the search is to stop now, and whether that is a failure."""
        (said,) = self.decide(**seen)
        assert isinstance(said, Say)
        assert said.kind is SearchStopping
        return said.fields["reason"], said.fields.get("failed", False)


def stop(trial: int, status: str, reason: str) -> Say:
    return Say(TrialStopping, {"trial": trial, "status": status, "reason": reason})


def test_nothing_is_done_before_the_search_is_defined() -> None:
    search = Search()
    search.fold = SearchFold()
    assert search.decide(has_callback=True) == []


def test_what_is_owed_comes_before_news_before_stops_before_new_trials() -> None:
    search = Search(concurrent=4, most_iterations=2)
    search.finish(0.5)
    search.start(2)
    search.report(1, 0.1, 0.2, 0.3)
    search.child(2, RunCompleted)
    assert search.decide(has_callback=True) == [Tell(0)]
    search.say(TrialTold, trial=0)
    assert search.decide(has_callback=True) == [End(2)]
    search.say(TrialFinished, trial=2, status="completed", values=[0.1])
    assert search.decide(has_callback=True) == [Tell(2)]
    search.say(TrialTold, trial=2)
    assert search.decide(has_callback=True) == [stop(1, "completed", "it has come to iteration 2")]
    search.say(TrialStopping, trial=1, status="completed", reason="")
    assert search.decide(has_callback=True) == [Propose(3)]


def test_callbacks_come_one_by_one_in_the_order_in_which_trials_ended_and_only_where_there_is_one() -> None:
    search = Search()
    search.queue(2)
    for number in (1, 0):
        search.say(TrialFinished, trial=number, status="failed")
    assert search.decide(has_callback=False) == [Propose(1)]
    assert search.decide(has_callback=True) == [Tell(1)]
    search.say(TrialTold, trial=1)
    assert search.decide(has_callback=True) == [Tell(0)]


def test_a_trial_is_said_to_start_and_to_end_once_each_also_where_both_are_news_at_once() -> None:
    search = Search(concurrent=2)
    search.queue(2)
    assert search.decide() == []
    search.child(0, RunStarted, worker="w")
    assert search.decide() == [Say(TrialStarted, {"trial": 0})]
    search.say(TrialStarted, trial=0)
    assert search.decide() == []
    search.run(1)
    assert search.decide() == [Say(TrialStarted, {"trial": 1}), End(1)]


def test_as_many_trials_are_proposed_as_may_run_at_once_and_are_left() -> None:
    search = Search(concurrent=3, trials=4)
    assert search.decide() == [Propose(3)]
    search.start(2)
    assert search.decide() == [Propose(1)]
    search.start()
    assert search.decide() == []
    search.say(TrialFinished, trial=0, status="completed", values=[1.0])
    search.decide()
    search.say(TrialFinished, trial=1, status="completed", values=[1.0])
    assert search.decide() == [Propose(1)]
    assert search.decide(is_exhausted=True) == []


@pytest.mark.parametrize("status", ["completed", "failed", "aborted", "pruned"])
def test_trials_count_however_they_ended_and_make_room_for_others(status: str) -> None:
    search = Search(trials=3)
    search.finish(1.0)
    for _ in range(2):
        assert search.decide() == [Propose(1)]
        search.finish(status=status)
    assert search.decide() == []


def test_a_search_of_which_all_trials_fail_goes_on_to_its_last_one() -> None:
    search = Search(trials=2 * UNREPORTED)
    for _ in range(2 * UNREPORTED):
        assert search.decide() == [Propose(1)]
        search.finish(status="failed", message="no data")
    assert search.stopping() == ("none of 6 trials has come to a value: 6 failed; the reason: no data", True)


@pytest.mark.parametrize(("trials", "is_exhausted"), [(5, False), (0, True)])
def test_a_search_that_came_to_nothing_fails_and_says_how_its_trials_ended_and_why_most_of_them_did(
    trials: int, *, is_exhausted: bool
) -> None:
    search = Search(trials=trials)
    for message in ("exit code 7", "OSError: a\nb", "exit code 8", "OSError: a\nb"):
        search.finish(status="failed", message=message)
    search.finish(status="aborted", message="it was taken out of its queue")
    reason = "none of 5 trials has come to a value: 4 failed, 1 aborted; the reason of 2: OSError: a b"
    assert search.stopping(is_exhausted=is_exhausted) == (reason, True)
    search.say(SearchStopping, reason=reason, failed=True)
    assert search.decide(is_exhausted=is_exhausted) == []


def test_a_value_of_a_trial_that_failed_is_none() -> None:
    search = Search(trials=1)
    search.finish(1.0, status="failed", message="no")
    assert search.stopping() == ("the only trial has come to no value: 1 failed; the reason: no", True)


def test_a_search_whose_trials_reported_nothing_but_nan_came_to_nothing() -> None:
    search = Search(trials=1)
    search.finish()
    search.report(0, float("nan"))
    assert search.stopping() == ("the only trial has come to no value: 1 completed", True)


@pytest.mark.parametrize("status", ["completed", "aborted", "pruned"])
def test_a_search_that_came_to_a_value_does_not_fail_however_many_trials_did(status: str) -> None:
    search = Search(trials=3)
    search.finish(status="failed")
    search.finish(1.0, status=status)
    search.finish(status="failed")
    assert search.decide() == []


def test_a_search_without_trials_does_not_fail() -> None:
    search = Search(time=1)
    assert search.decide(is_exhausted=True) == []
    search.say(SearchStopping, reason="its time is over")
    assert search.decide() == []


def test_a_search_that_its_limit_ends_fails_once_all_is_over_if_it_came_to_nothing() -> None:
    search = Search(concurrent=2)
    search.finish(status="failed", message="no data")
    search.start()
    search.say(SearchStopping, reason="its time is over")
    assert search.decide() == [stop(1, "aborted", "its time is over")]
    search.say(TrialStopping, trial=1, status="aborted", reason="its time is over")
    assert search.decide() == []
    search.say(TrialFinished, trial=1, status="aborted")
    vain = "none of 2 trials has come to a value: 1 failed, 1 aborted; the reason of 1: no data"
    assert search.stopping() == (f"its time is over; {vain}", True)
    search.say(SearchStopping, reason="all in vain", failed=True)
    assert search.fold.stopping is not None
    assert search.fold.stopping.reason == "all in vain"
    assert search.decide() == []


def test_a_search_that_its_limit_ends_does_not_fail_where_the_last_trial_came_to_a_value() -> None:
    search = Search(concurrent=2)
    search.finish(status="failed")
    search.start()
    search.say(SearchStopping, reason="its time is over")
    search.say(TrialFinished, trial=1, status="aborted", values=[1.0])
    assert search.decide() == []


def test_a_search_that_somebody_stops_does_not_fail_whatever_it_came_to() -> None:
    search = Search()
    search.finish(status="failed")
    search.say(SearchStopping, reason="enough", asked=True)
    search.say(SearchStopping, reason="decided before that was heard", failed=True)
    assert search.decide() == []
    assert search.fold.stopping is not None
    assert not search.fold.stopping.failed


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (RunFailed, {"reason": "exception", "message": "no"}),
        (RunStopped, {"reason": "enough"}),
        (RunLost, {"worker": "w", "reason": "worker gone"}),
        (TaskReset, {}),
    ],
)
def test_a_trial_is_over_however_its_task_ended(kind: type[TasksEvent], fields: dict[str, Any]) -> None:
    search = Search()
    search.queue(retries=None)
    search.run(0, kind, **fields)
    assert search.decide()[-1] == End(0)


def test_a_trial_that_agents_run_again_is_not_over() -> None:
    search = Search()
    search.queue(retries=1)
    search.run(0, RunLost, worker="w", reason="worker gone")
    search.say(TrialStarted, trial=0)
    assert search.decide() == []
    search.child(0, TaskReset, run=1)
    search.child(0, RunStarted, run=2, worker="w")
    search.child(0, RunFailed, run=2, reason="exception", message="no")
    assert search.decide() == []
    search.child(0, TaskReset, run=2)
    search.child(0, RunStarted, run=3, worker="w")
    search.child(0, RunCompleted, run=3)
    assert search.decide() == [End(0)]


def test_a_search_whose_time_is_over_stops_also_across_runs_of_its_controller() -> None:
    search = Search(time=120)
    search.start()
    search.later(119)
    search.say(SearchDefined, base_task="b", strategy="s", objectives=[LOSS], limits=SearchLimits(time=120))
    assert search.decide() == []
    search.later(1)
    assert search.stopping() == ("the search's time of 2 min is over", False)


def test_the_time_begins_anew_where_a_search_that_had_ended_goes_on() -> None:
    search = Search(time=120)
    search.later(1000)
    search.say(SearchContinued)
    search.say(SearchDefined, base_task="b", strategy="s", objectives=[LOSS], limits=SearchLimits(time=120))
    assert search.decide() == [Propose(1)]


def test_the_time_of_computing_is_that_of_all_trials_those_that_run_included() -> None:
    search = Search(concurrent=2, compute=60)
    search.finish(1.0, seconds=30)
    search.queue()
    search.later(10)
    search.start()
    search.later(29)
    assert search.decide() == []
    search.later(1)
    assert search.stopping() == ("the trials have had their 1 min of computing", False)


def test_a_trial_whose_time_is_over_is_stopped_and_counts_as_completed() -> None:
    search = Search(concurrent=3, trial_time=90)
    search.queue()
    search.start()
    search.later(60)
    search.start()
    search.later(29)
    assert search.decide() == []
    search.later(1)
    assert search.decide() == [stop(1, "completed", "it ran for its 1.5 min")]


def test_a_trial_that_has_come_far_enough_is_stopped_and_counts_as_completed() -> None:
    search = Search(concurrent=2, most_iterations=10)
    search.start(2)
    search.report(0, 0.5, first=9)
    search.report(1, 0.5, first=10)
    assert search.decide() == [stop(1, "completed", "it has come to iteration 10")]


def test_a_trial_that_the_pruner_gives_up_is_stopped_once_and_whatever_else_is_over() -> None:
    search = Search(concurrent=2, most_iterations=1)
    search.start(2)
    search.report(1, 0.5, 0.5)
    assert search.decide(given_up={1: "worse"}) == [stop(1, "pruned", "worse")]
    search.say(TrialStopping, trial=1, status="pruned", reason="worse")
    assert search.decide(given_up={1: "worse"}) == []
    search.child(1, RunStopped, reason="stopped")
    assert search.decide(given_up={1: "worse"}) == [End(1)]
    search.say(TrialFinished, trial=1, status="pruned")
    assert search.fold.trials[1].message == "worse"
    assert search.decide(given_up={1: "worse"}) == [Propose(1)]


def test_a_search_that_stops_aborts_all_trials_once_and_proposes_none() -> None:
    search = Search(concurrent=9, time=1)
    search.start(2)
    search.queue()
    search.say(TrialStopping, trial=1, status="pruned", reason="worse")
    search.later(5)
    search.say(SearchStopping, reason="enough")
    search.say(SearchStopping, reason="too late to be the reason")
    assert search.decide() == [stop(0, "aborted", "enough"), stop(2, "aborted", "enough")]
    for number in (0, 2):
        search.say(TrialStopping, trial=number, status="aborted", reason="enough")
    assert search.decide() == []
    search.child(2, TaskReset)
    search.child(0, RunStopped, reason="stopped")
    assert search.decide() == [End(2), End(0)]


def test_a_search_fails_where_completed_trials_never_reported_the_objective_and_names_what_they_did() -> None:
    search = Search()
    for number in range(UNREPORTED):
        assert search.decide() == [Propose(1)]
        search.finish()
        search.report(number, 0.5, title="losses", series="test")
        search.board.apply(single(f"t{number}", "score", 1.0))
        search.report(number, 0.5, title=":monitor:machine", series="cpu")
    reason = "no trial has reported loss/test; they reported Summary/score, losses/test"
    assert search.stopping() == (reason, True)
    search.say(SearchStopping, reason=reason, failed=True)
    assert search.decide() == []


@pytest.mark.parametrize(("trials", "is_exhausted"), [(1, False), (0, True)])
def test_a_search_that_is_through_fails_where_a_single_trial_was_silent(trials: int, is_exhausted: bool) -> None:
    search = Search(trials=trials)
    search.finish()
    reason = "no trial has reported loss/test; they reported nothing"
    assert search.stopping(is_exhausted=is_exhausted) == (reason, True)


def test_a_search_that_has_heard_of_its_objective_goes_on_without_it() -> None:
    search = Search()
    search.finish(0.5)
    search.report(0, 0.5)
    for _ in range(2 * UNREPORTED):
        search.finish()
    assert search.decide() == [Propose(1)]


def test_a_search_whose_trials_diverge_at_once_goes_on() -> None:
    search = Search()
    for number in range(UNREPORTED):
        search.finish()
        search.report(number, float("nan"))
    assert search.decide() == [Propose(1)]


def test_a_search_waits_for_trials_that_run_before_it_calls_the_objective_unreported() -> None:
    search = Search(trials=2)
    search.finish()
    search.start()
    assert search.decide(is_exhausted=True) == []


@pytest.mark.parametrize(
    ("sign", "value"),
    [("min", 3.0), ("max", 3.0), ("min_global", 1.0), ("max_global", 5.0)],
)
def test_what_counts_of_a_trial_is_the_last_value_or_the_best_of_all_by_the_sign(sign: str, value: float) -> None:
    board = Board([Objective(title="loss", series="test", sign=sign)])
    assert board.values("t") == []
    board.apply(scalars("t", 2.0, 5.0, 1.0, 3.0))
    board.apply(scalars("other", -9.0, 9.0))
    assert board.values("t") == [value]


def test_the_last_value_is_that_of_the_last_iteration_in_whatever_order_they_come() -> None:
    board = Board([LOSS])
    board.apply(scalars("t", 1.0, first=8))
    board.apply(scalars("t", 2.0, first=3))
    assert (board.values("t"), board.iteration("t")) == ([1.0], 8)
    board.apply(scalars("t", 4.0, first=8))
    assert board.values("t") == [4.0]


def test_nan_is_no_value_and_infinity_is_one() -> None:
    board = Board([LOSS])
    board.apply(scalars("t", 1.0, float("nan")))
    assert (board.values("t"), board.iteration("t")) == ([1.0], 0)
    board.apply(scalars("t", float("inf"), first=2))
    assert board.values("t") == [float("inf")]


def test_a_single_value_is_an_objective_under_the_title_summary_and_replaces_itself() -> None:
    board = Board([Objective(title="Summary", series="score", sign="max")])
    board.apply(single("t", "score", 7.0))
    board.apply(single("t", "other", 9.0))
    board.apply(single("t", "score", 2.0))
    assert (board.values("t"), board.iteration("t"), board.missing) == ([2.0], 0, "")


def test_of_several_objectives_a_trial_has_all_values_or_none() -> None:
    board = Board([LOSS, Objective(title="Summary", series="size", sign="min")])
    board.apply(scalars("t", 1.0, first=4))
    assert (board.values("t"), board.iteration("t")) == ([], 4)
    assert board.missing == "no trial has reported Summary/size; they reported loss/test"
    board.apply(single("t", "size", 3.0))
    assert (board.values("t"), board.iteration("t"), board.missing) == ([1.0, 3.0], 4, "")


def test_a_board_names_all_missing_objectives_and_not_too_many_others() -> None:
    board = Board([LOSS, Objective(title="acc", series="test", sign="max")])
    for number in range(20):
        board.apply(single("t", f"v{number:02}", 1.0))
    listed = ", ".join(f"Summary/v{number:02}" for number in range(8))
    assert board.missing == f"no trial has reported loss/test and acc/test; they reported {listed} …"


def test_a_board_gives_each_value_of_the_first_objective_once_as_they_came() -> None:
    board = Board([LOSS, Objective(title="acc", series="test", sign="max")])
    board.apply(scalars("a", 1.0, title="acc"))
    board.apply(scalars("b", 1.0, float("nan"), 2.0))
    board.apply(scalars("a", 3.0, first=7))
    assert board.take() == [("b", 0, 1.0), ("b", 2, 2.0), ("a", 7, 3.0)]
    assert board.take() == []
