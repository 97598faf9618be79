"""A search as tables show it: what its controller said, kept trial by trial, whatever was read in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tasktape.events import search_events, task_events
from tasktape.events.parts import Parameter
from tasktape.events.task_events import TasksEvent
from tasktape.projections.search_fold import SearchFold
from tasktape.projections.search_rows import SearchRow, TrialRow
from tasktape.tests.support.projected import START, E, Projected

LOSS = {"title": "loss", "series": "test", "sign": "min"}


class World(Projected):
    """A controller speaks of its search. `fold` is that of its own events."""

    def __init__(self) -> None:
        super().__init__()
        self.fold = SearchFold()

    def say(self, kind: type[E], /, **fields: Any) -> E:
        event = super().say(kind, **fields)
        if isinstance(event, TasksEvent):
            self.fold.apply(event)
        return event

    def search(self, task: str = "c", run: int = 1, **fields: Any) -> None:
        about = {"base_task": "b", "strategy": "GridSearch", "objectives": [LOSS], "queue": "gpu", **fields}
        self.say(search_events.SearchDefined, task=task, run=run, **about)

    def queue(self, trial: int, task: str = "c", run: int = 1, **parameters: str) -> None:
        held = [Parameter(name=f"General/{name}", value=value, type="float") for name, value in parameters.items()]
        self.trial(search_events.TrialQueued, trial, task, run, child=f"t{trial}", parameters=held)

    def trial(self, kind: type[TasksEvent], trial: int, task: str = "c", run: int = 1, **fields: Any) -> None:
        self.say(kind, task=task, run=run, trial=trial, **fields)

    def finish(self, trial: int, *values: float, status: str = "completed", **fields: Any) -> None:
        self.trial(search_events.TrialFinished, trial, status=status, values=values, **fields)

    def row(self) -> SearchRow:
        (row,) = self.ask.searches(task="c")
        return row

    def trials(self) -> list[TrialRow]:
        return self.ask.trials("c")

    def written(self) -> dict[int, int]:
        """Trials and the place of their rows in the table: a row that is written anew has a new place."""
        return dict(self.database.connection.execute("SELECT number, rowid FROM trial_states").fetchall())


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.task("c", run=1)
    yield made
    made.close()


def test_a_search_shows_what_it_was_defined_with(world: World) -> None:
    world.search(limits={"concurrent": 3, "time": 60.0}, space="[]")
    row = world.row()
    assert (row.name, row.project, row.status, row.run) == ("c", "p", "in_progress", 1)
    assert (row.base_task, row.strategy, row.queue, row.space) == ("b", "GridSearch", "gpu", "[]")
    assert json.loads(row.objectives) == [LOSS]
    assert (json.loads(row.limits)["concurrent"], json.loads(row.limits)["time"]) == (3, 60.0)
    assert (row.trials, row.best, row.best_child, row.best_values, row.spent) == (0, None, None, (), 0.0)


def test_a_trial_shows_its_parameters_and_what_became_of_it(world: World) -> None:
    world.search()
    world.queue(0, lr="0.1", kind='"adam"')
    world.trial(search_events.TrialStarted, 0)
    (trial,) = world.trials()
    assert (trial.number, trial.child, trial.status, trial.values) == (0, "t0", "running", ())
    assert json.loads(trial.parameters) == {"General/lr": 0.1, "General/kind": "adam"}
    assert (trial.queued_at, trial.started_at) == (START + timedelta(seconds=4), START + timedelta(seconds=5))
    world.finish(0, 0.5, iteration=9, seconds=2.5, message="done")
    (trial,) = world.trials()
    assert (trial.status, trial.values, trial.iteration, trial.seconds) == ("completed", (0.5,), 9, 2.5)
    assert (trial.message, trial.ended_at) == ("done", START + timedelta(seconds=6))


def test_a_search_counts_its_trials_and_names_the_best(world: World) -> None:
    world.search()
    for number in range(5):
        world.queue(number)
    world.finish(0, 0.5, seconds=1.0)
    world.finish(1, 0.2, seconds=2.0)
    world.finish(2, 0.9, status="pruned", seconds=0.5)
    world.finish(3, status="failed")
    row = world.row()
    assert (row.trials, row.completed, row.pruned, row.failed, row.under_way, row.spent) == (5, 2, 1, 1, 1, 3.5)
    assert (row.best, row.best_child, row.best_values) == (1, "t1", (0.2,))
    world.say(search_events.SearchStopping, task="c", run=1, reason="time is over")
    assert (world.row().stopping_reason, world.row().stopping_failed) == ("time is over", False)
    world.say(search_events.SearchContinued, task="c", run=1)
    assert world.row().stopping_reason is None


def test_only_trials_that_changed_are_written(world: World) -> None:
    world.search()
    world.queue(0)
    world.queue(1)
    before = world.written()
    world.trial(search_events.TrialStarted, 1)
    after = world.written()
    assert {number for number in after if after[number] != before[number]} == {1}


def test_what_a_search_does_not_accept_is_shown_as_rejected_and_changes_nothing(world: World) -> None:
    world.search()
    world.queue(1)
    world.trial(search_events.TrialStarted, 0)
    world.queue(0, run=0)
    reasons = [event.reason for event in world.ask.events("c") if event.verdict == "rejected"]
    assert reasons == ["trial 0 is next", "there is no such trial", "run 1 has begun since"]
    assert world.trials() == []


def test_a_reset_controller_is_no_search_and_begins_anew(world: World) -> None:
    world.search()
    world.queue(0)
    world.finish(0, 0.1, seconds=3.0)
    world.say(task_events.TaskReset, task="c", run=1)
    assert (world.ask.searches(), world.trials()) == ([], [])
    world.say(task_events.RunStarted, task="c", run=2)
    world.search(run=2, strategy="RandomSearch")
    assert (world.row().strategy, world.row().best, world.row().spent) == ("RandomSearch", None, 0.0)


def test_a_fold_that_goes_on_from_rows_is_the_one_that_was_kept(world: World) -> None:
    world.search(limits={"concurrent": 2})
    for number in range(4):
        world.queue(number)
    world.finish(1, 0.5, seconds=2.0)
    world.finish(0, 0.25, seconds=1.0)
    world.trial(search_events.TrialTold, 1)
    world.trial(search_events.TrialStopping, 2, status="pruned", reason="no")
    world.say(search_events.SearchStopping, task="c", run=1, reason="enough")
    fold, about = world.fold, {name: getattr(world.fold, name) for name in ("began_at", "best", "spent")}
    assert (list(fold.under_way), list(fold.untold), fold.best, fold.spent) == ([2, 3], [0], 0, 3.0)
    assert SearchFold.of(fold.trials, fold.defined, fold.stopping, **about) == replace(fold, changes=0)


def test_searches_are_found_by_name_and_archived_ones_if_asked_for(world: World) -> None:
    world.search()
    world.task("d", run=1)
    world.search("d")
    assert [row.task for row in world.ask.searches()] == ["d", "c"]
    assert [row.task for row in world.ask.searches("c")] == ["c"]
    assert [row.task for row in world.ask.searches(limit=1)] == ["d"]
    world.say(task_events.TaskArchived, task="d")
    assert [row.task for row in world.ask.searches()] == ["c"]
    assert [row.task for row in world.ask.searches(archived=True)] == ["d", "c"]
    world.say(task_events.TaskDeleted, task="c")
    assert (world.ask.searches(), world.trials()) == ([], [])
