"""What a scaler does grows with its machines, not with their square: lines of code run are counted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import pytest

from tasktape.events.instance_events import Placement
from tasktape.scaler.policy import decide
from tasktape.scaler.provider import Order
from tasktape.scaler.settings import Resource, ScalerSettings
from tasktape.scaler.situation import Machine, Situation
from tasktape.tests.support.counter import Counter
from tasktape.tests.support.scaler_world import NEVER, World
from tasktape.tests.support.scaling import machine, machines, scaler_of, situation

FEW, MANY = 50, 200
COUNTED = ("scaler/", "projections/instance_fold.py", "agent/appends.py")


def lines_of(do: Callable[[], object]) -> int:
    counter, before = Counter(*COUNTED), sys.gettrace()
    sys.settrace(counter)
    try:
        do()
    finally:
        sys.settrace(before)
    return counter.lines


def limited(count: int) -> tuple[ScalerSettings, Situation]:
    return scaler_of({"q": [("m", count), ("n", count)]}), situation(9 * count, machines(count, busy=1))


def lowered(count: int) -> tuple[ScalerSettings, Situation]:
    return scaler_of({"q": [("m", count // 2)]}), situation(0, machines(count, busy=1))


def priced(count: int) -> tuple[ScalerSettings, Situation]:
    kind = {"hourly_cost": 1.0, "availability_zone": ["a", "b"]}
    return scaler_of({"q": [("m", 9 * count)]}, {"m": kind}, budget={"hourly_cost": 2.0 * count}), situation(9 * count)


def idle(count: int) -> tuple[ScalerSettings, Situation]:
    there: list[Machine] = [machine(f"i{place}", idle=1e5, placement=Placement(zone="a")) for place in range(count)]
    return scaler_of({"q": [("m", count)]}), situation(count // 2, there)


@pytest.mark.parametrize("case", [limited, lowered, priced, idle])
def test_a_decision_costs_each_machine_the_same(case: Callable[[int], tuple[ScalerSettings, Situation]]) -> None:
    few, many = (lines_of(partial(decide, seen, scaler)) for scaler, seen in (case(FEW), case(MANY)))
    assert many < 1.1 * MANY / FEW * few


def test_the_loop_costs_each_machine_the_same_from_the_request_to_its_work() -> None:
    def story(count: int) -> None:
        world = World(scaler_of({"q": [("m", count)]}), boot=10.0)
        world.enqueue(2 * count, seconds=NEVER)
        world.until(lambda: len(world.busy()) == count, 60)
        assert world.waiting() == count

    few, many = (lines_of(partial(story, count)) for count in (FEW, MANY))
    assert many < 1.2 * MANY / FEW * few


def test_a_long_list_of_machines_is_not_asked_for_all_the_time_while_some_of_them_end() -> None:
    world = World(scaler_of({"q": [("m", 9000)]}), boot=NEVER)
    for number in range(2500):
        world.provider.add(Order(f"orphan-{number}", "m", Resource(), Placement(), ["q"]))
    world.until(lambda: world.statuses() == {"booting": 2500})
    world.provider.ends_at_once = False
    world.now += 3600.0
    world.until(lambda: world.statuses()["terminating"] > 0)
    before = world.provider.calls["describe"]
    world.run(20.0)
    assert world.provider.calls["describe"] - before <= 3
