"""Machines at AWS, through real calls of boto3: what is asked for, what comes of refusals, and what is found again."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest

from tasktape.events.errors import SettingsError
from tasktape.events.instance_events import Placement
from tasktape.events.settings import Settings
from tasktape.scaler import aws as aws_module
from tasktape.scaler.aws import AwsProvider
from tasktape.scaler.errors import ProviderError
from tasktape.scaler.instance import SecretError, read_secret
from tasktape.scaler.provider import Launched, Order, Refused
from tasktape.scaler.references import reference
from tasktape.scaler.settings import ScalerSettings
from tasktape.tests.support.ec2 import Ec2, ec2_before

SECRET = "hunter22-of-kafka"
OWN = Settings(log="kafka://broker:9092", blobs="s3://bucket", kafka={"sasl.password": SECRET})
AWS = {
    "ami_id": "ami-03cf127a",
    "region": "us-east-1",
    "settings": {"kafka": {"sasl.password": "ssm:/ml/kafka"}},
}
Provide = Callable[..., AwsProvider]


@pytest.fixture
def ec2(s3: Any, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ec2]:
    """The service, for every client of this test's."""
    assert s3
    with ec2_before(s3_endpoint) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", service.url)
        yield service


@pytest.fixture
def waits() -> list[float]:
    """Seconds that were waited."""
    return []


@pytest.fixture
def provide(ec2: Ec2, waits: list[float]) -> Iterator[Provide]:
    """Opens the provider of a scaler of this test's own name."""
    assert ec2.url
    name, opened = uuid.uuid4().hex, []

    def make(machine: dict[str, Any] | None = None, **resource: Any) -> AwsProvider:
        kind = {"instance_type": "m5.large", "provider": machine or {}, **resource}
        scaler = ScalerSettings.model_validate(
            {"name": name, "provider": "aws", "queues": {"q": [["r", 999]]}, "resources": {"r": kind}, "aws": AWS}
        )
        opened.append(AwsProvider(scaler, OWN, waits.append))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def order(provider: AwsProvider, **placement: Any) -> Order:
    kind = provider._scaler.resources["r"]
    return Order(uuid.uuid4().hex, "r", kind, Placement(instance_type="m5.large", **placement), ["q"])


def orders(provider: AwsProvider, count: int) -> list[Order]:
    return [order(provider) for _ in range(count)]


def found(ec2: Ec2, machine: str) -> Any:
    """A machine as the service has it."""
    client = boto3.client("ec2", region_name="us-east-1")
    assert client.meta.endpoint_url == ec2.url
    return client.describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]


def launched(provider: AwsProvider, one: Order) -> str:
    (outcome,) = provider.launch([one])
    assert isinstance(outcome, Launched)
    return outcome.machine


def test_a_machine_is_launched_as_the_settings_say(ec2: Ec2, provide: Provide) -> None:
    client = boto3.client("ec2", region_name="us-east-1")
    subnet = client.describe_subnets()["Subnets"][0]["SubnetId"]
    group = client.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    boto3.client("iam").create_instance_profile(InstanceProfileName="machines")
    machine = {
        "iam_name": "machines",
        "ebs_device_name": "/dev/sda1",
        "ebs_volume_size": 80,
        "ebs_volume_type": "gp3",
        "key_name": "ops",
        "security_group_ids": [group],
        "tags": {"team": "ml"},
        "spot_options": {"MaxPrice": "0.5"},
        "extra_configurations": {"Monitoring": {"Enabled": True}},
    }
    provider = provide(machine, slots=3)
    one = order(provider, subnet=subnet, spot=True, hourly_cost=0.031)
    (outcome,) = provider.launch([one])
    assert isinstance(outcome, Launched)
    is_so = found(ec2, outcome.machine)
    assert is_so["Placement"]["AvailabilityZone"] == outcome.zone
    assert (is_so["SubnetId"], is_so["KeyName"], is_so["InstanceLifecycle"]) == (subnet, "ops", "spot")
    assert is_so["MetadataOptions"]["HttpTokens"] == "required"
    assert is_so["Monitoring"]["State"] == "enabled"
    assert is_so["IamInstanceProfile"]["Arn"].endswith("/machines")
    assert [each["GroupId"] for each in is_so["SecurityGroups"]] == [group]
    volume = is_so["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    assert client.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 80
    (call,) = ec2.calls("RunInstances")
    assert call["ClientToken"] == one.instance
    assert call["InstanceMarketOptions.SpotOptions.MaxPrice"] == "0.5"
    assert call["InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior"] == "terminate"
    assert call["InstanceInitiatedShutdownBehavior"] == "terminate"


def test_its_tags_are_set_by_the_call_that_launches_it(ec2: Ec2, provide: Provide) -> None:
    provider = provide({"tags": {"team": "ml", "tasktape:scaler": "another"}}, slots=3)
    one = replace(order(provider, hourly_cost=0.031), queues=[f"queue {number}" for number in range(50)])
    machine = launched(provider, one)
    tags = {tag["Key"]: tag["Value"] for tag in found(ec2, machine)["Tags"]}
    assert {name: tags[name] for name in ("team", "tasktape:instance", "tasktape:resource", "tasktape:slots")} == {
        "team": "ml",
        "tasktape:instance": one.instance,
        "tasktape:resource": "r",
        "tasktape:slots": "3",
    }
    assert {call["Action"] for call in ec2.asked} == {"RunInstances", "DescribeInstances"}
    (described,) = provider.describe()
    assert (described.machine, list(described.queues)) == (machine, list(one.queues))
    assert described.placement.hourly_cost == 0.031
    assert max(map(len, tags.values())) <= 256


def test_its_script_starts_the_agent_and_holds_no_secret(ec2: Ec2, provide: Provide) -> None:
    provider = provide()
    one = order(provider)
    launched(provider, one)
    script = base64.b64decode(ec2.calls("RunInstances")[0]["UserData"]).decode()
    assert script.startswith("#!/bin/bash\n")
    assert json.dumps(one.instance) in script
    assert "ssm:/ml/kafka" in script
    assert all(SECRET not in value and SECRET not in script for call in ec2.asked for value in call.values())


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("InsufficientInstanceCapacity", 500, "capacity"),
        ("SpotMaxPriceTooLow", 400, "capacity"),
        ("InsufficientFreeAddressesInSubnet", 400, "capacity"),
        ("Unsupported", 400, "capacity"),
        ("VcpuLimitExceeded", 400, "quota"),
        ("MaxSpotInstanceCountExceeded", 400, "quota"),
        ("VolumeLimitExceeded", 400, "quota"),
        ("InvalidAMIID.NotFound", 400, "settings"),
        ("InvalidParameterValue", 400, "settings"),
        ("UnauthorizedOperation", 403, "settings"),
    ],
)
def test_a_refusal_is_told_at_once_for_what_it_is(
    ec2: Ec2, provide: Provide, waits: list[float], code: str, status: int, kind: str
) -> None:
    provider = provide()
    ec2.refusals.append((code, status))
    one = order(provider)
    (outcome,) = provider.launch([one])
    assert isinstance(outcome, Refused)
    assert (outcome.instance, outcome.kind, waits) == (one.instance, kind, [])
    assert outcome.message.startswith(f"{code}: no: {code}")


