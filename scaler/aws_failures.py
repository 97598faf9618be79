"""What EC2's errors mean to a scaler: to try another place, to wait, or to have the settings changed, and how."""

from __future__ import annotations

import re
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from ..events.instance_events import FailureKind

_CAPACITY: Final = frozenset(
    {
        "InsufficientCapacity",
        "InsufficientFreeAddressesInSubnet",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "InsufficientReservedInstanceCapacity",
        "InsufficientVolumeCapacity",
        "SpotMaxPriceTooLow",
        "UnfulfillableCapacity",
        "Unsupported",
    }
)
"""Also `Unsupported`: a type that there is not in this zone."""
_QUOTA: Final = frozenset({"MaxSpotInstanceCountExceeded", "MaxSpotFleetRequestCountExceeded"})
_THROTTLED: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_PROVIDER: Final = frozenset(
    {"InternalError", "InternalFailure", "RequestTimeout", "ServiceUnavailable", "Unavailable"}
)
_SERVER_ERROR: Final = 500
_FORBIDDEN: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_ACTION: Final = re.compile(r"not authorized to perform: (\S+)")
_ENCODED: Final = re.compile(r"\s*Encoded authorization failure message: \S+")
_UNKNOWN_CALLER: Final = "the scaler's credentials are not, or no longer, valid"
_REMEDIES: Final = {
    "AuthFailure": _UNKNOWN_CALLER,
    "ExpiredToken": _UNKNOWN_CALLER,
    "InvalidClientTokenId": _UNKNOWN_CALLER,
    "RequestExpired": _UNKNOWN_CALLER,
    "UnrecognizedClientException": _UNKNOWN_CALLER,
    "InvalidAMIID.Malformed": "ami_id names no image",
    "InvalidAMIID.NotFound": "ami_id must name an image of this region that this account may use",
    "InvalidAMIID.Unavailable": "ami_id names an image that is not there yet, or no longer",
    "InvalidBlockDeviceMapping": "ebs_device_name must be the image's, and ebs_volume_size no less",
    "InvalidGroup.NotFound": "security_group_ids must be of the subnet's VPC",
    "InvalidKeyPair.NotFound": "key_name must name a key pair of this region",
    "InvalidSubnetID.NotFound": "subnet_id must name subnets of this region",
    "InsufficientInstanceCapacity": "more zones, subnets or types in the resource leave more to choose from",
    "MaxSpotInstanceCountExceeded": "have the account's quota of spot machines raised, or fall_back_to_on_demand",
    "VcpuLimitExceeded": "have the account's quota raised, or lower the maximum in queues",
}
"""What an operator does about an error; for others what EC2 says is all there is to say."""


def code_of(error: ClientError) -> str:
    """EC2's name for an error."""
    return str(error.response.get("Error", {}).get("Code", ""))


def told(error: ClientError | BotoCoreError) -> str:
    """What an operator is told: what EC2 said, and what to do about it."""
    if isinstance(error, NoCredentialsError):
        return f"{error}: give the scaler's machine an instance profile, or the scaler AWS_PROFILE or AWS_ACCESS_KEY_ID"
    if isinstance(error, BotoCoreError):
        return str(error)
    said = _ENCODED.sub("", str(error.response.get("Error", {}).get("Message", "")))
    remedy = _permission(error, said) if code_of(error) in _FORBIDDEN else _REMEDIES.get(code_of(error), "")
    return f"{code_of(error)}: {said}" + f" ({remedy})" * bool(remedy)


def _permission(error: ClientError, said: str) -> str:
    """The right that is missing: the one EC2 names, for it may be another than that to make the call."""
    found = _ACTION.search(said)
    action = found[1] if found else f"ec2:{error.operation_name}"
    return f"allow the scaler {action}, see docs/scaler-aws.md"


def kind_of(code: str, status: int) -> FailureKind:
    """The kind of failure that an error code, and the HTTP status it came with, stands for."""
    if code in _CAPACITY:
        return "capacity"
    if code in _THROTTLED:
        return "throttled"
    if code in _QUOTA or code.endswith("LimitExceeded"):
        return "quota"
    return "provider" if code in _PROVIDER or status >= _SERVER_ERROR else "settings"
