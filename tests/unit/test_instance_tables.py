"""Machines as tables show them: what scalers asked for and why, what became of it, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tasktape.events import instance_events
from tasktape.events.instance_events import InstanceEvent
from tasktape.events.task_events import RunCompleted, RunStarted
from tasktape.events.worker_events import WorkerHeartbeat
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


def test_what_keeps_a_resource_below_its_minimum_is_told_until_it_is_over(world: World) -> None:
    world.say(instance_events.ScalingDecided, scaler="s", needs=[], lacking={"m": "the budget of 2 machines"})
    assert world.ask.scalers()[0].lacking == {"m": "the budget of 2 machines"}
    world.decide(1)
    assert world.ask.scalers()[0].lacking == {}


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


def test_a_machine_is_idle_from_when_it_serves_until_its_agent_holds_runs_and_again_once_they_are_over(
    world: World,
) -> None:
    world.request()
    world.machine(instance_events.InstanceReady, worker="w")
    assert (world.row().running, world.row().idle_since) == (0, None), "nothing was heard of its agent"
    world.say(WorkerHeartbeat, worker="w", queues=["train"], interval=5.0)
    assert (world.row().running, world.row().idle_since) == (0, START + timedelta(seconds=3))
    world.task("t")
    world.say(RunStarted, task="t", run=1, worker="w")
    run = {"task": "t", "run": 1, "queue": "train", "entry": "e", "partition": 0}
    held = [{**run, "enqueued_offset": 0, "claim_offset": 1}]
    world.say(WorkerHeartbeat, worker="w", queues=["train"], interval=5.0, runs=held)
    assert (world.row().running, world.row().idle_since) == (1, None)
    over = world.say(RunCompleted, task="t", run=1)
    world.say(WorkerHeartbeat, worker="w", queues=["train"], interval=5.0)
    assert (world.row().running, world.row().idle_since) == (0, over.meta.occurred_at)
    world.machine(instance_events.InstanceTerminated)
    assert (world.row().running, world.row().idle_since) == (0, None)


def test_decisions_are_told_the_latest_first_with_what_held_them_back(world: World) -> None:
    world.request()
    world.decide(3, "gpu: its maximum of 2")
    world.decide(3, "gpu: its maximum of 2")
    world.machine(instance_events.InstanceLaunched, machine="i-7")
    world.machine(instance_events.InstanceDraining, reason="nothing to do")
    world.machine(instance_events.InstanceTerminating, reason="its agent has left")
    told = [(row.step, row.instance, row.queue, row.count, row.reason) for row in world.ask.scaling_steps("s")]
    assert told == [
        ("end", "i", "", 1, "its agent has left"),
        ("drain", "i", "", 1, "nothing to do"),
        ("hold back", "", "train", 3, "gpu: its maximum of 2"),
        ("launch", "i", "", 1, "2 waiting in train"),
        ("lead", "", "", 1, "a"),
    ]
    launch = world.ask.scaling_steps("s")[-2]
    assert (launch.at, launch.resource, launch.instance_type, launch.place, launch.spot) == (
        START + timedelta(seconds=2),
        "gpu",
        "g5.xlarge",
        "a",
        True,
    )
    assert [row.step for row in world.ask.scaling_steps("s", limit=1)] == ["end"]
    assert world.ask.scaling_steps("another") == []


def test_launches_that_came_to_nothing_are_counted_by_placement_with_the_latest_message(world: World) -> None:
    for number, message in enumerate(("no g5", "still no g5")):
        world.request(f"i{number}")
        world.machine(instance_events.InstanceFailed, f"i{number}", kind="capacity", message=message)
    world.request("slow")
    world.machine(instance_events.InstanceLaunched, "slow", machine="i-7")
    world.machine(instance_events.InstanceTerminating, "slow", reason="no agent on it 30 min after its launch")
    world.machine(instance_events.InstanceTerminated, "slow")
    world.request("good")
    world.machine(instance_events.InstanceReady, "good", worker="w")
    world.machine(instance_events.InstanceTerminated, "good")
    told = [(row.kind, row.count, row.message, row.place, row.spot) for row in world.ask.failed_launches("s")]
    assert told == [
        ("spin_up", 1, "no agent on it 30 min after its launch", "a", True),
        ("capacity", 2, "still no g5", "a", True),
    ]


def test_what_is_spent_in_the_budgets_period_is_told_beside_what_the_budget_allows(world: World) -> None:
    budget = {"instances": 5, "hourly_cost": 20.0, "instance_hours": 0.5, "period_hours": 4 / 3600}
    world.say(instance_events.ScalerLeads, scaler="t", budget=budget)
    about = {"scaler": "t", "instance": "i"}
    world.say(instance_events.InstanceRequested, **about, **KIND)
    world.say(instance_events.InstanceLaunched, **about, machine="m")
    for _ in range(4):
        world.decide(0)
    scaler = next(row for row in world.ask.scalers() if row.name == "t")
    assert (scaler.budget_instances, scaler.budget_hourly_cost, scaler.budget_hours) == (5, 20.0, 0.5)
    assert [scaler.spent, scaler.period_spent] == pytest.approx([4.0, 4.0])
    assert 3600 * scaler.period_hours_used == pytest.approx(4.0), "it was asked for 5 s ago, before the period"
    world.decide(0)
    scaler = next(row for row in world.ask.scalers() if row.name == "t")
    assert [scaler.spent, scaler.period_spent] == pytest.approx([5.0, 4.0])
    unlimited = next(row for row in world.ask.scalers() if row.name == "s")
    assert (unlimited.period_hours, unlimited.budget_instances, unlimited.budget_hours) == (24.0, None, None)


def test_machines_are_counted_by_how_far_they_had_come_at_every_moment(world: World) -> None:
    world.request("i")
    world.request("j")
    world.machine(instance_events.InstanceLaunched, "i", machine="m")
    world.machine(instance_events.InstanceFailed, "j", kind="capacity")
    world.machine(instance_events.InstanceReady, "i", worker="w")
    world.machine(instance_events.InstanceDraining, "i", reason="idle")
    world.machine(instance_events.InstanceTerminating, "i", reason="its agent has left")
    world.machine(instance_events.InstanceTerminated, "i")
    counts = [
        (row.at - START, row.requested, row.booting, row.ready, row.draining) for row in world.ask.machine_counts("s")
    ]
    assert counts == [
        (timedelta(seconds=2), 1, 0, 0, 0),
        (timedelta(seconds=3), 2, 0, 0, 0),
        (timedelta(seconds=4), 1, 1, 0, 0),
        (timedelta(seconds=5), 0, 1, 0, 0),
        (timedelta(seconds=6), 0, 0, 1, 0),
        (timedelta(seconds=7), 0, 0, 0, 1),
        (timedelta(seconds=9), 0, 0, 0, 0),
    ]
    since = world.ask.machine_counts("s", START + timedelta(seconds=5))
    assert [(row.at - START, row.booting) for row in since][:2] == [
        (timedelta(seconds=5), 1),
        (timedelta(seconds=6), 0),
    ]
    assert [row.at - START for row in world.ask.machine_counts("s", samples=1)] == [timedelta(seconds=9)]
    assert world.ask.machine_counts("another") == []
