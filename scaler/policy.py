"""The policy: what is to be launched, drained and ended, as a function of the settings and of what is to be seen.

First it is decided which machines go, then what those that stay will take, and for the rest new ones come: queue by
queue, each by its order of preference, within every maximum and budget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ..events.instance_events import Placement, QueueNeed
from .ending import Drain, Terminate, endings
from .placing import Placing
from .room import Room
from .settings import ScalerSettings
from .situation import Demand, Machine, Situation
from .supply import Supply

NO_PLACEMENT: Final = "every placement failed a moment ago"
NO_RESOURCE: Final = "the settings name no resource for it"


@dataclass(frozen=True, slots=True)
class Launch:
    """A machine of a resource is to come."""

    resource: str
    placement: Placement
    reason: str


Action = Launch | Drain | Terminate


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and for each queue why."""

    actions: tuple[Action, ...]
    needs: tuple[QueueNeed, ...]


def decide(situation: Situation, settings: ScalerSettings) -> Plan:
    """Decide what is to be done now."""
    ends = endings(situation, settings)
    leaving = {end.instance for end in ends}
    staying = [machine for machine in situation.machines if machine.instance not in leaving]
    planner = _Planner(settings, situation, staying)
    needs = [planner.serve(queue, demand) for queue, demand in _in_order(situation, settings)]
    planner.keep_warm()
    return Plan((*ends, *planner.launches), tuple(needs))


def _in_order(situation: Situation, settings: ScalerSettings) -> Iterator[tuple[str, Demand]]:
    for queue in settings.queues:
        yield queue, situation.demands.get(queue, Demand(0))


class _Planner:
    """One round of launches. What is launched for one queue is there for the next.

    Where nothing is missing nobody counts what there is room for.
    """

    def __init__(self, settings: ScalerSettings, situation: Situation, staying: list[Machine]) -> None:
        self._settings = settings
        self._situation = situation
        self._supply = Supply(staying, situation.others)
        self._serving = Counter(m.resource for m in staying if m.status in ("booting", "ready"))
        self.launches: list[Launch] = []

    @cached_property
    def _room(self) -> Room:
        return Room(self._settings, self._situation)

    @cached_property
    def _placing(self) -> Placing:
        return Placing((m.placement for m in self._situation.machines), self._situation.failures)

    def serve(self, queue: str, demand: Demand) -> QueueNeed:
        """Provide for a queue; returns what that took, and what was in the way of each of its resources."""
        wanted = max(0, demand.waiting - demand.stuck)
        free = self._supply.take_free(queue, wanted)
        booting = self._supply.take_booting(queue, wanted - free)
        missing, launched = wanted - free - booting, 0
        reasons: dict[str, None] = {}
        for share in self._settings.queues[queue]:
            while missing > 0:
                if reason := self._launch(share.resource, f"{missing} waiting in {queue}", queue):
                    reasons[reason] = None
                    break
                launched += 1
                missing -= self._supply.take_booting(queue, missing)
        return QueueNeed(
            queue=queue,
            waiting=demand.waiting,
            stuck=demand.stuck,
            free=free,
            booting=booting,
            launched=launched,
            missing=missing,
            held_back_by="; ".join(reasons or [NO_RESOURCE]) if missing else "",
        )

    def keep_warm(self) -> None:
        """Launch what resources lack of their minimum."""
        for name, resource in self._settings.resources.items():
            while self._serving[name] < resource.minimum:
                if self._launch(name, f"at least {resource.minimum} of {name}"):
                    break

    def _launch(self, name: str, why: str, queue: str = "") -> str:
        """Launch a machine of a resource, for a queue or for all that it serves; returns what is in the way."""
        if reason := self._room.refusal(name, queue):
            return reason
        reason = f"{name}: {NO_PLACEMENT}"
        for placement in self._placing.offers(name, self._settings.resources[name]):
            reason = self._room.take(name, placement)
            if not reason:
                self._note(Launch(name, placement, why))
                break
        return reason

    def _note(self, launch: Launch) -> None:
        resource = launch.resource
        self._placing.take(launch.placement)
        self._serving[resource] += 1
        self._supply.add(self._settings.queues_of(resource), self._settings.resources[resource].slots)
        self.launches.append(launch)
