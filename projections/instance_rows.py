"""The typed rows that queries answer with about scalers and their machines. Moments are aware datetimes in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ScalerRow:
    """A scaler: who leads it and since when, machines that are not gone, dollars an hour for them and spent so far.

    `period_hours_used` and `period_spent` are hours of machines and dollars within the budget's latest period, up to
    the latest moment that the log tells of. What the budget does not limit is None. `lacking` says of resources below
    their minimum what is in the way.
    """

    name: str
    led_by: str
    led_since: datetime | None
    machines: int
    hourly_cost: float
    spent: float
    decided_at: datetime | None
    period_hours: float
    period_hours_used: float
    period_spent: float
    budget_instances: int | None
    budget_hourly_cost: float | None
    budget_hours: float | None
    lacking: dict[str, str]


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """A machine of a scaler. `machine` is its provider's name for it, `worker` its agent; empty until they are known.

    `status` is `requested`, `booting`, `ready`, `draining`, `terminating`, `terminated` or `failed`, and `failure` the
    kind of the last. `cost` is in dollars, up to the latest moment that the log tells of. `running` are the runs its
    agent holds, and `idle_since` is when it ceased to have any.
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
    running: int
    idle_since: datetime | None


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
class MachineCountsRow:
    """How many machines a scaler has from a moment on, by how far they have come; those that end count as before."""

    at: datetime
    requested: int
    booting: int
    ready: int
    draining: int


@dataclass(frozen=True, slots=True)
class ScalingStepRow:
    """What a scaler decided at a moment, and why: to `lead`, `launch`, `adopt`, `drain` or `end`, or to `hold back`.

    The last is about a `queue` for which `count` more machines could run, all others about one machine.
    """

    at: datetime
    step: str
    instance: str
    resource: str
    instance_type: str
    place: str
    spot: bool
    queue: str
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class FailedLaunchRow:
    """Launches of one placement that came to nothing for the same kind of reason; the latest message and moment."""

    resource: str
    instance_type: str
    place: str
    spot: bool
    kind: str
    message: str
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """What a scaler saw at a moment: entries that waited in all its queues, machines by status, dollars an hour."""

    decided_at: datetime
    waiting: int
    stuck: int
    instances: dict[str, int]
    hourly_cost: float
