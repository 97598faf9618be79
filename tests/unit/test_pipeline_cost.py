"""What a pipeline costs its controller grows with its steps, not with their square: lines of code run are counted."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence

import pytest

from tasktape.events.log.memory import MemoryLog
from tasktape.tests.support.counter import Counter
from tasktape.tests.support.pipeline_plans import Plan, StepPlan
from tasktape.tests.support.pipeline_world import World

COUNTED = ("producers/controllers/", "producers/pipelines/", "projections/pipeline_fold.py")
FEW, MANY = 40, 160


def lines_of(steps: Sequence[StepPlan], pace: int) -> int:
    name = f"pipeline-{uuid.uuid4().hex}"
    world, counter, before = World(Plan(tuple(steps)), name, pace=pace), Counter(*COUNTED), sys.gettrace()
    sys.settrace(counter)
    try:
        conductor = world.conduct()
    finally:
        sys.settrace(before)
        MemoryLog.forget(name)
    assert conductor.result() == ("completed", "")
    return counter.lines


def wide(count: int) -> list[StepPlan]:
    return [StepPlan()] * count


def deep(count: int) -> list[StepPlan]:
    return [StepPlan(parents=(number - 1,) if number else ()) for number in range(count)]


def called_back(count: int) -> list[StepPlan]:
    callbacks = frozenset({"status", "post", "completed"})
    return [StepPlan(fates=(("failed",),), asks=True, retries=1, answers={"pre": True}, callbacks=callbacks)] * count


def fan(count: int) -> list[StepPlan]:
    """Many between two."""
    middle = [StepPlan(parents=(0,))] * (count - 2)
    return [StepPlan(), *middle, StepPlan(parents=tuple(range(1, count - 1)))]


@pytest.mark.parametrize("pace", [1, 10_000], ids=["one by one", "all at once"])
@pytest.mark.parametrize("shape", [wide, deep, fan, called_back])
def test_the_controllers_work_grows_with_the_steps(shape: Callable[[int], list[StepPlan]], pace: int) -> None:
    few, many = lines_of(shape(FEW), pace), lines_of(shape(MANY), pace)
    assert many < 1.15 * MANY / FEW * few
