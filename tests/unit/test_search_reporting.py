"""What a search reports while it runs: plots whenever it has changed, but not too often, and how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasktape.events.base import Meta
from tasktape.events.parts import Parameter
from tasktape.events.search_events import (
    Objective,
    SearchDefined,
    SearchEvent,
    SearchLimits,
    SearchStopping,
    TrialFinished,
    TrialQueued,
    TrialStarted,
)
from tasktape.producers.search.reporting import Reporting, percent
from tasktape.projections.search_fold import SearchFold

START = datetime(2026, 1, 1, tzinfo=UTC)
LOSS = Objective(title="loss", series="test", sign="min")


class Shown:
    """Stands for a task: keeps what is reported for it."""

    def __init__(self) -> None:
        self.plots: list[tuple[str, str]] = []
        self.tables: list[Any] = []
        self.percents: list[int] = []
        self.scalars: dict[int, dict[tuple[str, str], float]] = {}
        self.fails = False

    def get_logger(self) -> Shown:
        if self.fails:
            raise RuntimeError("no logger")
        return self

    def set_progress(self, progress: int) -> None:
        self.percents.append(progress)

    def report_scalar(self, title: str, series: str, value: float, iteration: int) -> None:
        self.scalars.setdefault(iteration, {})[title, series] = value

    def report_plotly(self, title: str, series: str, **_: Any) -> None:
        self.plots.append((title, series))

    def report_table(self, title: str, series: str, table_plot: Any, **_: Any) -> None:
        self.plots.append((title, series))
        self.tables.append(table_plot)


def as_task() -> Any:
    return Shown()


def at_once(work: Callable[[], None]) -> None:
    work()


class Search:
    def __init__(self, **limits: Any) -> None:
        self.fold = SearchFold()
        about = {"base_task": "b", "strategy": "s", "objectives": [LOSS], "limits": SearchLimits(**limits)}
        self.say(SearchDefined, **about)

    def say(self, kind: type[SearchEvent], **fields: Any) -> None:
        meta = Meta(event_id="e", occurred_at=START, actor="a", session="s", seq=0)
        assert self.fold.apply(kind(meta=meta, task="c", run=1, **fields)).accepted

    def queue(self) -> None:
        number = len(self.fold.trials)
        held = [Parameter(name="General/lr", value=str(number), type="int")]
        self.say(TrialQueued, trial=number, child=f"t{number}", parameters=held)

    def finish(self, trial: int, value: float, seconds: float = 0.0) -> None:
        self.say(TrialFinished, trial=trial, status="completed", values=[value], seconds=seconds)


def test_all_plots_are_reported_under_clearmls_titles() -> None:
    task, now = as_task(), [1000.0]
    search, shown = Search(), Reporting(task, lambda: now[0], at_once)
    shown.show(search.fold)
    assert task.plots == []
    for number in range(12):
        search.queue()
        search.finish(number, 1.0 / (number + 1))
    now[0] += 10
    shown.show(search.fold)
    assert task.plots == [
        ("summary", "job"),
        ("Optimization Objective", "loss/test"),
        ("Parallel Coordinates", ""),
        ("Hyper-Parameter Importance", ""),
    ]


def test_budgets_trials_under_way_and_the_best_value_are_curves() -> None:
    task, now = as_task(), [1000.0]
    search, shown = Search(trials=4, compute=100.0), Reporting(task, lambda: now[0], at_once)
    search.queue()
    search.queue()
    shown.show(search.fold)
    assert task.scalars[0]["remaining budget", "jobs %"] == 100.0
    assert task.scalars[0]["resources", "queued tasks"] == 2.0
    search.say(TrialStarted, trial=1)
    search.finish(0, 0.5, seconds=30.0)
    now[0] += 10
    shown.show(search.fold)
    assert task.scalars[1] == {
        ("remaining budget", "jobs %"): 75.0,
        ("remaining budget", "compute time %"): 70.0,
        ("resources", "running tasks"): 1.0,
        ("resources", "queued tasks"): 0.0,
        ("performance", "loss/test"): 0.5,
    }


def test_what_has_changed_is_shown_but_not_too_often_and_at_the_end_at_once() -> None:
    task, now = as_task(), [1000.0]
    search, shown = Search(trials=2), Reporting(task, lambda: now[0], at_once)
    search.queue()
    shown.show(search.fold)
    search.finish(0, 0.5)
    shown.show(search.fold)
    assert [len(table) for table in task.tables] == [2]
    now[0] += 10
    shown.show(search.fold)
    now[0] += 10
    shown.show(search.fold)
    assert [table[1][2] for table in task.tables] == ["queued", "completed"]
    search.queue()
    search.finish(1, 0.1)
    shown.finish(search.fold)
    assert [row[0] for row in task.tables[-1][1:]] == [1, 0]
    assert task.percents == [50, 100]


def reported(trials: int, best: int = 0) -> list[Any]:
    """The tables that a search reports whose trials take an hour each."""
    task, now = as_task(), [1000.0]
    search, shown = Search(), Reporting(task, lambda: now[0], at_once)
    for number in range(trials):
        search.queue()
        search.finish(number, 0.0 if number == best else 1.0)
        now[0] += 3600
        shown.show(search.fold)
    return list(task.tables)


def test_what_a_search_reports_grows_with_the_logarithm_of_its_trials() -> None:
    few, many = reported(200), reported(800)
    assert len(reported(20)) == 20
    assert len(many) - len(few) < 40
    assert max(map(len, many)) == 501


def test_a_new_best_trial_is_reported_at_once() -> None:
    assert next(len(table) for table in reported(301, best=290) if table[1][0] == 290) == 292


def test_what_can_not_be_shown_stops_no_search() -> None:
    task = as_task()
    task.fails = True
    search = Search()
    search.queue()
    Reporting(task, begin=at_once).show(search.fold)


def test_nobody_waits_for_figures_but_the_search_that_ends() -> None:
    task, may_draw, begun = as_task(), threading.Event(), [0]

    def begin(work: Callable[[], None]) -> threading.Thread:
        def draw() -> None:
            may_draw.wait()
            work()

        thread = threading.Thread(target=draw, daemon=True)
        thread.start()
        begun[0] += 1
        return thread

    search, shown = Search(trials=1), Reporting(task, begin=begin)
    search.queue()
    shown.show(search.fold)
    search.finish(0, 0.5)
    shown.show(search.fold)
    assert (task.tables, begun) == ([], [1])
    may_draw.set()
    shown.finish(search.fold)
    assert [table[1][2] for table in task.tables] == ["queued", "completed"]


def test_a_search_that_was_stopped_is_not_said_to_have_reached_its_end() -> None:
    task = as_task()
    search = Search(trials=4)
    search.queue()
    search.finish(0, 0.5)
    search.say(SearchStopping, reason="enough")
    Reporting(task).finish(search.fold)
    assert task.percents == [25]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 50),
        ({"trials": 10}, 10),
        ({"trials": 10, "time": 100.0}, 30),
        ({"compute": 10.0}, 40),
        ({"time": 9.0}, 100),
    ],
)
def test_a_search_is_as_far_as_the_limit_that_it_will_reach_first(limits: dict[str, Any], expected: int) -> None:
    search = Search(**limits)
    search.queue()
    search.queue()
    search.finish(0, 0.5, seconds=4.0)
    assert percent(search.fold, START + timedelta(seconds=30)) == expected
