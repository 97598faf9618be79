"""What a scaler relies on, of each provider of machines: calls may be repeated, and tell the truth after a restart."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasktape.events.settings import Settings
from tasktape.scaler.aws import AwsProvider
from tasktape.scaler.local import LocalProvider
from tasktape.scaler.provider import Launched, Order, Provider
from tasktape.scaler.providers import open_provider
from tasktape.scaler.settings import ScalerSettings
from tasktape.tests.support.ec2 import ec2_before, moto_server

KINDS: dict[str, type[Any]] = {"local": LocalProvider, "aws": AwsProvider}
UNKNOWN = {"local": "1@1.00", "aws": "i-0123456789abcdef0"}


@dataclass
class Ground:
    """Where a provider's machines are; they outlive its objects."""

    scaler: ScalerSettings
    settings: Settings

    def provider(self) -> Provider:
        """Another object for the same machines."""
        made = open_provider(self.scaler, self.settings)
        assert type(made) is KINDS[self.scaler.provider]
        return made

    def order(self) -> Order:
        kind = self.scaler.resources["small"]
        placement = next(place for tier in kind.tiers() for place in tier)
        return Order(uuid.uuid4().hex, "small", kind, placement, self.scaler.queues_of("small"))


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture(params=["local", "aws"])
def ground(
    request: pytest.FixtureRequest, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ground]:
    scaler = ScalerSettings.model_validate(
        {
            "name": tmp_path.name,
            "provider": request.param,
            "queues": {"one": [["small", 9]], "two": [["small", 9]]},
            "resources": {"small": {"instance_type": "m5.large", "slots": 2, "hourly_cost": 0.25, "provider": {}}},
            "aws": {"ami_id": "ami-03cf127a", "region": "us-east-1"},
        }
    )
    with ExitStack() as stack:
        settings = Settings(home=home)
        if request.param == "aws":
            url = stack.enter_context(ec2_before(request.getfixturevalue("moto"))).url
            monkeypatch.setenv("AWS_ENDPOINT_URL", url)
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            settings = Settings(home=home, log="kafka://broker:9092", blobs="s3://bucket")
        yield Ground(scaler, settings)


@pytest.fixture
def provider(ground: Ground) -> Iterator[Provider]:
    with closing(ground.provider()) as opened:
        yield opened
        if isinstance(opened, LocalProvider):
            _kill([each.machine for each in opened.describe() if each.status == "running"])


def _kill(machines: list[str]) -> None:
    """End agents at once: nobody waits for them here."""
    agents = [psutil.Process(int(machine.partition("@")[0])) for machine in machines]
    for agent in agents:
        agent.kill()
    psutil.wait_procs(agents)


def launched(provider: Provider, order: Order) -> Launched:
    (outcome,) = provider.launch([order])
    assert isinstance(outcome, Launched)
    return outcome


def test_machines_are_described_as_they_were_ordered(ground: Ground, provider: Provider) -> None:
    orders = [ground.order(), ground.order()]
    outcomes = provider.launch(orders)
    assert [outcome.instance for outcome in outcomes] == [order.instance for order in orders]
    found = {each.instance: each for each in provider.describe()}
    for order in orders:
        each = found.pop(order.instance)
        assert (each.resource, list(each.queues), each.slots) == ("small", ["one", "two"], 2)
        assert each.placement.model_copy(update={"zone": ""}) == order.placement
        assert (each.status, each.interrupted) == ("running", False)
    assert found == {}


def test_the_same_order_makes_one_machine(ground: Ground, provider: Provider) -> None:
    order = ground.order()
    first = launched(provider, order)
    assert launched(provider, order).machine == first.machine
    assert [each.machine for each in provider.describe()] == [first.machine]


def test_a_provider_that_starts_again_knows_its_machines(ground: Ground, provider: Provider) -> None:
    order = ground.order()
    first = launched(provider, order)
    with closing(ground.provider()) as another:
        assert [each.machine for each in another.describe()] == [first.machine]
        assert launched(another, order).machine == first.machine


def test_machines_may_be_ended_twice_and_then_are_gone(
    ground: Ground, provider: Provider, until: Callable[[Callable[[], Any]], Any]
) -> None:
    order = ground.order()
    machine = launched(provider, order).machine
    provider.terminate([machine])
    until(lambda: all(each.status == "gone" for each in provider.describe()))
    provider.terminate([machine])
    assert launched(provider, order).machine == machine
    assert {each.status for each in provider.describe()} <= {"gone"}


def test_one_that_nobody_knows_keeps_no_other_from_being_ended(
    ground: Ground, provider: Provider, until: Callable[[Callable[[], Any]], Any]
) -> None:
    machines = [launched(provider, ground.order()).machine for _ in range(2)]
    provider.terminate([machines[0], UNKNOWN[provider.name], machines[1]])
    until(lambda: all(each.status == "gone" for each in provider.describe()))


def test_scalers_of_other_names_have_other_machines(ground: Ground, provider: Provider) -> None:
    launched(provider, ground.order())
    other = Ground(ground.scaler.model_copy(update={"name": "another"}), ground.settings)
    with closing(other.provider()) as another:
        assert another.describe() == []
