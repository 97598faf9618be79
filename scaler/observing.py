"""From what the log tells to what the policy decides from: waiting entries, machines with their agents, failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from ..events.base import from_us
from ..events.hardware import NOTHING, Hardware
from ..projections.instance_fold import InstanceState, ScalerFold
from .agents import Agent
from .seen import Seen
from .settings import ScalerSettings
from .situation import Demand, Failed, Machine, MachineStatus, Offer, Situation
from .stuck import Stuck

_STATUS: Final[dict[str, MachineStatus]] = {
    "requested": "booting",
    "booting": "booting",
    "ready": "ready",
    "draining": "draining",
    "terminating": "terminating",
}


@dataclass(frozen=True, slots=True)
class _Now:
    """The moment, as all machines have it: by the log in µs and as a time, and in seconds of hearing."""

    us: int
    moment: datetime
    hearing: float


@dataclass(slots=True)
class _Free:
    """Who has room: agents on machines of nobody's scaling, and for each queue since when somebody has, by how much."""

    others: Counter[Offer] = field(default_factory=Counter)
    since_us: dict[str, dict[Hardware, int]] = field(default_factory=dict)


def observe(seen: Seen, settings: ScalerSettings, stuck: Stuck, interrupted: set[str], now: float) -> Situation:
    """What is to be seen at this moment of the scaler's monotonic clock, in seconds."""
    us = seen.log_us(now)
    moment = from_us(us)
    at = _Now(us, moment, seen.hearing(now))
    scaler = seen.scaler
    free = _free(seen, settings, now)
    return Situation(
        demands={queue: _demand(seen, queue, stuck, free.since_us.get(queue, {}), us) for queue in settings.queues},
        machines=[_machine(scaler.instances[one], seen, settings, at, interrupted) for one in scaler.live],
        others=free.others,
        failures=list(_failures(scaler, moment)),
        spent_hours=seen.spending.hours(us / 1e6),
        since_launch={name: (moment - at).total_seconds() for name, at in scaler.last_asked.items()},
    )


def _demand(seen: Seen, queue: str, stuck: Stuck, free_us: Mapping[Hardware, int], us: int) -> Demand:
    fold, backlog = seen.queues[queue].fold, seen.backlogs[queue]
    if fold.paused or fold.deleted:
        return Demand(0)
    waiting = backlog.count(seen.limits, us)
    stuck.mark(queue, lambda: backlog.allowed(seen.limits), free_us, us)
    left_alone = stuck.of(queue, backlog.waits, us)
    needing = waiting - Counter(map(backlog.hardware, left_alone))
    del needing[NOTHING]
    return Demand(waiting.total(), len(left_alone), needing)


def _free(seen: Seen, settings: ScalerSettings, now: float) -> _Free:
    free = _Free()
    slots = {seen.agents.on(one): seen.scaler.instances[one].slots for one in seen.scaler.live}
    for agent, queues in seen.agents.living(seen.hearing(now)):
        room = agent.free(slots.get(agent.worker, 1))
        served = tuple(queue for queue in queues if queue in settings.queues)
        if room and served:
            spare = agent.left_over()
            if agent.worker not in slots:
                free.others[Offer(served, room, spare)] += 1
            for queue in served:
                since_us = free.since_us.setdefault(queue, {})
                since_us[spare] = min(since_us.get(spare, agent.free_since_us), agent.free_since_us)
    return free


def _machine(state: InstanceState, seen: Seen, settings: ScalerSettings, at: _Now, interrupted: set[str]) -> Machine:
    worker = seen.agents.on(state.instance)
    agent = seen.agents.get(worker)
    kind = settings.resources.get(state.resource)
    hardware = kind.hardware if kind is not None else NOTHING
    is_up = state.status not in ("requested", "booting")
    return Machine(
        state.instance,
        state.resource,
        state.queues,
        state.asked,
        _STATUS[state.status],
        age=(at.moment - state.requested_at).total_seconds(),
        slots=(agent.slots if agent is not None else 0) or state.slots,
        busy=agent.held if agent is not None else 0,
        idle=_idle(agent, at.us),
        silence=seen.agents.silent_since(worker, at.hearing) if is_up else 0.0,
        left=is_up and seen.agents.has_left(worker),
        interrupted=state.instance in interrupted,
        spare=agent.left_over(hardware) if agent is not None else hardware,
    )


def _idle(agent: Agent | None, log_us: int) -> float:
    return 0.0 if agent is None or agent.held else max(0.0, (log_us - agent.free_since_us) / 1e6)


def _failures(scaler: ScalerFold, moment: datetime) -> Iterator[Failed]:
    for (resource, placement), failures in scaler.failures.items():
        ago = (moment - failures.last_at).total_seconds()
        yield Failed(resource, placement, failures.in_a_row, ago, failures.kind)
