"""What a scaler says of itself on stderr: a line for each decision and for what came of it, once it is on the log."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from ..events.base import Event
from ..events.instance_events import (
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

LOGGER = logging.getLogger(__name__)


class Teller:
    """Tells of one scaler's events as they are read. What keeps a queue waiting is told when it changes."""

    def __init__(self, scaler: str) -> None:
        self._scaler = scaler
        self._held_back: dict[str, str] = {}
        self._lacking: dict[str, str] = {}

    def tell(self, events: Iterable[Event | None], *, leads: bool) -> None:
        """Tell of events; one that does not lead tells only who does."""
        for event in events:
            if isinstance(event, InstanceEvent | ScalerEvent) and event.scaler == self._scaler:
                if isinstance(event, ScalerLeads):
                    _tell_leader(event, leads=leads)
                elif leads and isinstance(event, ScalingDecided):
                    self._tell_needs(event)
                    self._tell_lacking(event)
                elif leads and isinstance(event, InstanceEvent):
                    _tell_machine(event)

    def _tell_lacking(self, event: ScalingDecided) -> None:
        for resource, reason in event.lacking.items():
            if reason != self._lacking.get(resource):
                LOGGER.info(
                    "%s: fewer than its minimum; %s",
                    resource,
                    reason,
                    extra={"action": "below_minimum", "resource": resource, "reason": reason},
                )
        self._lacking = event.lacking

    def _tell_needs(self, event: ScalingDecided) -> None:
        for need in event.needs:
            if need.held_back_by != self._held_back.get(need.queue, ""):
                self._held_back[need.queue] = need.held_back_by
                if need.held_back_by:
                    LOGGER.info(
                        "%s: %d more could run; %s",
                        need.queue,
                        need.missing,
                        need.held_back_by,
                        extra={"action": "held_back", "queue": need.queue, "missing": need.missing},
                    )


def _tell_leader(event: ScalerLeads, *, leads: bool) -> None:
    if leads:
        LOGGER.info("leads the scaler %s", event.scaler, extra={"action": "lead"})
    else:
        LOGGER.info(
            "%s leads the scaler %s: waits",
            event.meta.actor,
            event.scaler,
            extra={"action": "wait_to_lead", "leader": event.meta.actor},
        )


def _tell_machine(event: InstanceEvent) -> None:
    about: dict[str, Any] = {"instance": event.instance}
    match event:
        case InstanceRequested(resource=resource, placement=placement, reason=reason):
            LOGGER.info(
                "asks for a machine of %s%s: %s",
                resource,
                _place(placement),
                reason,
                extra={"action": "request_machine", **about, "resource": resource, "reason": reason},
            )
        case InstanceLaunched(machine=machine):
            LOGGER.info(
                "machine %s starts as %s",
                event.instance,
                machine,
                extra={"action": "machine_launched", **about, "machine": machine},
            )
        case InstanceReady(worker=worker):
            LOGGER.info(
                "machine %s serves, with the worker %s",
                event.instance,
                worker,
                extra={"action": "machine_ready", **about, "worker": worker},
            )
        case InstanceAdopted(machine=machine):
            LOGGER.info(
                "takes over %s, of which the log knew nothing, as %s",
                machine,
                event.instance,
                extra={"action": "adopt_machine", **about, "machine": machine},
            )
        case InstanceFailed(kind=kind, message=message):
            LOGGER.warning(
                "machine %s did not come to be: %s, %s",
                event.instance,
                kind,
                message,
                extra={"action": "machine_failed", **about, "kind": kind},
            )
        case _:
            _tell_end(event, about)


def _tell_end(event: InstanceEvent, about: dict[str, Any]) -> None:
    match event:
        case InstanceDraining(reason=reason):
            LOGGER.info(
                "machine %s is to finish and leave: %s",
                event.instance,
                reason,
                extra={"action": "drain_machine", **about, "reason": reason},
            )
        case InstanceTerminating(reason=reason):
            LOGGER.info(
                "ends machine %s: %s",
                event.instance,
                reason,
                extra={"action": "end_machine", **about, "reason": reason},
            )
        case InstanceTerminated(reason=reason):
            LOGGER.info(
                "machine %s is gone: %s",
                event.instance,
                reason,
                extra={"action": "machine_gone", **about, "reason": reason},
            )


def _place(placement: Placement) -> str:
    where = ["spot"] * placement.spot + [
        text for text in (placement.instance_type, placement.zone or placement.subnet) if text
    ]
    return f" ({', '.join(where)})" if where else ""
