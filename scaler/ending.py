"""Which machines go: those without an agent, those that the provider takes away, and those with nothing to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .settings import ScalerSettings
from .situation import Machine, Situation


@dataclass(frozen=True, slots=True)
class Drain:
    """The machine's agent is to take nothing new and leave once it has nothing to do."""

    instance: str
    reason: str
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Terminate:
    """The machine is to be ended."""

    instance: str
    reason: str


def endings(situation: Situation, settings: ScalerSettings) -> list[Drain | Terminate]:
    """Decide which machines go. One whose agent runs a task is never ended, only drained."""
    found = [end for machine in situation.machines if (end := _ending(machine, settings))]
    gone = {end.instance for end in found}
    return [*found, *_idle([m for m in situation.machines if m.instance not in gone], situation, settings)]


def _ending(machine: Machine, settings: ScalerSettings) -> Drain | Terminate | None:
    if machine.status == "terminating":
        return None
    if machine.left:
        return Terminate(machine.instance, "its agent has left")
    if machine.status == "booting":
        return _too_slow(machine, settings.spin_up_seconds(machine.resource))
    if machine.silence > 60.0 * settings.max_silence_min:
        return Terminate(machine.instance, f"no agent on it for {settings.max_silence_min:g} min")
    return _unwanted(machine, settings) if machine.status == "ready" else None


def _unwanted(machine: Machine, settings: ScalerSettings) -> Drain | None:
    if machine.interrupted:
        return Drain(machine.instance, "its provider takes it away", interrupted=True)
    if machine.resource not in settings.resources:
        return Drain(machine.instance, f"the settings know no resource {machine.resource}")
    return None


def _too_slow(machine: Machine, limit: float) -> Terminate | None:
    if machine.age <= limit:
        return None
    return Terminate(machine.instance, f"no agent on it {limit / 60:g} min after its launch")


def _idle(machines: list[Machine], situation: Situation, settings: ScalerSettings) -> Iterator[Drain]:
    """Drain machines that have had nothing to do for too long, the longest idle first, down to the minimum."""
    serving = Counter(machine.resource for machine in machines if machine.status in ("booting", "ready"))
    idle = [m for m in machines if m.status == "ready" and not m.busy and not m.silence]
    kept = _kept_for_entries(idle, situation)
    for machine in sorted(idle, key=lambda m: -m.idle):
        limit = settings.idle_seconds(machine.resource)
        spare = serving[machine.resource] > settings.resources[machine.resource].minimum
        if machine.idle >= limit and spare and machine.instance not in kept:
            serving[machine.resource] -= 1
            yield Drain(machine.instance, f"nothing to do for {limit / 60:g} min")


def _kept_for_entries(idle: list[Machine], situation: Situation) -> set[str]:
    """Machines that could take an entry that has just come: they go if they leave it alone, it is stuck then."""
    fresh = {queue: demand.waiting - demand.stuck for queue, demand in situation.demands.items()}
    kept = set()
    for machine in sorted(idle, key=lambda m: m.idle):
        queue = next((name for name in machine.queues if fresh.get(name, 0) > 0), None)
        if queue is not None:
            fresh[queue] -= machine.slots
            kept.add(machine.instance)
    return kept
