"""Machines as tables show them: what scalers asked for and why, what became of it, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tasktape.events import instance_events
from tasktape.events.instance_events import InstanceEvent
from tasktape.projections.instance_rows import InstanceRow
from tasktape.tests.support.projected import START, Projected

PLACEMENT = {"instance_type": "g5.xlarge", "zone": "a", "spot": True, "hourly_cost": 3600.0}
KIND = {"provider": "aws", "resource": "gpu", "queues": ["train", "test"], "placement": PLACEMENT, "slots": 2}


class World(Projected):
    """A scaler speaks of its machines."""

    def lead(self, session: str) -> None:
        self.session = session
        self.say(instance_events.ScalerLeads, scaler="s")

    def machine(self, said: type[InstanceEvent], instance: str = "i", /, **fields: Any) -> None:
        self.say(said, scaler="s", instance=instance, **fields)

    def request(self, instance: str = "i") -> None:
        self.machine(instance_events.InstanceRequested, instance, **KIND, reason="2 waiting in train")

    def decide(self, waiting: int, held_back_by: str = "", **instances: int) -> None:
        needs = [
            {"queue": "train", "waiting": waiting, "free": 1, "missing": waiting, "held_back_by": held_back_by},
            {"queue": "test", "waiting": 1, "stuck": 1},
        ]
        self.say(instance_events.ScalingDecided, scaler="s", needs=needs, instances=instances, hourly_cost=0.5)

    def row(self) -> InstanceRow:
        (row,) = self.ask.instances("s", gone=True)
        return row


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.lead("first")
    yield made
    made.close()


def test_a_machine_shows_how_far_it_has_come_and_why(world: World) -> None:
    world.request()
    row = world.row()
    assert (row.provider, row.resource, row.queues, row.slots) == ("aws", "gpu", ("train", "test"), 2)
    assert (row.instance_type, row.zone, row.spot, row.hourly_cost) == ("g5.xlarge", "a", True, 3600.0)
    assert (row.status, row.reason, row.machine, row.cost) == ("requested", "2 waiting in train", "", 0.0)
    world.machine(instance_events.InstanceLaunched, machine="i-7", zone="b")
    world.machine(instance_events.InstanceReady, worker="w")
    row = world.row()
    assert (row.status, row.machine, row.zone, row.worker) == ("ready", "i-7", "b", "w")
    world.machine(instance_events.InstanceDraining, reason="nothing to do")
    world.machine(instance_events.InstanceTerminating, reason="its agent has left")
    assert (world.row().status, world.row().reason) == ("terminating", "its agent has left")
    world.machine(instance_events.InstanceTerminated, reason="it was ended")
    row = world.row()
    moments = (row.requested_at, row.launched_at, row.ready_at, row.drained_at, row.ended_at)
    assert moments == tuple(START + timedelta(seconds=second) for second in (2, 3, 4, 5, 7))
    assert (row.status, row.reason, row.failure) == ("terminated", "it was ended", None)
    assert world.ask.instances("s") == []


def test_a_machine_costs_from_its_launch_to_its_end_and_else_up_to_what_the_log_tells_of(world: World) -> None:
    world.request()
    world.machine(instance_events.InstanceLaunched, machine="i-7")
    world.machine(instance_events.InstanceReady, worker="w")
    assert world.row().cost == 1.0
    (scaler,) = world.ask.scalers()
    assert (scaler.machines, scaler.hourly_cost, scaler.spent) == (1, 3600.0, 1.0)
    world.machine(instance_events.InstanceTerminated)
    world.decide(1)
    assert world.row().cost == 2.0
    (scaler,) = world.ask.scalers()
    assert (scaler.machines, scaler.hourly_cost, scaler.spent) == (0, 0.0, 2.0)


def test_a_machine_that_never_came_cost_nothing_and_says_what_was_in_the_way(world: World) -> None:
    world.request()
    world.machine(instance_events.InstanceFailed, kind="capacity", message="no g5 in a")
    row = world.row()
    assert (row.status, row.failure, row.reason, row.cost) == ("failed", "capacity", "no g5 in a", 0.0)


def test_only_the_leaders_decisions_count(world: World) -> None:
    world.request()
    world.lead("second")
    world.session = "first"
    world.request("j")
    world.decide(5)
    world.machine(instance_events.InstanceLaunched, machine="i-7")
    assert [(row.instance, row.status) for row in world.ask.instances()] == [("i", "booting")]
    assert world.ask.needs() == []
    (scaler,) = world.ask.scalers()
    assert (scaler.name, scaler.led_by, scaler.led_since) == ("s", "a", START + timedelta(seconds=3))
    reasons = {event.reason for event in world.ask.events() if event.verdict == "rejected"}
    assert reasons == {"a does not lead the scaler s"}


def test_what_a_scaler_said_last_of_each_queue_is_why(world: World) -> None:
    world.decide(7)
    world.decide(3, "its maximum of 2", ready=2)
    first, second = world.ask.needs()
    assert (first.queue, first.waiting, first.free, first.missing) == ("train", 3, 1, 3)
    assert (first.held_back_by, second.queue, second.stuck) == ("its maximum of 2", "test", 1)
    assert first.decided_at == START + timedelta(seconds=3)


def test_what_a_scaler_saw_is_a_curve_thinned_to_what_can_be_shown(world: World) -> None:
    for waiting in range(20):
        world.decide(waiting, ready=waiting)
    whole = world.ask.decisions("s")
    assert [(one.waiting, one.stuck, one.instances) for one in whole][:2] == [
        (1, 1, {"ready": 0}),
        (2, 1, {"ready": 1}),
    ]
    assert [one.waiting for one in world.ask.decisions("s", samples=4)] == [5, 10, 15, 20]
    assert [one.waiting for one in world.ask.decisions("s", START + timedelta(seconds=20))] == [19, 20]
    assert world.ask.decisions("another") == []


def test_machines_of_two_scalers_are_told_apart(world: World) -> None:
    world.request()
    world.say(instance_events.ScalerLeads, scaler="t")
    world.say(instance_events.InstanceRequested, scaler="t", instance="i", **KIND)
    assert {(row.scaler, row.status) for row in world.ask.instances()} == {("s", "requested"), ("t", "requested")}
    assert [row.scaler for row in world.ask.instances(limit=1)] == ["t"]
