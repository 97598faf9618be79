"""What a scaler promises over time, whatever befalls it: stories of arrivals and faults, told by the real `Core`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tasktape.events.instance_events import (
    FailureKind,
    InstanceDraining,
    InstanceRequested,
    InstanceTerminating,
    Placement,
)
from tasktape.scaler.provider import Order
from tasktape.scaler.settings import Resource, ScalerSettings
from tasktape.tests.support.scaler_world import TICK, FakeMachine, World
from tasktape.tests.support.scaling import scaler_of

IDLE, SPIN_UP, SILENT = 2, 5, 3
"""Minutes."""
SETTLED = 60.0 * (IDLE + SPIN_UP + SILENT) + 300.0
MOST, DOLLARS = 5, 4.0
FAULTS = (
    "restart", "kill an agent", "interrupt", "refuse", "throttle", "mute", "outage", "cut off", "orphan", "lose", "hide"
)  # fmt: skip


def scaler() -> ScalerSettings:
    kinds: dict[str, dict[str, Any]] = {
        "m": {"hourly_cost": 1.0, "availability_zone": ["a", "b"]},
        "n": {"hourly_cost": 0.5, "slots": 2},
    }
    limits = {"max_idle_time_min": IDLE, "max_spin_up_time_min": SPIN_UP, "max_silence_min": SILENT}
    budget = {"instances": MOST, "hourly_cost": DOLLARS}
    return scaler_of({"q": [("m", 3), ("n", 3)], "r": [("n", 2)]}, kinds, budget=budget, **limits)


class Story:
    """A world that things befall. Machines that the provider has or hides on its own don't count against the scaler."""

    def __init__(self) -> None:
        self.world = World(scaler())
        self.planted: set[str] = set()
        self.broken: list[str] = []

    def run(self, seconds: float) -> None:
        """Let time pass, and look at each moment whether all limits hold."""
        for _ in range(round(seconds / TICK)):
            self.world.tick()
            self.broken.extend(self._broken([one for one in self.world.provider.up() if not self._is_planted(one)]))

    def _is_planted(self, one: FakeMachine) -> bool:
        return one.described.instance in self.planted

    def _broken(self, up: Sequence[FakeMachine]) -> Iterator[str]:
        settings, found = self.world.settings, [one.described for one in up]
        for name in settings.resources:
            if sum(each.resource == name for each in found) > settings.maximum(name):
                yield f"more than the maximum of {name}"
        if len(found) > MOST:
            yield "more than the budget of machines"
        if sum(each.placement.hourly_cost for each in found) > DOLLARS:
            yield "more than the budget of cost"
        if len({each.instance for each in found}) < len(found):
            yield "two machines for one order"

    def befall(self, fault: str) -> None:
        """Have something happen."""
        up = [name for name, one in self.world.provider.machines.items() if one.is_up]
        match fault:
            case "restart":
                self.world.restart()
            case "mute":
                self.world.scaler.mute = True
            case "cut off":
                self.world.scaler.is_cut_off = not self.world.scaler.is_cut_off
            case "kill an agent":
                for agent in self.world.busy()[:1]:
                    agent.dead = True
                    self.world.bury(agent)
            case _:
                self._befall_provider(fault, up)

    def _befall_provider(self, fault: str, up: Sequence[str]) -> None:
        provider = self.world.provider
        match fault:
            case "interrupt" | "lose" if up:
                {"interrupt": provider.interrupt, "lose": provider.end}[fault](up[0])
            case "hide" if up:
                self.planted.add(provider.machines[up[0]].described.instance)
                provider.hidden.add(up[0])
            case "refuse" | "throttle":
                provider.refuse = sometimes("capacity" if fault == "refuse" else "throttled")
            case "outage":
                provider.is_down = not provider.is_down
            case "orphan":
                self.planted.add(f"orphan-{len(provider.machines)}")
                provider.add(Order(f"orphan-{len(provider.machines)}", "m", Resource(), Placement(), ["q"]))

    def settle(self) -> None:
        """Mend all that is broken, start the scaler once more, and wait."""
        world, provider = self.world, self.world.provider
        provider.refuse, provider.is_down = (lambda _order: None), False
        provider.hidden.clear()
        world.restart()
        self.run(SETTLED)


def sometimes(kind: FailureKind) -> Callable[[Order], FailureKind | None]:
    """Refuse every other order."""
    answers = cycle([kind, None])
    return lambda _order: next(answers)


happenings = st.lists(
    st.tuples(
        st.sampled_from(FAULTS) | st.tuples(st.sampled_from(["q", "r"]), st.integers(1, 7), st.sampled_from([5, 90])),
        st.sampled_from([0.5, 1.0, 5.0, 70.0, 150.0]),
    ),
    min_size=3,
    max_size=8,
)


@settings(max_examples=15, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # short as they are, none is shrunk
@given(happenings)
def test_whatever_befalls_a_scaler_limits_hold_no_work_is_ended_and_after_a_restart_all_is_settled(
    befallen: Sequence[tuple[str | tuple[str, int, int], float]],
) -> None:
    story = Story()
    for what, pause in befallen:
        if isinstance(what, str):
            story.befall(what)
        else:
            queue, count, seconds = what
            story.world.enqueue(count, queue, float(seconds))
        story.run(pause)
    story.settle()
    world = story.world
    assert (story.broken, world.provider.ended_busy) == ([], [])
    assert (world.waiting("q"), world.waiting("r"), world.busy()) == (0, 0, [])
    assert (world.provider.up(), [state.instance for state in world.states() if not state.over]) == ([], [])


@pytest.mark.parametrize("lasting", [[5.0], [20.0, 45.0, 300.0], [5.0, 100.0]])
def test_steady_load_neither_brings_nor_ends_machines(lasting: list[float]) -> None:
    """As many tasks run all the time as `lasting` is long, each followed by another one at once."""
    world = World(scaler())
    go_on(world, lasting, 900.0)
    settled = told(world)
    go_on(world, lasting, 1800.0)
    assert (told(world), len(world.busy()) > 0) == (settled, True)


def told(world: World) -> list[int]:
    """How many machines were asked for, drained and ended so far."""
    return [len(world.said(kind)) for kind in (InstanceRequested, InstanceDraining, InstanceTerminating)]


def go_on(world: World, lasting: Sequence[float], seconds: float) -> None:
    """Let time pass, and have a task follow each that has ended."""
    for _ in range(round(seconds / TICK)):
        running = sum(len(agent.runs) for agent in world.agents) + world.waiting()
        for _ in range(len(lasting) - running):
            world.enqueue(seconds=lasting[len(world.durations) % len(lasting)])
        world.tick()
