"""What EC2's error codes mean to a scaler: whether to try another place, to wait, or to have the settings changed."""

from __future__ import annotations

from typing import Final

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


def kind_of(code: str, status: int) -> FailureKind:
    """The kind of failure that an error code, and the HTTP status it came with, stands for."""
    if code in _CAPACITY:
        return "capacity"
    if code in _THROTTLED:
        return "throttled"
    if code in _QUOTA or code.endswith("LimitExceeded"):
        return "quota"
    return "provider" if code in _PROVIDER or status >= _SERVER_ERROR else "settings"
