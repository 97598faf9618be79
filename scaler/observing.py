"""From what the log tells to what the policy decides from: waiting entries, machines with their agents, failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from ..agent.view import QueueView
from ..events.base import from_us
from ..projections.instance_fold import InstanceState, ScalerFold
from ..projections.limit_fold import LimitFold, scopes_of
from ..projections.queue_fold import Entry
from .agents import Agent
from .seen import Seen
from .settings import ScalerSettings
from .situation import Demand, Failed, Machine, MachineStatus, Situation
from .stuck import Stuck

TAKING_US: Final = 300_000
"""A free agent claims within some 50 ms, and says that it holds the run before the entry is out of the queue."""
_STATUS: Final[dict[str, MachineStatus]] = {"requested": "booting", "booting": "booting", "ready": "ready"}


def observe(seen: Seen, settings: ScalerSettings, stuck: Stuck, interrupted: set[str], now: float) -> Situation:
    """What is to be seen at this moment of the scaler's monotonic clock, in seconds."""
    moment = from_us(seen.log_us(now))
    scaler = seen.scaler
    own = {worker for one in scaler.live for worker in (seen.agents.on(one), scaler.instances[one].worker)}
    return Situation(
        demands={queue: _demand(seen, queue, stuck, now) for queue in settings.queues},
        machines=[_machine(scaler.instances[one], seen, moment, interrupted, now) for one in scaler.live],
        others={queue: _others(seen, queue, own, now) for queue in settings.queues},
        failures=list(_failures(scaler, moment)),
        spent_hours=spent_hours(scaler, moment, settings.budget.period_hours),
        since_launch=_since_launch(scaler, moment),
    )


def _demand(seen: Seen, queue: str, stuck: Stuck, now: float) -> Demand:
    view = seen.queues[queue]
    if view.fold.paused or view.fold.deleted:
        return Demand(0)
    us = seen.log_us(now)
    entries = [entry for entry in _open(view) if entry.not_before_us <= us and _waits(entry, us, seen.lease_us)]
    counted = _allowed(entries, view, seen.limits)
    free = [agent.free_since_us for agent in seen.agents.serving(queue, now) if agent.held < agent.slots]
    left_alone = stuck.among(queue, counted, min(free, default=None), us)
    return Demand(len(counted), left_alone)


def _waits(entry: Entry, us: int, lease_us: int) -> bool:
    """Whether an entry waits for want of agents: one that has just come or was just claimed is being taken."""
    return us - entry.enqueued_us >= TAKING_US and entry.free(us, lease_us)


def _open(view: QueueView) -> Iterator[Entry]:
    yield from view.fold.waiting()
    yield from view.fold.claimed()


def _allowed(entries: list[Entry], view: QueueView, limits: LimitFold) -> list[Entry]:
    """Entries that limits of queues, users and tags leave room for: no machine helps the others."""
    if not limits.limits:
        return entries
    coming: Counter[str] = Counter()
    allowed = []
    for entry in entries:
        request = view.request(entry.id)
        scopes = scopes_of(view.fold.queue, request) if request is not None else []
        if not limits.refusal((entry.task, entry.run), scopes, coming):
            coming.update(scopes)
            allowed.append(entry)
    return allowed


def _others(seen: Seen, queue: str, own: set[str], now: float) -> int:
    """Free slots of agents that run on machines of nobody's scaling."""
    return sum(max(0, agent.slots - agent.held) for agent in seen.agents.serving(queue, now) if agent.worker not in own)


def _machine(state: InstanceState, seen: Seen, moment: datetime, interrupted: set[str], now: float) -> Machine:
    worker = seen.agents.on(state.instance) or state.worker
    agent = seen.agents.get(worker)
    is_up = state.status not in ("requested", "booting")
    return Machine(
        state.instance,
        state.resource,
        state.queues,
        state.placement,
        _STATUS.get(state.status) or ("draining" if state.status == "draining" else "terminating"),
        age=(moment - state.requested_at).total_seconds(),
        slots=agent.slots if agent is not None else state.slots,
        busy=agent.held if agent is not None else 0,
        idle=_idle(agent, seen.log_us(now)),
        silence=seen.agents.silent_since(worker, now) if is_up else 0.0,
        left=is_up and agent is None,
        interrupted=state.instance in interrupted,
    )


def _idle(agent: Agent | None, log_us: int) -> float:
    return 0.0 if agent is None or agent.held else max(0.0, (log_us - agent.free_since_us) / 1e6)


def _failures(scaler: ScalerFold, moment: datetime) -> Iterator[Failed]:
    for (resource, placement), failures in scaler.failures.items():
        ago = (moment - failures.last_at).total_seconds()
        yield Failed(resource, placement, failures.in_a_row, ago, failures.kind)


def spent_hours(scaler: ScalerFold, moment: datetime, period_hours: float) -> float:
    """Hours of machines within the last `period_hours`."""
    since = moment - timedelta(hours=period_hours)
    lives = ((max(state.requested_at, since), state.ended_at or moment) for state in scaler.instances.values())
    return sum(max(0.0, (end - start).total_seconds()) for start, end in lives) / 3600.0


def _since_launch(scaler: ScalerFold, moment: datetime) -> dict[str, float]:
    latest: dict[str, datetime] = {}
    for state in scaler.instances.values():
        latest[state.resource] = max(latest.get(state.resource, state.requested_at), state.requested_at)
    return {resource: (moment - at).total_seconds() for resource, at in latest.items()}
