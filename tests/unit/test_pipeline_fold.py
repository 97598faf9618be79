"""The fold of a pipeline's own events: what may be decided on, what counts, and what a later run makes up for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasktape.events import pipeline_events as said
from tasktape.events.base import Meta
from tasktape.events.pipeline_events import PipelineStep
from tasktape.events.task_events import RunStarted, TaskReset, TasksEvent
from tasktape.projections.pipeline_fold import FORGOTTEN, STOPPED, PipelineFold

START = datetime(2026, 1, 1, tzinfo=UTC)
DIAMOND = [
    PipelineStep(name="load"),
    PipelineStep(name="left", parents=["load"]),
    PipelineStep(name="right", parents=["load"]),
    PipelineStep(name="join", parents=["left", "right"]),
]


class Story:
    """A fold and what it is told, a second between each two events."""

    def __init__(self, *steps: PipelineStep, **about: Any) -> None:
        self.fold = PipelineFold()
        self._count = 0
        self.say(said.PipelineDefined, name="n", steps=list(steps), **about)

    def say(self, kind: type[TasksEvent], /, **fields: Any) -> bool:
        self._count += 1
        moment = START + timedelta(seconds=self._count)
        meta = Meta(event_id=f"e{self._count}", occurred_at=moment, actor="a", session="s", seq=self._count)
        event = kind.model_validate({"meta": meta, "task": "c", "run": 1, **fields})
        return self.fold.apply(event).accepted

    def queue(self, step: str, child: str = "", run: int = 1) -> bool:
        return self.say(said.StepQueued, step=step, child=child or f"t-{step}", child_run=run)

    def finish(self, step: str, status: str = "completed") -> bool:
        return self.say(said.StepFinished, step=step, status=status, child=f"t-{step}", child_run=1)

    def run(self, step: str, status: str = "completed") -> None:
        self.queue(step)
        self.say(said.StepStarted, step=step, child=f"t-{step}", child_run=1)
        self.finish(step, status)


def test_steps_become_ready_when_their_parents_are_over_however_they_ended() -> None:
    story = Story(*DIAMOND)
    assert [*story.fold.ready] == ["load"]
    story.run("load", "failed")
    assert [*story.fold.ready] == ["left", "right"]
    story.queue("left")
    assert ([*story.fold.ready], [*story.fold.under_way]) == (["right"], ["left"])
    story.finish("left")
    story.say(said.StepSkipped, step="right", reason="asked for")
    assert ([*story.fold.ready], story.fold.open) == (["join"], 1)


def test_a_step_is_queued_once_and_over_once() -> None:
    story = Story(*DIAMOND)
    assert story.queue("load")
    assert not story.queue("load", "another")
    assert story.finish("load")
    assert not story.finish("load", "failed")
    assert not story.queue("load")
    assert not story.say(said.StepSkipped, step="load", reason="no")
    assert not story.queue("nobody")
    step = story.fold.steps["load"]
    assert (step.status, step.child, step.history) == ("completed", "t-load", ("queued", "completed"))


def test_a_retry_is_another_run_of_the_same_task_and_a_late_start_of_the_last_one_does_not_count() -> None:
    story = Story(PipelineStep(name="a"))
    story.queue("a")
    assert story.say(said.StepRetried, step="a", child="t-a", child_run=2, reason="oom")
    assert not story.say(said.StepRetried, step="a", child="t-a", child_run=2)
    assert not story.say(said.StepStarted, step="a", child="t-a", child_run=1)
    assert story.say(said.StepStarted, step="a", child="t-a", child_run=2)
    step = story.fold.steps["a"]
    assert (step.status, step.retries, step.child_run, step.message) == ("running", 1, 2, "oom")


def test_callbacks_are_owed_in_order_each_until_it_has_returned() -> None:
    story = Story(PipelineStep(name="a", callbacks=["completed", "post", "status"]))
    story.run("a")
    owed = [("status", 0), ("status", 1), ("status", 2), ("completed", 0), ("post", 0)]
    for place, (callback, occasion) in enumerate(owed):
        assert story.fold.steps["a"].owed() == owed[place:]
        assert not story.fold.is_settled("a")
        story.say(said.CallbackReturned, step="a", callback=callback, occasion=occasion)
    assert story.fold.is_settled("a")
    assert not story.fold.owing


def test_a_skipped_step_is_lost_by_a_failure_above_it_or_a_stop_and_not_by_a_callback() -> None:
    below = ("left", "right", "join")
    failed = Story(*DIAMOND)
    failed.run("load", "failed")
    asked = Story(*DIAMOND)
    allowed = Story(PipelineStep(name="load", goes_on_on_fail=True), *DIAMOND[1:])
    allowed.run("load", "failed")
    for story in (failed, asked, allowed):
        for name in story.fold.steps.keys() - ({"load"} if story.fold.steps["load"].child else set()):
            story.say(said.StepSkipped, step=name, reason="no")
    assert all(map(failed.fold.is_lost, ("load", *below)))
    assert not any(map(asked.fold.is_lost, ("load", *below)))
    assert not any(map(allowed.fold.is_lost, ("load", *below)))
    stopped = Story(*DIAMOND)
    stopped.say(said.StepSkipped, step="load", reason=STOPPED)
    stopped.say(said.StepSkipped, step="left", reason="no")
    assert (stopped.fold.is_lost("left"), stopped.fold.is_lost("right")) == (True, False)


@pytest.mark.parametrize("status", ["skipped", "failed"])
def test_a_step_without_a_task_owes_no_callback_about_it(status: str) -> None:
    story = Story(PipelineStep(name="a", callbacks=["completed", "post"]))
    if status == "skipped":
        story.say(said.StepSkipped, step="a", reason="no")
    else:
        story.say(said.StepFinished, step="a", status="failed", message="it can't be prepared")
    assert story.fold.is_settled("a")


@pytest.mark.parametrize(
    ("status", "flags", "lets_on", "spoils"),
    [
        ("failed", {}, False, True),
        ("failed", {"skips_on_fail": False}, True, True),
        ("failed", {"goes_on_on_fail": True}, False, False),
        ("failed", {"skips_on_abort": False, "goes_on_on_abort": True}, False, True),
        ("aborted", {}, False, True),
        ("aborted", {"skips_on_abort": False}, True, True),
        ("aborted", {"goes_on_on_abort": True}, False, False),
        ("completed", {}, True, False),
    ],
)
def test_flags_say_what_a_bad_end_means(status: str, flags: dict[str, bool], lets_on: bool, spoils: bool) -> None:
    story = Story(PipelineStep(name="a", **flags))
    story.run("a", status)
    step = story.fold.steps["a"]
    assert (step.lets_on, step.spoils, "a" in story.fold.spoilt) == (lets_on, spoils, spoils)


def test_to_continue_is_to_do_again_what_failed_was_stopped_or_forgotten_and_what_depends_on_it() -> None:
    steps = [*DIAMOND, *(PipelineStep(name=name) for name in ("fine", "stopped", "forgotten", "unwanted"))]
    story = Story(*steps)
    story.run("fine")
    story.run("load")
    story.run("left", "failed")
    story.run("right")
    story.run("join")
    for name, reason in {"stopped": STOPPED, "forgotten": FORGOTTEN, "unwanted": "its callback asked"}.items():
        story.say(said.StepSkipped, step=name, reason=reason)
    redone = {"left", "join", "stopped", "forgotten"}
    assert story.fold.unfinished() == redone
    story.say(said.PipelineContinued, steps=sorted(redone))
    assert {*story.fold.pending} == redone
    assert [*story.fold.ready] == ["left", "stopped", "forgotten"]
    assert (story.fold.generation, story.fold.stopping, story.fold.spoilt) == (1, None, {})
    assert story.fold.steps["left"].child == ""
    assert story.fold.steps["right"].child == "t-right"


def test_a_step_that_was_asked_about_and_not_queued_is_asked_about_again_with_the_task_it_gets_then() -> None:
    story = Story(PipelineStep(name="a", callbacks=["pre"]), PipelineStep(name="b", callbacks=["pre"]))
    story.say(said.CallbackReturned, step="a", callback="pre")
    assert story.fold.unfinished() == {"a"}
    story.say(said.PipelineContinued, steps=["a"])
    assert story.fold.steps["a"].answers == {}


def test_what_a_stopped_pipeline_left_running_is_done_again_and_what_a_living_one_runs_is_not() -> None:
    story = Story(*DIAMOND)
    story.queue("load")
    assert story.fold.unfinished() == set()
    story.say(said.PipelineStopping, reason="enough")
    assert story.fold.unfinished() == {"load", "left", "right", "join"}


def test_time_counts_from_the_first_run_or_from_when_the_pipeline_was_continued() -> None:
    story = Story(*DIAMOND)
    began = story.fold.began_at
    story.say(said.PipelineDefined, name="n", steps=DIAMOND)
    assert story.fold.began_at == began
    story.say(said.PipelineContinued, steps=[])
    assert began is not None
    assert story.fold.began_at == began + timedelta(seconds=2)


def test_a_reset_pipeline_knows_nothing_and_its_steps_get_tasks_of_their_own() -> None:
    story = Story(*DIAMOND, horizon=[5])
    story.run("load")
    story.say(TaskReset)
    assert (story.fold.steps, story.fold.defined, story.fold.generation) == ({}, None, 1)
    story.say(said.PipelineDefined, name="n", steps=DIAMOND, horizon=[9])
    assert story.fold.steps["load"].status == "pending"
    assert story.fold.defined is not None
    assert story.fold.defined.horizon == [9]
    empty = PipelineFold()
    empty.apply(TaskReset(meta=story.fold.defined.meta, task="c", run=0))
    assert empty.generation == 0


def test_a_later_run_keeps_what_came_of_steps_and_where_their_events_begin() -> None:
    story = Story(*DIAMOND, horizon=[5])
    story.run("load")
    story.queue("left")
    story.say(said.PipelineDefined, name="n", steps=[*DIAMOND[:2], PipelineStep(name="new")], horizon=[9])
    assert story.fold.defined is not None
    assert story.fold.defined.horizon == [5]
    assert {name: step.status for name, step in story.fold.steps.items()} == {
        "load": "completed",
        "left": "queued",
        "new": "pending",
    }
    assert ([*story.fold.ready], story.fold.owners["t-left"], story.fold.open) == (["new"], "left", 2)


def test_steps_may_be_added_once_each_behind_parents_that_are_over_or_not() -> None:
    story = Story()
    assert story.say(said.StepAdded, step=PipelineStep(name="a"))
    assert not story.say(said.StepAdded, step=PipelineStep(name="a", parents=["b"]))
    story.say(said.StepAdded, step=PipelineStep(name="b", parents=["a", "a"]))
    story.run("a")
    story.say(said.StepAdded, step=PipelineStep(name="c", parents=["a"]))
    assert [*story.fold.ready] == ["b", "c"]


def test_a_task_that_two_steps_run_one_after_the_other_belongs_to_the_one_that_runs() -> None:
    story = Story(PipelineStep(name="late", parents=["early"]), PipelineStep(name="early"))
    for step, run in (("early", 3), ("late", 4)):
        story.queue(step, "shared", run)
        assert story.fold.owners["shared"] == step
        if step == "early":
            story.say(said.StepFinished, step=step, status="completed", child="shared", child_run=run)
    story.say(said.PipelineDefined, name="n", steps=[story.fold.steps[name].definition for name in ("late", "early")])
    assert story.fold.owners["shared"] == "late"


def test_only_what_is_about_the_pipeline_changes_it() -> None:
    story = Story(*DIAMOND)
    assert story.fold.changes == 1
    story.say(RunStarted)
    story.say(said.StepStarted, step="load", child="t", child_run=1)
    assert story.fold.changes == 1
    story.queue("load")
    assert story.fold.changes == 2
