"""Thirteen weaknesses that ClearML's open autoscaler is known for, each a test that the scaler here has not got it."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import tasktape.scaler
from tasktape.events.errors import SettingsError
from tasktape.events.hardware import NOTHING, Hardware
from tasktape.events.instance_events import (
    InstanceAdopted,
    InstanceDraining,
    InstanceRequested,
    InstanceTerminating,
    Placement,
    ScalingDecided,
)
from tasktape.events.limit_events import LimitSet
from tasktape.events.log.port import LogRecord
from tasktape.events.settings import Settings
from tasktape.events.worker_events import DrainRequested, WorkerEvent
from tasktape.scaler.aws_boot import boot_for
from tasktape.scaler.aws_launch import arguments
from tasktape.scaler.aws_settings import machines_of
from tasktape.scaler.imds import Imds
from tasktape.scaler.provider import Order
from tasktape.scaler.settings import ScalerSettings
from tasktape.scaler.user_data import render
from tasktape.tests.support.imds import fake_imds
from tasktape.tests.support.scaler_world import NEVER, World
from tasktape.tests.support.scaling import scaler_of

MINUTE = 60.0
IDLE = 15 * MINUTE


def world_of(**settings: Any) -> World:
    return World(scaler_of(**settings))


def aws(**settings: Any) -> ScalerSettings:
    """A scaler of machines at AWS."""
    kind = {"instance_type": "g5.xlarge", "provider": {"ami_id": "ami-1"}}
    return ScalerSettings.model_validate(
        {"provider": "aws", "queues": {"q": [["m", 3]]}, "resources": {"m": kind}, "aws": settings}
    )


def script(scaler: ScalerSettings, own: Settings) -> str:
    """What a machine starts with, which whoever may describe it can read."""
    return render(
        boot_for(scaler, own, "m", machines_of(scaler.aws, {"m": scaler.resources["m"].provider})["m"], "0" * 32)
    )


def call(scaler: ScalerSettings) -> dict[str, Any]:
    """What EC2 is asked for."""
    order = Order("0" * 32, "m", scaler.resources["m"], Placement(instance_type="g5.xlarge"), ["q"])
    machine = machines_of(scaler.aws, {"m": scaler.resources["m"].provider})["m"]
    return arguments(order, scaler.name, machine, script(scaler, Settings(log="kafka://b:1", blobs="s3://b")))


def test_1_several_resources_for_a_queue_don_t_each_bring_all_that_is_needed() -> None:
    """There: 3 tasks, up to 2 of A and 5 of B: 5 machines."""
    world = world_of(queues={"q": [("a", 2), ("b", 5)]})
    world.enqueue(3, seconds=NEVER)
    world.run(10 * MINUTE)
    assert Counter(event.resource for event in world.said(InstanceRequested)) == {"a": 2, "b": 1}


def test_2_an_idle_worker_that_is_dead_does_not_starve_the_queue() -> None:
    """There: one dead, one busy, one task waiting: none launched in 195 minutes."""
    world = world_of(queues={"q": [("m", 3)]}, resources={"m": {"minimum": 2}})
    world.until(lambda: world.statuses() == {"ready": 2})
    world.enqueue(seconds=NEVER)
    world.until(lambda: len(world.busy()) == 1)
    (idle,) = [agent for agent in world.agents if not agent.runs]
    idle.dead = True
    world.run(MINUTE)
    world.enqueue()
    world.until(lambda: len(world.said(InstanceRequested)) == 3, MINUTE)
    world.until(lambda: world.waiting() == 0, 3 * MINUTE)
    elsewhere = world_of()
    elsewhere.agent().dead = True
    elsewhere.run(MINUTE)
    elsewhere.enqueue()
    elsewhere.until(lambda: len(elsewhere.said(InstanceRequested)) == 1, MINUTE)


def test_3_a_restart_does_not_forget_machines_that_boot() -> None:
    """There: a maximum of 1, a restart during the boot: 2 machines."""
    world = world_of(queues={"q": [("m", 1)]})
    world.enqueue(seconds=NEVER)
    world.until(lambda: len(world.provider.machines) == 1)
    for _ in range(5):
        world.restart()
        world.run(5)
    world.until(lambda: len(world.busy()) == 1, 5 * MINUTE)
    assert len(world.provider.machines) == 1


def test_4_an_entry_that_is_stuck_does_not_keep_idle_machines() -> None:
    """There: 5 idle, one entry that nobody takes: none ended within 100 minutes."""
    world = world_of()
    world.enqueue(5, seconds=MINUTE)
    world.until(lambda: world.statuses()["ready"] == 5)
    world.refused.update(world.enqueue())
    world.run(IDLE + 5 * MINUTE)
    assert (world.provider.up(), world.waiting()) == ([], 1)


def test_5_machines_whose_metadata_service_wants_tokens_are_known_and_not_taken_for_stuck() -> None:
    """There: the worker's id lacks the instance's, and the machine is ended after 30 minutes under its task."""
    scaler = aws()
    asked = call(scaler)
    assert asked["MetadataOptions"]["HttpTokens"] == "required"
    assert f'"instance": "{asked["ClientToken"]}"' in asked["UserData"]  # nobody has to ask anything for it
    with fake_imds() as (service, address):
        service.give_notice()
        assert Imds(address).notice() == "interruption"
        assert not service.asked[-1].endswith("(no token)")
    world = world_of()
    world.enqueue(seconds=NEVER)
    world.run(60 * MINUTE)
    assert (world.provider.ended_busy, len(world.busy()), world.said(InstanceTerminating)) == ([], 1, [])


def test_6_a_task_that_is_taken_while_a_machine_is_chosen_to_go_runs_to_its_end() -> None:
    """There: between the last look and the end of the machine the task is lost."""
    world = world_of(resources={"m": {"max_idle_time_min": 1}})
    world.enqueue(seconds=1)
    world.until(lambda: bool(world.said(InstanceDraining)))
    assert not world.said(DrainRequested)
    world.enqueue(seconds=40 * MINUTE)
    world.tick()
    (agent,) = world.busy()
    world.until(lambda: bool(world.said(DrainRequested)))
    world.run(30 * MINUTE)
    assert (world.busy(), world.provider.ended_busy) == ([agent], [])
    world.until(lambda: world.provider.up() == [], 20 * MINUTE)
    assert (world.waiting(), world.provider.ended_busy) == (0, [])


@pytest.mark.parametrize("lacking", ["zone", "instance_type", "spot"])
def test_7_a_spot_machine_that_is_taken_away_is_noticed_and_another_one_comes_from_where_there_are_any(
    lacking: str,
) -> None:
    """There: the task runs on for two hours by the records, and a lack of capacity has no way round."""
    kind = {"is_spot": True, "instance_type": ["big", "small"], "availability_zone": ["a", "b"]}
    world = world_of(resources={"m": kind})
    world.enqueue(seconds=NEVER)
    world.until(lambda: bool(world.busy()))
    (name,) = world.provider.machines
    first = world.provider.machines[name].described.placement

    def none_left(place: Placement) -> bool:
        return bool(getattr(place, lacking) == getattr(first, lacking))

    world.provider.refuse = lambda order: "capacity" if none_left(order.placement) else None
    world.provider.interrupt(name)
    world.until(lambda: bool(world.said(DrainRequested)), 90)
    world.enqueue(seconds=NEVER)
    world.until(lambda: len(world.provider.machines) == 2, MINUTE)
    assert [drained.interrupted for drained in world.said(InstanceDraining)] == [True]
    assert not none_left([*world.provider.machines.values()][-1].described.placement)


def test_8_machines_come_at_once_and_all_with_one_call() -> None:
    """There: up to 5 minutes until the next look, and then one machine after the other."""
    world = world_of(queues={"q": [("m", 50)]}, resources={"m": {"minimum": 3}})
    world.until(lambda: world.statuses() == {"ready": 3})
    asked_at, calls = world.now, world.provider.calls["launch"]
    world.enqueue(43, seconds=NEVER)
    world.until(lambda: len(world.provider.machines) == 43, 2)
    assert (world.now - asked_at <= 2, world.provider.calls["launch"], len(world.busy())) == (True, calls + 1, 3)


@pytest.mark.parametrize(
    "own",
    [
        {"kafka": {"sasl.password": "hunter22"}},
        {"schema_registry": "https://me:hunter22@registry"},
        {"git": {"github.com": {"token": "hunter22"}}},
    ],
)
def test_9_no_secret_is_in_what_a_machine_starts_with(own: dict[str, Any]) -> None:
    """There: keys and passwords in user data, and AWS keys among the parameters of a task."""
    settings = Settings.model_validate({"log": "kafka://b:1", "blobs": "s3://b", **own})
    kept = {"kafka": {"sasl.password": "ssm:/kafka"}, "schema_registry": "ssm:/registry"}
    asked = script(aws(settings=kept), settings)
    assert ("hunter22" in asked, "ssm:/kafka" in asked) == (False, True)
    if "git" not in own:
        with pytest.raises(SettingsError, match="is a secret"):
            script(aws(), settings)


def test_10_there_are_budgets_and_limits_of_users_and_no_machine_comes_for_what_they_forbid() -> None:
    """There: machines of each resource are all that is counted."""
    budgets = [({"instances": 2}, 2), ({"hourly_cost": 7.0}, 3), ({"instance_hours": 1.0}, 1)]
    for budget, most in budgets:
        world = world_of(resources={"m": {"hourly_cost": 2.0}}, budget=budget)
        world.enqueue(9, seconds=NEVER)
        world.run(5 * MINUTE)
        assert len(world.provider.up()) == most
    world = world_of()
    world.put(LimitSet(meta=world.user(), scope="user:ada", running=2))
    world.enqueue(9, seconds=NEVER)
    world.run(MINUTE)
    assert len(world.said(InstanceRequested)) == 2


def test_10_a_task_that_needs_hardware_gets_a_machine_that_has_it() -> None:
    """There: a queue is a kind of machine, and nobody looks at what a task needs."""
    kinds = {"small": {"memory_gb": 8.0}, "big": {"memory_gb": 64.0, "slots": 2}, "gpu": {"gpus": 1}}
    world = world_of(queues={"q": [("small", 9), ("big", 9), ("gpu", 9)]}, resources=kinds)
    world.enqueue(needs=Hardware(gpus=8), seconds=MINUTE)
    for needs, count in ((Hardware(gpus=1), 1), (Hardware(memory_gb=24.0), 4), (NOTHING, 2)):
        world.enqueue(count, needs=needs, seconds=20 * MINUTE)
    world.until(lambda: world.waiting() == 1, 10 * MINUTE)
    asked = Counter(event.resource for event in world.said(InstanceRequested))
    assert asked == {"small": 2, "big": 2, "gpu": 1}
    for agent in world.busy():
        assert all(world.needs[entry].fits(agent.hardware) for entry in agent.runs)
    world.run(IDLE + 30 * MINUTE)
    assert (world.provider.up(), world.waiting()) == ([], 1)
    assert "no resource is known to have 8 GPUs" in world.said(ScalingDecided)[-1].needs[0].held_back_by


def test_11_where_machines_come_from_is_a_port_and_the_mind_knows_none_of_them() -> None:
    """There: AWS in the open, others for money."""
    folder = Path(tasktape.scaler.__file__).parent
    minds = ("core", "policy", "ending", "observing", "seen", "reconcile", "service")
    imported = {
        (node.module or "").partition("_")[0]
        for module in minds
        for node in ast.walk(ast.parse((folder / f"{module}.py").read_text()))
        if isinstance(node, ast.ImportFrom)
    }
    assert "provider" in imported
    assert not imported & {"aws", "local", "boto3", "providers"}


def test_12_machines_bear_their_names_from_the_launch_on_and_orphans_are_found() -> None:
    """There: tags come after the launch, and nobody looks for what is left behind."""
    asked = call(aws())
    tags = {tag["Key"]: tag["Value"] for tag in asked["TagSpecifications"][0]["Tags"]}
    assert (tags["tasktape:scaler"], tags["tasktape:instance"]) == ("default", asked["ClientToken"])
    world = world_of()
    world.provider.add(Order("orphan", "m", world.settings.resources["m"], Placement(), ["q"]))
    world.until(lambda: bool(world.said(InstanceAdopted)), 2 * MINUTE)
    world.run(IDLE + 5 * MINUTE)
    assert world.provider.up() == []


def test_13_who_was_on_a_machine_that_is_gone_is_listed_no_longer() -> None:
    """There: for 10 minutes more, and counted."""
    world = world_of(resources={"m": {"max_idle_time_min": 1}})
    world.enqueue(seconds=1)
    world.until(lambda: bool(world.provider.machines) and not world.provider.up())
    (agent,) = world.agents
    assert [record.key for record in tombstones(world)] == [agent.name]
    assert [one for one, _ in world.scaler.core.seen.agents.living(world.now)] == []


def tombstones(world: World) -> list[LogRecord]:
    return [record for record, _ in world.log if record.topic == WorkerEvent.topic and record.value is None]