SAID = "You are not authorized to perform this operation."
LONG = (
    "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/y."
)


@pytest.mark.parametrize(
    ("code", "said", "to_do"),
    [
        (
            "UnauthorizedOperation",
            f"{SAID} Encoded authorization failure message: {'x' * 99}",
            "allow the scaler ec2:RunI",
        ),
        (
            "UnauthorizedOperation",
            f"{SAID} {LONG} Encoded authorization failure message: xx",
            "allow the scaler iam:Pass",
        ),
        ("InvalidAMIID.NotFound", "The image id '[ami-1]' does not exist", "ami_id must name an image of this region"),
        (
            "AuthFailure",
            "AWS was not able to validate the provided access credentials",
            "credentials are not, or no longer, valid",
        ),
        ("InsufficientInstanceCapacity", "We currently do not have sufficient capacity", "more zones"),
    ],
)
def test_what_is_refused_comes_with_what_to_do(ec2: Ec2, provide: Provide, code: str, said: str, to_do: str) -> None:
    provider = provide()
    ec2.says = said
    ec2.refusals.append((code, 403))
    (outcome,) = provider.launch([order(provider)])
    assert isinstance(outcome, Refused)
    assert to_do in outcome.message
    assert "ncoded" not in outcome.message


@pytest.mark.usefixtures("ec2")
def test_a_scaler_without_credentials_is_told_where_they_come_from(
    provide: Provide, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers whose credentials it had
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(ProviderError, match="Unable to locate credentials: give the scaler's machine an instance prof"):
        provide().describe()


@pytest.mark.parametrize(("code", "status"), [("RequestLimitExceeded", 503), ("InternalError", 500)])
def test_a_busy_service_is_asked_again_after_ever_longer_waits(
    ec2: Ec2, provide: Provide, waits: list[float], code: str, status: int
) -> None:
    provider = provide()
    ec2.refusals.extend([(code, status)] * 3)
    launched(provider, order(provider))
    assert waits == sorted(waits)
    assert len(waits) == 3
    assert len(ec2.calls("RunInstances")) == 4


def test_a_service_that_stays_busy_is_left_alone(ec2: Ec2, provide: Provide) -> None:
    provider = provide()
    ec2.refusals.extend([("RequestLimitExceeded", 503)] * 99)
    (outcome,) = provider.launch([order(provider)])
    assert isinstance(outcome, Refused)
    assert outcome.kind == "throttled"
    assert len(ec2.calls("RunInstances")) == 5


def test_a_place_without_capacity_is_not_asked_again_for_the_rest_of_the_orders(ec2: Ec2, provide: Provide) -> None:
    provider = provide()
    ec2.refuse = lambda call: None if "Placement.AvailabilityZone" in call else ("InsufficientInstanceCapacity", 500)
    asked = orders(provider, 40)
    outcomes = provider.launch([*asked, order(provider, zone="us-east-1b")])
    assert [outcome.instance for outcome in outcomes[:-1]] == [one.instance for one in asked]
    assert {type(outcome) for outcome in outcomes[:-1]} == {Refused}
    assert isinstance(outcomes[-1], Launched)
    assert len(ec2.calls("RunInstances")) <= 9


def test_a_launch_whose_answer_was_lost_makes_no_second_machine(ec2: Ec2, provide: Provide) -> None:
    provider = provide()
    ec2.lost = 1
    machine = launched(provider, order(provider))
    assert [each.machine for each in provider.describe()] == [machine]
    assert len(ec2.calls("RunInstances")) == 2


def test_an_order_from_before_a_change_of_settings_finds_its_machine(ec2: Ec2, provide: Provide) -> None:
    assert ec2.url
    before = provide()
    one = order(before)
    machine = launched(before, one)
    after = provide({"extra_vm_bash_script": "echo changed"})
    assert launched(after, one) == machine
    assert [each.machine for each in after.describe()] == [machine]


def test_arguments_that_boto3_does_not_take_are_the_settings_fault(provide: Provide, waits: list[float]) -> None:
    provider = provide({"extra_configurations": {"Colour": "red"}})
    (outcome,) = provider.launch([order(provider)])
    assert isinstance(outcome, Refused)
    assert (outcome.kind, waits) == ("settings", [])
    assert "Colour" in outcome.message


def test_hundreds_of_machines_are_found_over_pages_and_ended_in_chunks(
    ec2: Ec2, provide: Provide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws_module, "PAGE", 80)
    provider = provide()
    outcomes = provider.launch(orders(provider, 210))
    machines = {outcome.machine for outcome in outcomes if isinstance(outcome, Launched)}
    assert len(machines) == 210
    ec2.asked.clear()
    assert {each.machine for each in provider.describe()} == machines
    assert len(ec2.calls("DescribeInstances")) == 3
    provider.terminate([*sorted(machines), "i-00000000000000000"])
    assert {each.status for each in provider.describe()} == {"gone"}


def test_a_machine_that_its_provider_took_away_says_so(provide: Provide) -> None:
    from moto.ec2.models import ec2_backends  # noqa: PLC0415  heavy

    provider = provide()
    machine = launched(provider, order(provider, spot=True))
    provider.terminate([machine])
    instance = ec2_backends["123456789012"]["us-east-1"].get_instance(machine)
    assert [(each.status, each.interrupted) for each in provider.describe()] == [("gone", False)]
    instance.state_reason.code = "Server.SpotInstanceTermination"
    assert [(each.status, each.interrupted) for each in provider.describe()] == [("gone", True)]


def test_states_are_those_that_scalers_know(provide: Provide) -> None:
    from moto.ec2.models import ec2_backends  # noqa: PLC0415  heavy

    states = {"pending": "pending", "running": "running", "shutting-down": "ending", "stopped": "ending"}
    provider = provide()
    machines = [launched(provider, order(provider)) for _ in states]
    for machine, state in zip(machines, states, strict=True):
        ec2_backends["123456789012"]["us-east-1"].get_instance(machine)._state.name = state
    described = {each.machine: each.status for each in provider.describe()}
    assert [described[machine] for machine in machines] == list(states.values())


def test_a_service_that_is_away_is_an_error_of_the_providers(provide: Provide, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:9")
    monkeypatch.setattr(aws_module, "ATTEMPTS", 1)
    provider = provide()
    (outcome,) = provider.launch([order(provider)])
    assert isinstance(outcome, Refused)
    assert outcome.kind == "provider"
    with pytest.raises(ProviderError, match="aws could not list machines"):
        provider.describe()


def test_a_scaler_without_a_region_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    scaler = ScalerSettings.model_validate(
        {
            "provider": "aws",
            "queues": {"q": [["r", 1]]},
            "resources": {"r": {}},
            "aws": AWS | {"region": ""},
        }
    )
    with pytest.raises(SettingsError, match=r"aws\.region"):
        AwsProvider(scaler, OWN)


def test_secrets_are_read_where_references_say(s3: Any) -> None:
    assert s3
    boto3.client("ssm").put_parameter(Name="/ml/kafka", Value=SECRET, Type="SecureString")
    boto3.client("secretsmanager").create_secret(Name="ml/git", SecretString=json.dumps({"token": "of-git"}))
    told = [reference(text) for text in ("ssm:/ml/kafka", "secretsmanager:ml/git#token", "secretsmanager:ml/git")]
    assert [read_secret(each) for each in told if each] == [SECRET, "of-git", '{"token": "of-git"}']


@pytest.mark.parametrize("text", ["ssm:/nobody", "secretsmanager:nobody", "secretsmanager:ml/plain#key"])
def test_a_secret_that_is_not_there_is_named_without_what_is(s3: Any, text: str) -> None:
    assert s3
    client = boto3.client("secretsmanager")
    if text.endswith("key"):
        client.create_secret(Name="ml/plain", SecretString=SECRET)
    wanted = reference(text)
    assert wanted
    with pytest.raises(SecretError, match=wanted.name) as raised:
        read_secret(wanted)
    assert SECRET not in str(raised.value)
