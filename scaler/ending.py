"""Which machines go: those without an agent, those that may not stay, and those with nothing to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .settings import ScalerSettings
from .situation import Machine, Situation
from .surplus import hours_are_used_up, surplus


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
    used_up = hours_are_used_up(settings, situation.spent_hours)
    found = [end for machine in situation.machines if (end := _ending(machine, settings, used_up=used_up))]
    gone = {end.instance for end in found}
    serving = [m for m in situation.machines if m.status in ("booting", "ready") and m.instance not in gone]
    over = [Drain(machine.instance, reason) for machine, reason in surplus(serving, settings)]
    gone |= {end.instance for end in over}
    return [*found, *over, *_idle([m for m in serving if m.instance not in gone], situation, settings)]


def _ending(machine: Machine, settings: ScalerSettings, *, used_up: bool) -> Drain | Terminate | None:
    if machine.status == "terminating":
        return None
    if machine.left:
        return Terminate(machine.instance, "its agent has left")
    if machine.status == "booting":
        return _not_coming(machine, settings.spin_up_seconds(machine.resource))
    if machine.silence > 60.0 * settings.max_silence_min:
        return Terminate(machine.instance, f"no agent on it for {_said(60.0 * settings.max_silence_min)}")
    if machine.status == "draining":
        return _not_leaving(machine, settings)
    return _unwanted(machine, settings, used_up=used_up)


def _unwanted(machine: Machine, settings: ScalerSettings, *, used_up: bool) -> Drain | None:
    if machine.interrupted:
        return Drain(machine.instance, "its provider takes it away", interrupted=True)
    if machine.resource not in settings.resources:
        return Drain(machine.instance, f"the settings know no resource {machine.resource}")
    if used_up:
        return Drain(machine.instance, f"the budget of {settings.budget.instance_hours:g} hours is used up")
    return None


def _not_coming(machine: Machine, limit: float) -> Terminate | None:
    if machine.busy:
        return None  # its agent has come, and the log is about to say so
    if machine.interrupted:
        return Terminate(machine.instance, "its provider takes it away")
    if machine.age <= limit:
        return None
    return Terminate(machine.instance, f"no agent on it {_said(limit)} after its launch")


def _not_leaving(machine: Machine, settings: ScalerSettings) -> Terminate | None:
    """End a machine whose agent has nothing to do, was told to leave, and is still there: it may not have heard."""
    limit = settings.idle_seconds(machine.resource) + 60.0 * settings.max_silence_min
    if machine.busy or machine.idle <= limit:
        return None
    return Terminate(machine.instance, f"its agent has nothing to do and did not leave in {_said(limit)}")


def _idle(serving: list[Machine], situation: Situation, settings: ScalerSettings) -> Iterator[Drain]:
    """Drain machines that have had nothing to do for too long, the longest idle first, down to the minimum."""
    limits = {name: settings.idle_seconds(name) for name in settings.resources}
    idle = [m for m in serving if m.status == "ready" and not m.busy and not m.silence]
    due = [machine for machine in idle if machine.idle >= limits[machine.resource]]
    if not due:
        return
    counts = Counter(machine.resource for machine in serving)
    kept = _kept_for_entries(idle, situation)
    for machine in sorted(due, key=lambda m: -m.idle):
        spare = counts[machine.resource] > settings.resources[machine.resource].minimum
        if spare and machine.instance not in kept:
            counts[machine.resource] -= 1
            yield Drain(machine.instance, f"nothing to do for {_said(limits[machine.resource])}")


def _kept_for_entries(idle: list[Machine], situation: Situation) -> set[str]:
    """Machines that could take an entry that has just come: they go if they leave it alone, it is stuck then."""
    fresh = {(queue, needed): n for queue, demand in situation.demands.items() for needed, n in demand.calls() if n}
    kept = set()
    for machine in sorted(idle, key=lambda m: m.idle):
        for (queue, needed), count in fresh.items():
            if count > 0 and queue in machine.queues and needed.fits(machine.spare):
                fresh[queue, needed] -= machine.slots
                kept.add(machine.instance)
                break
    return kept


def _said(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60.0 else f"{seconds / 60:g} min"  # noqa: PLR2004  a minute
