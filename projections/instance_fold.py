"""The fold of `tasktape.instances`: who leads each scaler, its machines, and how far each one has come.

What the leader decides counts only while it leads; what anybody has seen of a machine always counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from ..events.instance_events import (
    FailureKind,
    InstanceAdopted,
    InstanceDraining,
    InstanceEvent,
    InstanceFailed,
    InstanceLaunched,
    InstanceReady,
    InstanceRequested,
    InstanceTerminated,
    InstanceTerminating,
    Placement,
    ScalerEvent,
    ScalerLeads,
    ScalingDecided,
)
from .verdict import ACCEPTED, DUPLICATE, Verdict, rejected

InstanceStatus = Literal["requested", "booting", "ready", "draining", "terminating", "terminated", "failed"]
_STAGES: Final[dict[InstanceStatus, int]] = {
    "requested": 0,
    "booting": 1,
    "ready": 2,
    "draining": 3,
    "terminating": 4,
    "terminated": 5,
    "failed": 5,
}
_DECISIONS: Final = (InstanceRequested, InstanceAdopted, InstanceDraining, InstanceTerminating, ScalingDecided)


@dataclass(frozen=True, slots=True)
class InstanceState:
    """A machine. `machine` is the provider's name for it, `worker` its agent; empty until they are known.

    `asked` is the placement as it was asked for, `placement` names the zone where the machine is. `began_by` is the id
    of the event with which it began.
    """

    instance: str
    scaler: str
    provider: str
    resource: str
    queues: tuple[str, ...]
    placement: Placement
    slots: int
    requested_at: datetime
    status: InstanceStatus = "requested"
    machine: str = ""
    worker: str = ""
    launched_at: datetime | None = None
    ready_at: datetime | None = None
    drained_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    failure: FailureKind | None = None
    asked: Placement = field(default_factory=Placement)
    began_by: str = ""

    @property
    def over(self) -> bool:
        """Whether the machine is gone, or never came to be."""
        return self.ended_at is not None


class Failures(NamedTuple):
    """Launches of a resource in one placement that failed in a row: how many, when and why the last one did."""

    in_a_row: int
    last_at: datetime
    kind: FailureKind


@dataclass(slots=True)
class ScalerFold:
    """One scaler: who leads it and who ever did (sessions of events), machines by id, and what it decided last.

    `live` are the machines that are not over, `moving` those of them that are not ready: something is to be done or
    awaited. `failures` are by resource and placement (its cost left out), `last_asked` is the latest request of each
    resource.
    """

    leader: str = ""
    leaders: set[str] = field(default_factory=set)
    instances: dict[str, InstanceState] = field(default_factory=dict)
    live: dict[str, None] = field(default_factory=dict)
    moving: dict[str, None] = field(default_factory=dict)
    last_asked: dict[str, datetime] = field(default_factory=dict)
    failures: dict[tuple[str, Placement], Failures] = field(default_factory=dict)
    decided: ScalingDecided | None = None


@dataclass(slots=True)
class InstanceFold:
    """All scalers by name. Feed it each event of the topic once, in order. Not thread-safe."""

    scalers: dict[str, ScalerFold] = field(default_factory=dict)

    def apply(self, event: InstanceEvent | ScalerEvent) -> Verdict:
        """Fold an event; a copy of one changes nothing, as no machine goes back to what it was."""
        scaler = self.scalers.setdefault(event.scaler, ScalerFold())
        if isinstance(event, _DECISIONS) and event.meta.session != scaler.leader:
            return rejected(f"{event.meta.actor} does not lead the scaler {event.scaler}")
        match event:
            case ScalerLeads():
                return _lead(scaler, event.meta.session)
            case ScalingDecided():
                scaler.decided = event
            case InstanceRequested() | InstanceAdopted():
                return _add(scaler, event)
            case InstanceEvent():
                return _change(scaler, event)
        return ACCEPTED


def _lead(scaler: ScalerFold, session: str) -> Verdict:
    """Let a session lead. Each does so once: a copy that arrives late takes nothing from its successor."""
    if session in scaler.leaders:
        return DUPLICATE
    scaler.leader = session
    scaler.leaders.add(session)
    return ACCEPTED


def _add(scaler: ScalerFold, event: InstanceRequested | InstanceAdopted) -> Verdict:
    known = scaler.instances.get(event.instance)
    if known is not None and known.began_by == event.meta.event_id:
        return DUPLICATE
    if known is not None and not (known.over and isinstance(event, InstanceAdopted)):
        return rejected("there is such an instance already")
    state = InstanceState(
        event.instance,
        event.scaler,
        event.provider,
        event.resource,
        tuple(event.queues),
        event.placement,
        event.slots,
        event.meta.occurred_at,
        asked=event.placement,
        began_by=event.meta.event_id,
    )
    if isinstance(event, InstanceAdopted):
        state = replace(state, status="booting", machine=event.machine, launched_at=event.meta.occurred_at)
    else:
        state = replace(state, reason=event.reason)
        scaler.last_asked[event.resource] = event.meta.occurred_at
    _keep(scaler, state)
    return ACCEPTED


def _change(scaler: ScalerFold, event: InstanceEvent) -> Verdict:
    known = scaler.instances.get(event.instance)
    if known is None:
        return rejected("there is no such instance")
    after = _after(known, event)
    names_it = isinstance(event, InstanceLaunched) and not known.machine and not known.over
    if _STAGES[after.status] <= _STAGES[known.status] and not names_it:
        return rejected(f"the instance is {known.status}")
    _keep(scaler, after)
    _note_outcome(scaler, known, event)
    return ACCEPTED


def _note_outcome(scaler: ScalerFold, before: InstanceState, event: InstanceEvent) -> None:
    """Count launches of a placement that failed in a row; one whose agent serves ends the row."""
    place = (before.resource, before.asked.model_copy(update={"hourly_cost": 0.0}))
    if isinstance(event, InstanceReady):
        scaler.failures.pop(place, None)
    elif kind := _failure(before, event):
        former = scaler.failures.get(place)
        scaler.failures[place] = Failures(former.in_a_row + 1 if former else 1, event.meta.occurred_at, kind)


def _failure(before: InstanceState, event: InstanceEvent) -> FailureKind | None:
    """How a launch failed: refused by the provider, taken away by it, or ended before its agent ever served."""
    if isinstance(event, InstanceFailed):
        return event.kind
    if isinstance(event, InstanceDraining):
        return "capacity" if event.interrupted else None
    ends = isinstance(event, InstanceTerminating | InstanceTerminated)
    return "spin_up" if ends and before.status in ("requested", "booting") else None


def _after(state: InstanceState, event: InstanceEvent) -> InstanceState:
    at = event.meta.occurred_at
    changes: dict[str, Any] = {}
    match event:
        case InstanceLaunched():
            placement = state.placement.model_copy(update={"zone": event.zone or state.placement.zone})
            status = "booting" if state.status == "requested" else state.status
            changes = {"status": status, "machine": event.machine, "launched_at": at, "placement": placement}
        case InstanceReady():
            changes = {"status": "ready", "worker": event.worker, "ready_at": at}
        case InstanceDraining():
            changes = {"status": "draining", "drained_at": at, "reason": event.reason}
        case InstanceTerminating():
            changes = {"status": "terminating", "reason": event.reason}
        case InstanceTerminated():
            changes = {"status": "terminated", "ended_at": at, "reason": event.reason or state.reason}
        case InstanceFailed():
            changes = {"status": "failed", "ended_at": at, "reason": event.message, "failure": event.kind}
    return replace(state, **changes)


def _keep(scaler: ScalerFold, state: InstanceState) -> None:
    scaler.instances[state.instance] = state
    _list(scaler.live, state.instance, listed=not state.over)
    _list(scaler.moving, state.instance, listed=not state.over and state.status != "ready")


def _list(listed_ones: dict[str, None], instance: str, *, listed: bool) -> None:
    if listed:
        listed_ones[instance] = None
    else:
        listed_ones.pop(instance, None)
