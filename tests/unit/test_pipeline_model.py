"""Random pipelines, failures, deaths and continuations, against a plain model of what must run.

`--hypothesis-seed=N` tells a story again; Hypothesis prints the plan that failed.
"""

from __future__ import annotations

import itertools
import uuid
from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from tasktape.events.log.memory import MemoryLog
from tasktape.events.parts import TaskSpec
from tasktape.events.pipeline_events import (
    PipelineContinued,
    StepCached,
    StepFinished,
    StepQueued,
    StepSkipped,
)
from tasktape.events.queue_events import EntryEnqueued
from tasktape.events.task_events import RunCompleted, RunFailed, RunStarted
from tasktape.producers.parameters import value_of
from tasktape.producers.pipelines.conductor import Conductor
from tasktape.tests.support.pipeline_plans import Expected, Plan, StepPlan, fails, forecast, plans
from tasktape.tests.support.pipeline_world import CONTROLLER, MARK, TAKEN, LeftError, World

GENERATIONS = 3


@pytest.fixture(autouse=True)
def _no_log_is_left() -> Iterator[None]:
    yield
    for name in [name for name in MemoryLog._stores if name.startswith("pipeline-")]:
        MemoryLog.forget(name)


def world_of(plan: Plan) -> World:
    return World(plan, f"pipeline-{uuid.uuid4().hex}", straight=True)


def statuses(conductor: Conductor) -> list[str]:
    return [conductor.fold.steps[name].status for name in conductor.nodes]


@settings(max_examples=100)
@given(plans())
def test_what_runs_is_what_must_whatever_fails_and_whenever_the_controller_dies(plan: Plan) -> None:
    world = world_of(plan)
    for generation in range(GENERATIONS):
        expected = forecast(plan, generation)
        conductor = world.conduct()
        assert statuses(conductor) == [one.status for one in expected]
        assert conductor.result()[0] == ("failed" if fails(plan, expected) else "completed")
        check_runs(world, expected, generation)
        check_calls(world, expected, generation)
        world.end(conductor.result()[0])
    check_order(world)
    check_what_was_passed_on(world)


@settings(max_examples=40)
@given(plans(may_stop=True, most=25))
def test_a_pipeline_that_was_stopped_does_the_rest_when_it_is_continued(plan: Plan) -> None:
    world = world_of(plan)
    whole = forecast(Plan(tuple(without_trouble(step) for step in plan.steps)), 0)
    for generation in range(GENERATIONS):
        conductor = world.conduct(on_change=lambda _: interfere(world))
        check_chains(world, conductor, generation)
        world.end(conductor.result()[0])
    assert not any(isinstance(event, RunFailed) and event.reason == "nobody has stopped it" for event in world.told)
    assert statuses(conductor) == [one.status for one in whole]
    assert conductor.result() == ("completed", "")
    check_order(world)
    check_what_was_passed_on(world)


def interfere(world: World) -> None:
    """Stop the pipeline in its first generation when it is time, and end its controller when that takes too long."""
    plan, fold = world.plan, world.conductor.fold
    if plan.stop_after and not world.generation and world.polls > plan.stop_after:
        if fold.stopping is None and fold.open:
            world.conductor.stop("enough", failed=False)
        if world.polls > plan.stop_after + plan.patience:
            raise LeftError


def without_trouble(step: StepPlan) -> StepPlan:
    return StepPlan(parents=step.parents, answers=step.answers, cached=step.cached)


def check_runs(world: World, expected: list[Expected], generation: int) -> None:
    """Each step has one task in each generation in which it is done, and that has run as often as it must."""
    children = {number: child for child, (number, born) in world.step_of.items() if born == generation}
    assert len(children) == sum(born == generation for _, born in world.step_of.values())
    done = {number: one.runs for number, one in enumerate(expected) if one.generation == generation and one.runs}
    assert {number: world.runs[child] for number, child in children.items()} == done


def check_calls(world: World, expected: list[Expected], generation: int) -> None:
    """Each callback was called once for each occasion; once more for each time that the controller died in it."""
    due: dict[tuple[str, str], list[object]] = defaultdict(list)
    for number, one in enumerate(expected):
        step, name = world.plan.steps[number], f"s{number}"
        if one.generation != generation:
            continue
        for callback in one.asked:
            due[name, callback].append(())
        if one.retry_calls:
            due[name, "retry"] += [(retries,) for retries in range(one.retry_calls)]
        for callback in ("post", "completed"):
            if callback in step.callbacks and one.status != "skipped":
                due[name, callback].append(())
    called: dict[tuple[str, str], list[object]] = defaultdict(list)
    for (born, name, callback, detail), count in sorted(world.calls.items(), key=str):
        if born == generation and callback != "status":
            called[name, callback].append(detail)
            assert count - 1 <= world.interrupted[born, name, callback, detail]
    assert called == due


def check_chains(world: World, conductor: Conductor, generation: int) -> None:
    """Calls about a step's state tell all its states, each after the one before, unless the controller left early."""
    for name, state in conductor.fold.steps.items():
        told = [call[3] for call in world.calls if call[:3] == (generation, name, "status")]
        if told:
            chain = list(itertools.pairwise(("pending", *state.history)))
            assert set(told) == set(chain) or (world.left and set(told) <= {*chain})


def check_order(world: World) -> None:
    """A step is decided on when its parents are over, runs when that is written, and each run starts once."""
    over: set[str] = set()
    children: set[str] = set()
    starts: set[tuple[str, int]] = set()
    by_step: dict[tuple[int, str], str] = {}
    generation = 0
    for event in world.told:
        match event:
            case PipelineContinued():
                generation += 1
                over -= set(event.steps)
            case StepQueued() | StepCached():
                assert over.issuperset(f"s{parent}" for parent in world.plan.steps[int(event.step[1:])].parents)
                assert by_step.setdefault((generation, event.step), event.child) == event.child
                children.add(event.child)
                over |= {event.step} if isinstance(event, StepCached) else set()
            case StepFinished() | StepSkipped():
                over.add(event.step)
            case EntryEnqueued():
                assert event.task in children
            case RunStarted() if event.task != CONTROLLER:
                assert (event.task, event.run) not in starts
                starts.add((event.task, event.run))


def check_what_was_passed_on(world: World) -> None:
    """Each task got what its step refers to, from the runs that count, and what its callbacks have changed."""
    for entry in world.entries.values():
        number, generation = world.step_of[entry.task]
        step, given = world.plan.steps[number], parameters(entry.spec)
        if step.parents and not step.cached:
            check_passed_on(world, step.parents[0], generation, given[TAKEN])
        if step.answers:
            assert given[MARK] == world.marks[generation, f"s{number}"]
            assert all(callback in given[MARK] for callback in step.answers)


def check_passed_on(world: World, parent: int, generation: int, value: object) -> None:
    """What a step has got from its parent is what the parent's last task has made: nothing, maybe, if that failed."""
    if world.plan.steps[parent].cached:
        assert value in {f"mem://cached-s{parent}", None}
        return
    tasks = {born: child for child, (number, born) in world.step_of.items() if number == parent and born <= generation}
    task = tasks[max(tasks)] if tasks else ""
    completed = any(isinstance(event, RunCompleted) and event.task == task for event in world.told)
    assert value == world.made[task] if completed else value in {None, world.made.get(task)}


def parameters(spec: TaskSpec) -> dict[str, object]:
    return {held.name: value_of(held) for held in spec.parameters}
