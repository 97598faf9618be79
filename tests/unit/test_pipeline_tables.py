"""A pipeline as tables show it: what its controller said, kept step by step, whatever was read in between."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.events import pipeline_events, task_events
from tasktape.events.pipeline_events import PipelineStep
from tasktape.events.task_events import TasksEvent
from tasktape.projections.database import Database
from tasktape.projections.pipeline_fold import PipelineFold
from tasktape.projections.projector import Projector
from tasktape.projections.work_rows import PipelineRow, StepRow
from tasktape.tests.support.projected import CODEC, START, Projected

DIAMOND = [
    PipelineStep(name="load", base="load.py", queue="cpu", caches=True),
    PipelineStep(name="left", parents=["load"], stage="train", time_limit=60.0),
    PipelineStep(name="right", parents=["load"], retries=2, callbacks=["status"]),
    PipelineStep(name="join", parents=["left", "right"]),
]


class World(Projected):
    """A controller speaks of its pipeline."""

    def pipeline(self, task: str = "c", steps: list[PipelineStep] | None = None, **fields: Any) -> TasksEvent:
        self.task(task, run=1)
        about = {"name": "nightly", "steps": DIAMOND if steps is None else steps, "horizon": [0], **fields}
        return self.say(pipeline_events.PipelineDefined, task=task, run=1, **about)

    def step(self, kind: type[TasksEvent], step: str, task: str = "c", run: int = 1, **fields: Any) -> None:
        self.say(kind, task=task, run=run, step=step, **fields)

    def completed(self, step: str, child: str, cache_key: str = "", task: str = "c") -> None:
        self.step(pipeline_events.StepQueued, step, task, child=child, child_run=1, cache_key=cache_key)
        self.step(pipeline_events.StepFinished, step, task, status="completed", child=child, child_run=1)

    def row(self) -> PipelineRow:
        (row,) = self.ask.pipelines(task="c")
        return row

    def steps(self, task: str = "c") -> dict[str, StepRow]:
        return {step.name: step for step in self.ask.steps(task)}

    def statuses(self) -> dict[str, str]:
        return {name: step.status for name, step in self.steps().items()}

    def written(self) -> list[tuple[str, int]]:
        """Steps and the place of their rows in the table: a row that is written anew has a new place."""
        return self.database.connection.execute("SELECT name, rowid FROM step_states ORDER BY name").fetchall()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def test_a_pipeline_shows_what_it_was_defined_with(world: World) -> None:
    world.pipeline(version="1.2", stops_on_fail=True, time_limit=90.0)
    row = world.row()
    assert (row.name, row.version, row.project, row.status, row.run) == ("nightly", "1.2", "p", "in_progress", 1)
    assert (row.steps, row.done, row.under_way, row.stops_on_fail, row.time_limit) == (4, 0, 0, True, 90.0)
    assert (row.generation, row.stopping_reason, row.started_at) == (0, None, START + timedelta(seconds=2))
    steps = world.ask.steps("c")
    assert [(step.place, step.name, step.status) for step in steps] == [
        (place, step.name, "pending") for place, step in enumerate(DIAMOND)
    ]
    assert [step.parents for step in steps] == [(), ("load",), ("load",), ("left", "right")]
    assert [PipelineStep.model_validate_json(step.definition) for step in steps] == DIAMOND
    assert (steps[0].base, steps[1].stage, steps[0].queued_at) == ("load.py", "train", None)


def test_a_step_shows_what_became_of_it(world: World) -> None:
    world.pipeline()
    world.step(pipeline_events.StepQueued, "load", child="t1", child_run=1, queue="cpu", cache_key="k")
    world.step(pipeline_events.StepStarted, "load", child="t1", child_run=1)
    world.step(pipeline_events.StepRetried, "load", child="t1", child_run=2, reason="lost")
    world.step(pipeline_events.StepStarted, "load", child="t1", child_run=2)
    load = world.steps()["load"]
    assert (load.status, load.child, load.child_run, load.queue) == ("running", "t1", 2, "cpu")
    assert (load.cache_key, load.retries, load.message) == ("k", 1, "lost")
    assert (load.queued_at, load.started_at) == (START + timedelta(seconds=4), START + timedelta(seconds=7))
    world.step(pipeline_events.StepFinished, "load", status="failed", child="t1", child_run=2, message="no")
    world.step(pipeline_events.CallbackReturned, "load", callback="post", answer=False)
    load = world.steps()["load"]
    assert (load.status, load.message, load.ended_at) == ("failed", "no", START + timedelta(seconds=8))
    assert json.loads(load.answers) == [["post", 0, False]]


def test_a_pipeline_counts_its_steps(world: World) -> None:
    world.pipeline()
    world.step(pipeline_events.StepCached, "load", child="t", cache_key="k")
    world.completed("left", "t1")
    world.step(pipeline_events.StepFinished, "right", status="aborted")
    world.step(pipeline_events.StepSkipped, "join", reason="right was aborted")
    world.say(pipeline_events.StepAdded, task="c", run=1, step=PipelineStep(name="more"))
    world.step(pipeline_events.StepQueued, "more", child="t3", child_run=1)
    world.say(pipeline_events.PipelineStopping, task="c", run=1, reason="right was aborted", failed=True)
    row = world.row()
    assert (row.steps, row.done, row.failed, row.skipped, row.under_way) == (5, 2, 1, 1, 1)
    assert (row.stopping_reason, row.stopping_failed) == ("right was aborted", True)


def test_what_a_pipeline_does_not_accept_is_shown_as_rejected_and_changes_nothing(world: World) -> None:
    world.pipeline()
    world.step(pipeline_events.StepStarted, "load", child="t", child_run=1)
    world.step(pipeline_events.StepQueued, "nowhere", child="t", child_run=1)
    world.step(pipeline_events.StepQueued, "load", run=0, child="t", child_run=1)
    reasons = [event.reason for event in world.ask.events("c") if event.verdict == "rejected"]
    assert reasons == ["the step is pending", "there is no step of this name", "run 1 has begun since"]
    assert set(world.statuses().values()) == {"pending"}


def test_only_what_changed_is_written(world: World) -> None:
    world.pipeline()
    before = dict(world.written())
    world.step(pipeline_events.StepQueued, "left", child="t", child_run=1)
    after = dict(world.written())
    assert {name for name in after if after[name] != before[name]} == {"left"}


def test_a_reset_controller_is_no_pipeline_and_goes_on_as_a_new_one(world: World) -> None:
    world.pipeline()
    world.completed("load", "t")
    world.say(pipeline_events.PipelineContinued, task="c", run=1, steps=["load"])
    assert (world.row().generation, world.statuses()["load"]) == (1, "pending")
    world.say(task_events.TaskReset, task="c", run=1)
    assert (world.ask.pipelines(), world.ask.steps("c")) == ([], [])
    world.say(task_events.RunStarted, task="c", run=2)
    world.say(pipeline_events.PipelineDefined, task="c", run=2, name="again", steps=DIAMOND[:1])
    assert (world.row().name, world.row().generation, world.statuses()) == ("again", 2, {"load": "pending"})


def test_a_later_run_keeps_what_came_of_the_steps_and_forgets_those_that_are_gone(world: World) -> None:
    world.pipeline()
    world.completed("load", "t")
    world.say(task_events.RunStarted, task="c", run=2)
    world.say(pipeline_events.PipelineDefined, task="c", run=2, name="nightly", steps=[DIAMOND[1], DIAMOND[0]])
    assert [(step.name, step.status) for step in world.ask.steps("c")] == [("left", "pending"), ("load", "completed")]


def test_pipelines_are_found_by_name_and_archived_ones_if_asked_for(world: World) -> None:
    world.pipeline("c")
    world.pipeline("d")
    world.pipeline("e", name="other")
    assert [row.task for row in world.ask.pipelines("nightly")] == ["d", "c"]
    assert [row.task for row in world.ask.pipelines(limit=1)] == ["e"]
    world.say(task_events.TaskArchived, task="d")
    assert [row.task for row in world.ask.pipelines("nightly")] == ["c"]
    assert [row.task for row in world.ask.pipelines("nightly", archived=True)] == ["d", "c"]
    world.say(task_events.TaskDeleted, task="c")
    assert (world.ask.pipelines("nightly"), world.ask.steps("c")) == ([], [])


def test_a_completed_step_is_found_by_what_its_outcome_depends_on(world: World) -> None:
    for child in ("t1", "t2"):
        world.task(child, run=1)
        world.say(task_events.RunCompleted, task=child, run=1)
    world.pipeline()
    assert world.ask.cached_step("key") is None
    world.completed("load", "t1", "key")
    assert world.ask.cached_step("key") == "t1"
    world.completed("left", "t2", "key")
    assert world.ask.cached_step("key") == "t2"
    world.say(task_events.TaskPublished, task="t2")
    assert world.ask.cached_step("key") == "t2"
    assert world.ask.cached_step("other") is None


@pytest.mark.parametrize(
    "fate",
    [
        [(task_events.TaskDeleted, {})],
        [(task_events.TaskReset, {"run": 1})],
        [
            (task_events.TaskReset, {"run": 1}),
            *((k, {"run": 2}) for k in (task_events.RunStarted, task_events.RunCompleted)),
        ],
        [(task_events.RunFailed, {"run": 1, "reason": "wrong", "force": True})],
    ],
    ids=["deleted", "reset", "run anew", "declared failed"],
)
def test_what_a_step_came_to_is_used_only_while_it_stands(world: World, fate: list[tuple[Any, Any]]) -> None:
    world.task("t1", run=1)
    world.say(task_events.RunCompleted, task="t1", run=1)
    world.pipeline()
    world.completed("load", "t1", "key")
    assert world.ask.cached_step("key") == "t1"
    for kind, fields in fate:
        world.say(kind, task="t1", **fields)
    assert world.ask.cached_step("key") is None


def test_steps_that_did_not_complete_are_not_used_again(world: World) -> None:
    world.task("t1", run=1)
    world.pipeline()
    world.step(pipeline_events.StepQueued, "load", child="t1", child_run=1, cache_key="key")
    world.say(task_events.RunCompleted, task="t1", run=1)
    assert world.ask.cached_step("key") is None
    world.step(pipeline_events.StepFinished, "load", status="failed", child="t1", child_run=1)
    assert world.ask.cached_step("key") is None


def rows(database: Database) -> list[list[Any]]:
    tables = ("pipeline_states", "step_states")
    return [database.connection.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in tables]


def something(chance: random.Random) -> tuple[type[TasksEvent], dict[str, Any]]:
    """Anything that may befall a pipeline of up to five steps."""
    names = [*"abcde"]
    child = {"child": "t", "child_run": chance.randint(1, 3)}
    steps = [PipelineStep(name=name, parents=names[: chance.randint(0, 2)]) for name in chance.sample(names, 4)]
    step = {"step": chance.choice(names)}
    pipelines, infinity = pipeline_events, float("inf")
    choices: list[tuple[type[TasksEvent], dict[str, Any]]] = [
        *[(pipelines.StepQueued, {**step, **child})] * 4,
        *[(pipelines.StepStarted, {**step, **child})] * 4,
        *[(pipelines.StepFinished, {**step, "status": chance.choice(["completed", "failed", "aborted"])})] * 3,
        (pipelines.StepRetried, {**step, **child}),
        (pipelines.StepSkipped, {**step, "reason": "stopped"}),
        *[(pipelines.CallbackReturned, {**step, "callback": "é", "occasion": chance.randint(0, 2)})] * 2,
        (pipelines.StepAdded, {"step": PipelineStep(name=chance.choice(names), time_limit=infinity)}),
        (pipelines.PipelineContinued, {"steps": chance.sample(names, 2)}),
        (pipelines.PipelineStopping, {"reason": "enough"}),
        (pipelines.PipelineDefined, {"name": "n", "steps": chance.choice([[], steps]), "time_limit": infinity}),
        (task_events.TaskReset, {}),
    ]
    return chance.choice(choices)


@settings(max_examples=3, deadline=None)
@given(st.randoms(use_true_random=True))
def test_rows_say_what_the_fold_says_and_rebuilding_gives_the_same(chance: random.Random) -> None:
    live, fold, run = World(), PipelineFold(), 1
    fold.apply(live.pipeline(steps=[PipelineStep(name=name) for name in "abc"]))
    for _ in range(20):
        kind, fields = something(chance)
        fold.apply(live.say(kind, task="c", run=run, **fields))
        run += kind is task_events.TaskReset
    assert live.statuses() == {name: found.status for name, found in fold.steps.items()}
    assert [row.generation for row in live.ask.pipelines()] == [fold.generation] * (fold.defined is not None)
    database = Database.in_memory("")
    projector = Projector(live.log, database, CODEC)
    projector.catch_up()
    assert rows(database) == rows(live.database)
    projector.close()
    database.close()
    live.close()
