"""A scaler's mind with machines at AWS, through real calls of boto3: what it believes and what EC2 has stay the same.

Time and agents are the test's; machines are moto's, behind an EC2 that refuses and loses what it is told to.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import boto3
import pytest

from tasktape.events.instance_events import InstanceAdopted, InstanceFailed, InstanceTerminated, Placement
from tasktape.events.settings import Settings
from tasktape.scaler.aws import AwsProvider
from tasktape.scaler.provider import Described, Launched, Order, Refused
from tasktape.scaler.settings import ScalerSettings
from tasktape.tests.support.ec2 import Ec2, ec2_before
from tasktape.tests.support.scaler_world import FakeMachine, FakeProvider, World

OWN = Settings(log="kafka://broker:9092", blobs="s3://bucket")


class AtAws(FakeProvider):
    """Machines at AWS, on which the world's agents boot."""

    def __init__(self, world: World, aws: AwsProvider) -> None:
        super().__init__(world)
        self._aws = aws

    def launch(self, orders: Sequence[Order]) -> list[Launched | Refused]:
        outcomes = self._aws.launch(orders)
        self.describe()
        return outcomes

    def describe(self) -> list[Described]:
        described = self._aws.describe()
        for each in described:
            machine = self.machines.setdefault(each.machine, FakeMachine(each, self.world.now + self.world.boot))
            machine.described = each
            if machine.agent is not None and not machine.is_up:
                machine.agent.dead = True
        return described

    def terminate(self, machines: Sequence[str]) -> None:
        self._aws.terminate(machines)
        self.describe()


@pytest.fixture
def ec2(s3: Any, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ec2]:
    """The service, for every client of this test's."""
    assert s3
    with ec2_before(s3_endpoint) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", service.url)
        yield service


@pytest.fixture
def scaler() -> ScalerSettings:
    kind = {"instance_type": "m5.large", "is_spot": True, "availability_zone": ["us-east-1a", "us-east-1b"]}
    return ScalerSettings.model_validate(
        {
            "name": uuid.uuid4().hex,
            "provider": "aws",
            "queues": {"q": [["m", 5]]},
            "resources": {"m": kind},
            "aws": {"ami_id": "ami-03cf127a", "region": "us-east-1"},
        }
    )


@pytest.fixture
def aws(ec2: Ec2, scaler: ScalerSettings) -> Iterator[AwsProvider]:
    assert ec2.url
    with closing(AwsProvider(scaler, OWN, lambda _seconds: None)) as provider:
        yield provider


@pytest.fixture
def world(aws: AwsProvider, scaler: ScalerSettings) -> World:
    made = World(scaler)
    made.provider = AtAws(made, aws)
    return made


def states(world: World) -> Counter[str]:
    return Counter(each.status for each in world.provider.describe())


def test_machines_come_for_entries_work_and_go(ec2: Ec2, world: World) -> None:
    world.enqueue(3, seconds=120.0)
    world.until(lambda: len(world.busy()) == 3)
    assert states(world) == {"running": 3}
    assert {each.placement.zone for each in world.provider.describe()} == {"us-east-1a", "us-east-1b"}
    world.until(lambda: world.statuses() == {"terminated": 3})
    assert states(world) == {"gone": 3}
    assert len(ec2.calls("RunInstances")) == 3
    assert world.waiting() == 0


def test_a_scaler_that_fell_before_it_heard_of_its_machines_leaves_them_to_the_next_one(ec2: Ec2, world: World) -> None:
    world.scaler.mute = True
    world.enqueue(2, seconds=600.0)
    world.until(lambda: states(world) == {"running": 2})
    world.restart()
    world.until(lambda: world.statuses() == {"ready": 2})
    assert states(world) == {"running": 2}
    assert len({call["ClientToken"] for call in ec2.calls("RunInstances")}) == 2


def test_a_machine_that_somebody_ended_by_hand_is_known_to_be_gone_and_replaced(world: World) -> None:
    world.enqueue(1, seconds=10_000.0)
    world.until(lambda: len(world.busy()) == 1)
    (machine,) = world.provider.describe()
    boto3.client("ec2", region_name="us-east-1").terminate_instances(InstanceIds=[machine.machine])
    world.enqueue(1)
    world.until(lambda: bool(world.said(InstanceTerminated)))
    world.until(lambda: len(world.busy()) == 1)
    assert states(world) == {"gone": 1, "running": 1}


def test_a_machine_that_bears_the_scalers_name_and_is_on_no_log_is_adopted_and_goes_when_idle(
    world: World, aws: AwsProvider, scaler: ScalerSettings
) -> None:
    order = Order("stray", "m", scaler.resources["m"], Placement(instance_type="m5.large", hourly_cost=0.5), ["q"])
    aws.launch([order])
    world.until(lambda: bool(world.said(InstanceAdopted)))
    (adopted,) = world.said(InstanceAdopted)
    assert (adopted.instance, adopted.queues, adopted.placement.hourly_cost) == ("stray", ["q"], 0.5)
    world.until(lambda: world.statuses() == {"terminated": 1})
    assert states(world) == {"gone": 1}


def no_spot(call: Mapping[str, str]) -> tuple[str, int] | None:
    return ("InsufficientInstanceCapacity", 500) if "InstanceMarketOptions.MarketType" in call else None


def test_where_there_is_no_spot_capacity_in_any_zone_machines_come_on_demand(ec2: Ec2, world: World) -> None:
    ec2.refuse = no_spot
    world.enqueue(2, seconds=600.0)
    world.until(lambda: len(world.busy()) == 2)
    assert {each.placement.spot for each in world.provider.describe()} == {False}
    failed = world.said(InstanceFailed)
    assert {event.kind for event in failed} == {"capacity"}
    assert "InsufficientInstanceCapacity" in failed[0].message


def test_a_service_that_throttles_for_long_gets_its_machines_later_and_no_more_of_them(ec2: Ec2, world: World) -> None:
    ec2.refusals.extend([("RequestLimitExceeded", 503)] * 12)
    world.enqueue(2, seconds=600.0)
    world.until(lambda: len(world.busy()) == 2)
    assert states(world) == {"running": 2}
    assert {event.kind for event in world.said(InstanceFailed)} == {"throttled"}
