"""A machine as EC2 is asked for it, and as it describes it: arguments of RunInstances and tags, out and in.

Tags are set by the call that launches: there is no machine that bears no name, and a scaler knows its own by them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from ..events.instance_events import Placement
from .aws_settings import AwsMachine, merged
from .provider import Described, Order

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX: Final = "tasktape:"
SCALER: Final = PREFIX + "scaler"
INSTANCE: Final = PREFIX + "instance"
_RESOURCE: Final = PREFIX + "resource"
_QUEUES: Final = PREFIX + "queues"
_SLOTS: Final = PREFIX + "slots"
_SUBNET: Final = PREFIX + "subnet"
_COST: Final = PREFIX + "hourly-cost"
_LONGEST: Final = 256
_STATUS: Final[dict[str, Literal["pending", "running", "ending", "gone"]]] = {
    "pending": "pending",
    "running": "running",
    "terminated": "gone",
}
"""All others are on their way out: machines are not stopped to be started again."""
_INTERRUPTED: Final = "Server.SpotInstance"


def arguments(order: Order, scaler: str, machine: AwsMachine, user_data: str) -> dict[str, Any]:
    """What RunInstances is called with: the same for the same order, so that it makes one machine."""
    place = order.placement
    tags = _tags(order, scaler, machine)
    found: dict[str, Any] = {
        "ClientToken": order.instance,
        "MinCount": 1,
        "MaxCount": 1,
        "ImageId": machine.ami_id,
        "InstanceType": place.instance_type,
        "UserData": user_data,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": _metadata(machine),
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        "KeyName": machine.key_name,
        "SecurityGroupIds": list(machine.security_group_ids),
        "IamInstanceProfile": _without_empty({"Arn": machine.iam_arn, "Name": machine.iam_name}),
        "SubnetId": place.subnet,
        "Placement": _without_empty({"AvailabilityZone": place.zone}),
        "InstanceMarketOptions": _market(machine) if place.spot else {},
        "BlockDeviceMappings": _volumes(machine),
    }
    whole: dict[str, Any] = merged(_without_empty(found), machine.extra_configurations)
    return whole


def described(found: Mapping[str, Any]) -> Described:
    """A machine of a scaler as DescribeInstances has it."""
    tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
    placement = Placement(
        instance_type=found["InstanceType"],
        zone=found["Placement"]["AvailabilityZone"],
        subnet=tags.get(_SUBNET, ""),
        spot=found.get("InstanceLifecycle") == "spot",
        hourly_cost=float(tags.get(_COST, "0")),
    )
    return Described(
        found["InstanceId"],
        tags[INSTANCE],
        tags.get(_RESOURCE, ""),
        json.loads(_joined(tags, _QUEUES) or "[]"),
        placement,
        _STATUS.get(found["State"]["Name"], "ending"),
        int(tags.get(_SLOTS, "1")),
        interrupted=found.get("StateReason", {}).get("Code", "").startswith(_INTERRUPTED),
    )


def _metadata(machine: AwsMachine) -> dict[str, Any]:
    """Version 2 of IMDS only; one hop further where tasks in containers need the machine's credentials."""
    hops = 2 if machine.default_docker_image else 1
    return {"HttpEndpoint": "enabled", "HttpTokens": "required", "HttpPutResponseHopLimit": hops}


def _market(machine: AwsMachine) -> dict[str, Any]:
    options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
    return {"MarketType": "spot", "SpotOptions": merged(options, machine.spot_options)}


def _volumes(machine: AwsMachine) -> list[dict[str, Any]]:
    volume = {
        "VolumeSize": machine.ebs_volume_size,
        "VolumeType": machine.ebs_volume_type,
        "SnapshotId": machine.ebs_snapshot_id,
    }
    if not any(volume.values()):
        return []
    return [{"DeviceName": machine.ebs_device_name, "Ebs": _without_empty(volume) | {"DeleteOnTermination": True}}]


def _tags(order: Order, scaler: str, machine: AwsMachine) -> list[dict[str, str]]:
    """The scaler's own win: by them it knows its machines."""
    names = {"Name": f"tasktape {scaler} {order.resource}"[:_LONGEST]} | machine.tags
    names |= {
        SCALER: scaler,
        INSTANCE: order.instance,
        _RESOURCE: order.resource,
        _SLOTS: str(order.kind.slots),
        _SUBNET: order.placement.subnet,
        _COST: f"{order.placement.hourly_cost:g}",
    }
    names |= dict(_split(_QUEUES, json.dumps(list(order.queues), ensure_ascii=False)))
    return [{"Key": name, "Value": value} for name, value in names.items()]


def _split(name: str, text: str) -> Iterator[tuple[str, str]]:
    """A text that may be longer than a tag, as several of them."""
    for number, start in enumerate(range(0, len(text), _LONGEST)):
        yield f"{name}-{number}" if number else name, text[start : start + _LONGEST]


def _joined(tags: Mapping[str, str], name: str) -> str:
    parts: Sequence[str] = [tags[key] for number in range(len(tags)) if (key := f"{name}-{number}") in tags]
    return tags.get(name, "") + "".join(parts)


def _without_empty(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if value}
