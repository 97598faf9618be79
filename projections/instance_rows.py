"""The typed rows that queries answer with about scalers and their machines. Moments are aware datetimes in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ScalerRow:
    """A scaler: who leads it and since when, machines that are not gone, dollars an hour for them and spent so far."""

    name: str
    led_by: str
    led_since: datetime | None
    machines: int
    hourly_cost: float
    spent: float
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """A machine of a scaler. `machine` is its provider's name for it, `worker` its agent; empty until they are known.

    `status` is `requested`, `booting`, `ready`, `draining`, `terminating`, `terminated` or `failed`, and `failure` the
    kind of the last. `cost` is in dollars, up to the latest moment that the log tells of.
    """

    scaler: str
    instance: str
    machine: str
    provider: str
    resource: str
    queues: tuple[str, ...]
    zone: str
    subnet: str
    instance_type: str
    spot: bool
    hourly_cost: float
    slots: int
    status: str
    worker: str
    requested_at: datetime
    launched_at: datetime | None
    ready_at: datetime | None
    drained_at: datetime | None
    ended_at: datetime | None
    reason: str
    failure: str | None
    cost: float


@dataclass(frozen=True, slots=True)
class NeedRow:
    """Why a queue got machines or not: entries that wait, slots that will take them, machines asked for or refused."""

    decided_at: datetime
    scaler: str
    queue: str
    waiting: int
    stuck: int
    free: int
    booting: int
    launched: int
    missing: int
    held_back_by: str


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """What a scaler saw at a moment: entries that waited in all its queues, machines by status, dollars an hour."""

    decided_at: datetime
    waiting: int
    stuck: int
    instances: dict[str, int]
    hourly_cost: float
