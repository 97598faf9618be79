"""The policy: what is to be launched, drained and ended, as a function of the settings and of what is to be seen.

First it is decided which machines go, then what those that stay will take, and for the rest new ones come: queue by
queue, each by its order of preference, within every maximum and budget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from operator import add
from typing import Final

from ..events.hardware import NOTHING, Hardware
from ..events.instance_events import Placement, QueueNeed
from .ending import Drain, Terminate, endings
from .placing import Placing
from .room import Room
from .settings import ScalerSettings
from .situation import Demand, Machine, Offer, Situation
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
    """What is to be done, for each queue why, and for each resource below its minimum why it stays there."""

    actions: tuple[Action, ...]
    needs: tuple[QueueNeed, ...]
    lacking: Mapping[str, str] = field(default_factory=dict)


def decide(situation: Situation, settings: ScalerSettings) -> Plan:
    """Decide what is to be done now."""
    ends = endings(situation, settings)
    leaving = {end.instance for end in ends}
    staying = [machine for machine in situation.machines if machine.instance not in leaving]
    planner = _Planner(settings, situation, staying)
    needs = [planner.serve(queue, demand) for queue, demand in _in_order(situation, settings)]
    lacking = planner.keep_warm()
    return Plan((*ends, *planner.launches), tuple(needs), lacking)


def _in_order(situation: Situation, settings: ScalerSettings) -> Iterator[tuple[str, Demand]]:
    for queue in settings.queues:
        yield queue, situation.demands.get(queue, Demand(0))


@dataclass(frozen=True, slots=True)
class _Provided:
    """Entries for which there is a free slot or a booting one, machines to come, entries left over, and why."""

    free: int
    booting: int
    launched: int
    missing: int
    reasons: tuple[str, ...] = ()

    def __add__(self, other: _Provided) -> _Provided:
        """Both together."""
        return _Provided(
            self.free + other.free,
            self.booting + other.booting,
            self.launched + other.launched,
            self.missing + other.missing,
            (*self.reasons, *other.reasons),
        )


def _waiting(count: int, queue: str, needed: Hardware) -> str:
    return f"{count} waiting in {queue}" + (f" for {needed}" if needed else "")


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
        total = reduce(add, (self._provide(queue, count, needed) for needed, count in demand.calls()))
        return QueueNeed(
            queue=queue,
            waiting=demand.waiting,
            stuck=demand.stuck,
            free=total.free,
            booting=total.booting,
            launched=total.launched,
            missing=total.missing,
            held_back_by="; ".join(dict.fromkeys(total.reasons) or [NO_RESOURCE]) if total.missing else "",
        )

    def keep_warm(self) -> dict[str, str]:
        """Launch what resources lack of their minimum; returns what is in the way of those that go on lacking it."""
        lacking = {}
        for name, resource in self._settings.resources.items():
            while self._serving[name] < resource.minimum:
                placement = self._take_room(name)
                if isinstance(placement, str):
                    lacking[name] = placement
                    break
                self._launch(Launch(name, placement, f"at least {resource.minimum} of {name}"))
        return lacking

    def _provide(self, queue: str, wanted: int, needed: Hardware) -> _Provided:
        """Provide for so many entries of a queue that need the same hardware."""
        free = self._supply.take_free(queue, wanted, needed)
        booting = self._supply.take_booting(queue, wanted - free, needed)
        missing, launched = wanted - free - booting, 0
        able = self._able(queue, needed)
        reasons = [] if able or not needed else [f"no resource is known to have {needed}"]
        for name in able:
            while missing > 0:
                placement = self._take_room(name, queue)
                if isinstance(placement, str):
                    reasons.append(placement)
                    break
                launched += 1
                missing -= self._launch(Launch(name, placement, _waiting(missing, queue, needed)), missing, needed)
        return _Provided(free, booting, launched, missing, tuple(reasons) if missing else ())

    def _able(self, queue: str, needed: Hardware) -> list[str]:
        """Resources of a queue that have so much, in the order of preference."""
        resources = self._settings.resources
        return [one.resource for one in self._settings.queues[queue] if needed.fits(resources[one.resource].hardware)]

    def _take_room(self, name: str, queue: str = "") -> Placement | str:
        """Count one more machine of a resource, for a queue or for all; returns where, or what is in the way."""
        if reason := self._room.refusal(name, queue):
            return reason
        reason = f"{name}: {NO_PLACEMENT}"
        for placement in self._placing.offers(name, self._settings.resources[name]):
            reason = self._room.take(name, placement)
            if not reason:
                return placement
        return reason

    def _launch(self, launch: Launch, count: int = 0, needed: Hardware = NOTHING) -> int:
        """Note that a machine is to come; returns how many of so many entries that need so much it will take."""
        resource = launch.resource
        kind = self._settings.resources[resource]
        self._placing.take(launch.placement)
        self._serving[resource] += 1
        self.launches.append(launch)
        offer = Offer(tuple(self._settings.queues_of(resource)), kind.slots, kind.hardware)
        return self._supply.add(offer, count, needed)
