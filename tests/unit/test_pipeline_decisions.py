"""What a pipeline does next, and what its controller makes of that: told step by step, as users rely on it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tasktape.events import pipeline_events as said
from tasktape.events.log.memory import MemoryLog
from tasktape.events.pipeline_events import PipelineEvent
from tasktape.producers.pipelines.conductor import Conductor
from tasktape.producers.pipelines.node import Node
from tasktape.tests.support.pipeline_plans import Plan, StepPlan
from tasktape.tests.support.pipeline_world import CONTROLLER, LeftError, World

Make = Callable[..., World]
ALL = frozenset({"status", "post", "completed"})


@pytest.fixture
def make() -> Iterator[Make]:
    """Worlds with these steps, which fare as their plans say."""
    names: list[str] = []

    def made(*steps: StepPlan, **about: Any) -> World:
        names.append(f"pipeline-{uuid.uuid4().hex}")
        return World(Plan(steps, **about), names[-1])

    yield made
    for name in names:
        MemoryLog.forget(name)


def fates(*first: str, **about: Any) -> StepPlan:
    return StepPlan(fates=(first,), **about)


def statuses(conductor: Conductor) -> str:
    return " ".join(step.status for step in conductor.fold.steps.values())


def decided(world: World) -> list[str]:
    """What the controller has decided, in order: the kind of each event and its step."""
    events = [event for event in world.told if isinstance(event, PipelineEvent) and event.run == world.run]
    return [f"{type(event).__name__} {getattr(event, 'step', '')}".strip() for event in events]


def test_steps_run_behind_their_parents_and_each_decision_is_written_once(make: Make) -> None:
    world = make(StepPlan(), StepPlan(parents=(0,)))
    assert statuses(world.conduct()) == "completed completed"
    assert decided(world) == [
        "PipelineDefined",
        *(f"{kind} {step}" for step in ("s0", "s1") for kind in ("StepQueued", "StepStarted", "StepFinished")),
    ]


def test_a_step_below_one_that_failed_or_was_skipped_is_skipped_with_the_reason(make: Make) -> None:
    world = make(fates("failed"), StepPlan(parents=(0,)), StepPlan(parents=(1,)), StepPlan())
    conductor = world.conduct()
    assert statuses(conductor) == "failed skipped skipped completed"
    messages = [step.message for step in conductor.fold.steps.values()]
    assert messages == ["exception", "step 's0' failed", "step 's1' was skipped", ""]
    status, reason = conductor.result()
    assert (status, reason.partition(" (task ")[0]) == ("failed", "step 's0' failed")
    assert reason.endswith(": exception")


def test_a_pipeline_goes_on_without_what_it_may_and_what_needs_it_runs_where_that_was_chosen(make: Make) -> None:
    without = fates("failed", goes_on_on_fail=True)
    conductor = make(without, StepPlan(parents=(0,))).conduct()
    assert (statuses(conductor), conductor.result()[0]) == ("failed skipped", "completed")
    anyway = fates("aborted", goes_on_on_abort=True, skips_on_abort=False)
    conductor = make(anyway, StepPlan(parents=(0,))).conduct()
    assert (statuses(conductor), conductor.result()[0]) == ("aborted completed", "completed")


@pytest.mark.parametrize("asks", [False, True])
def test_a_failed_step_runs_again_as_often_as_it_may_and_agents_tries_are_not_counted(
    make: Make, *, asks: bool
) -> None:
    world = make(fates("failed", "lost", "failed", "completed", retries=2, asks=asks))
    conductor = world.conduct()
    step = conductor.fold.steps["s0"]
    assert (step.status, step.retries, step.child_run, world.runs[step.child]) == ("completed", 2, 4, 4)
    assert [call[3] for call in world.calls if call[2] == "retry"] == ([(0,), (1,)] if asks else [])


def test_callbacks_come_in_clearmls_order_with_its_arguments(make: Make) -> None:
    world = make(StepPlan(answers={"created": True, "pre": True}, callbacks=ALL))
    world.conduct()
    assert [call[2:] for call in world.calls] == [
        ("pre", ()),
        ("created", ()),
        ("status", ("pending", "queued")),
        ("status", ("queued", "running")),
        ("status", ("running", "completed")),
        ("completed", ()),
        ("post", ()),
    ]


def test_an_answer_is_on_the_log_before_the_next_function_is_called(make: Make) -> None:
    world = make(*[fates("failed", asks=True, retries=1, answers={"pre": True}, callbacks=ALL)] * 5)
    world.pace = 100
    at_a_call: list[tuple[int, int]] = []
    live = world.live

    def watched() -> None:
        answers = sum(isinstance(event, said.CallbackReturned) for event in world.told)
        at_a_call.append((answers, world.calls.total()))
        live()

    world.live = watched  # type: ignore[method-assign]
    world.conduct()
    assert all(calls - answers in {0, 1} for answers, calls in at_a_call)


def test_a_cached_outcome_is_not_taken_when_a_callback_has_changed_what_it_depends_on(make: Make) -> None:
    cached = StepPlan(cached=True, answers={"pre": True})
    assert statuses(make(cached).conduct()) == "cached"
    world = make(cached)
    nodes = world.nodes

    def changed() -> dict[str, Node]:
        made = nodes()
        made["s0"].callbacks["pre"] = lambda _pipeline, _node, parameters: parameters.update(x=1)
        return made

    world.nodes = changed  # type: ignore[method-assign]
    assert statuses(world.conduct()) == "completed"
    (entry,) = world.entries.values()
    assert [held.name for held in entry.spec.parameters] == ["General/x"]
    assert world.states[entry.task].spec == entry.spec


def test_a_callback_that_raises_says_nothing_and_a_retry_that_raises_says_no(make: Make) -> None:
    world = make(fates("failed", asks=True, retries=1, answers={"pre": False}, callbacks=ALL))
    nodes = world.nodes

    def broken() -> dict[str, Node]:
        made = nodes()
        made["s0"].callbacks = dict.fromkeys(made["s0"].callbacks, lambda *_: 1 // 0)
        return made

    world.nodes = broken  # type: ignore[method-assign]
    assert statuses(world.conduct()) == "failed"


def test_a_pipeline_that_is_to_stop_on_failures_stops_what_runs_and_skips_the_rest(make: Make) -> None:
    world = make(fates("failed"), fates("endless"), StepPlan(parents=(1,)), stops_on_fail=True)
    conductor = world.conduct()
    assert statuses(conductor) == "failed aborted skipped"
    assert conductor.result() == ("failed", "step 's0' failed")
    world.end("failed")
    assert statuses(world.conduct()) == "completed completed completed"


def test_what_was_aborted_or_may_fail_stops_nothing(make: Make) -> None:
    others = [StepPlan(), *(StepPlan(parents=(number,)) for number in range(2, 8))]
    world = make(fates("aborted"), fates("failed", goes_on_on_fail=True), *others, stops_on_fail=True)
    assert statuses(world.conduct()) == "aborted failed" + 7 * " completed"


def stopping(world: World, **about: Any) -> Callable[[object], None]:
    """Stop the pipeline, from outside, when its first step runs."""

    def stop(_: object) -> None:
        fold = world.conductor.fold
        if fold.steps["s0"].status == "running" and fold.stopping is None:
            world.conductor.stop("enough", **about)

    return stop


@pytest.mark.parametrize(("failed", "result"), [(False, "stopped"), (True, "failed")])
def test_who_stops_a_pipeline_has_what_runs_aborted(make: Make, *, failed: bool, result: str) -> None:
    world = make(fates("endless"), StepPlan(parents=(0,)))
    conductor = world.conduct(on_change=stopping(world, failed=failed))
    assert (statuses(conductor), conductor.result()[0]) == ("aborted skipped", result)


def test_what_a_controller_left_running_when_it_was_stopped_is_done_again_and_the_old_task_is_stopped(
    make: Make,
) -> None:
    world = make(fates("endless"), StepPlan(parents=(0,)))

    def leave(_: object) -> None:
        if world.conductor.fold.steps["s0"].status == "running":
            world.say(said.PipelineStopping, CONTROLLER, run=world.run, reason="aborted")
            raise LeftError

    conductor = world.conduct(on_change=leave)
    world.end("stopped")
    first = conductor.fold.steps["s0"].child
    conductor = world.conduct()
    assert statuses(conductor) == "completed completed"
    assert conductor.fold.steps["s0"].child != first
    assert world.states[first].run.status == "stopped"


def test_a_pipeline_that_takes_longer_than_it_may_is_stopped_as_a_failed_one(make: Make) -> None:
    world = make(StepPlan())
    world.time_limit = 60.0
    assert statuses(world.conduct(clock=lambda: datetime(2026, 1, 1, 0, 1, tzinfo=UTC))) == "completed"
    late = make(fates("endless"))
    late.time_limit = 60.0
    conductor = late.conduct(clock=lambda: datetime(2026, 1, 1, 0, 2, tzinfo=UTC))
    assert (statuses(conductor), conductor.result()) == ("aborted", ("failed", "it has taken longer than 60 s"))


def test_a_step_that_can_not_be_prepared_fails_with_the_reason_and_others_run(make: Make) -> None:
    world = make(StepPlan(), StepPlan())
    nodes = world.nodes

    def wrong() -> dict[str, Node]:
        made = nodes()
        made["s0"].parameters = {"General/x": "${s1.artifacts.none.url}"}
        made["s0"].parents = ["s1"]
        return made

    world.nodes = wrong  # type: ignore[method-assign]
    conductor = world.conduct()
    assert statuses(conductor) == "failed completed"
    assert "${s1.artifacts.none.url}" in conductor.fold.steps["s0"].message


def test_what_a_step_that_failed_lacks_is_nothing_to_those_that_run_all_the_same(make: Make) -> None:
    world = make(fates("failed", skips_on_fail=False), StepPlan(parents=(0,)))
    assert statuses(world.conduct()) == "failed completed"
    (entry,) = [entry for entry in world.entries.values() if entry.spec.name == "s1"]
    assert [held.value for held in entry.spec.parameters] in ([""], ["null"], ["None"])


def test_a_pipeline_ends_only_when_the_step_added_last_has_run(make: Make) -> None:
    world = make(StepPlan(), StepPlan())
    nodes, conductors = world.nodes(), []
    world.nodes = dict  # type: ignore[method-assign]

    def add(_: object) -> None:
        conductor = world.conductor
        conductors.append(conductor)
        if not conductor.is_complete:
            conductor.add(nodes["s0"])
            conductor.add(nodes["s1"])
            conductor.is_complete = True

    assert statuses(world.conduct(on_change=add, is_complete=False)) == "completed completed"


def later(world: World, looks: int, *, asks_again: bool = True) -> Callable[[object], None]:
    """Code that comes to its one step in its first run, and after some time (or never) in later ones."""
    nodes, seen = World.nodes(world), list[int]()
    world.nodes = dict  # type: ignore[method-assign]

    def come_to(_: object) -> None:
        seen.append(world.run)
        if world.run == 1 or seen.count(world.run) == looks:
            if world.run == 1 or asks_again:
                world.conductor.add(nodes["s0"])
            world.conductor.is_complete = True

    return come_to


@pytest.mark.parametrize("kill", [5, 11], ids=["before it ran", "while it ran"])
def test_code_that_comes_to_its_steps_later_takes_up_what_an_earlier_run_has_queued(make: Make, kill: int) -> None:
    world = make(fates("failed", retries=1), kills=((kill,),))
    conductor = world.conduct(on_change=later(world, 15 if kill == 11 else 2), is_complete=False)
    assert (world.deaths, statuses(conductor), conductor.fold.steps["s0"].retries) == (1, "completed", 1)


@pytest.mark.parametrize(("kill", "status", "result"), [(9, "aborted", "completed"), (11, "failed", "failed")])
def test_what_the_code_does_not_come_to_again_runs_no_more(make: Make, kill: int, status: str, result: str) -> None:
    world = make(fates("failed", retries=1), kills=((kill,),))
    conductor = world.conduct(on_change=later(world, 15, asks_again=False), is_complete=False)
    assert (world.deaths, statuses(conductor), conductor.result()[0]) == (1, status, result)
    world.end(result)
    assert statuses(world.conduct(on_change=later(world, 15), is_complete=False)) == "completed"


def test_steps_the_code_asks_for_no_more_are_skipped_and_made_up_for_when_it_does_again(make: Make) -> None:
    world = make(StepPlan(), StepPlan(), kills=((5,),))
    nodes = world.nodes()
    asked_for: dict[int, list[str]] = {1: ["s0", "s1"], 2: ["s0"], 3: ["s0", "s1"]}
    world.nodes = dict  # type: ignore[method-assign]

    def come_to(_: object) -> None:
        conductor = world.conductor
        for name in asked_for[world.run] if not conductor.is_complete else ():
            conductor.add(nodes[name])
        conductor.is_complete = True

    assert statuses(world.conduct(on_change=come_to, is_complete=False)) == "completed skipped"
    world.end("completed")
    assert statuses(world.conduct(on_change=come_to, is_complete=False)) == "completed completed"
