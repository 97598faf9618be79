"""Machines beyond a maximum or the budget: settings may have been others when they came, and hours are used up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from .settings import ScalerSettings
from .situation import Machine

_CENTS: Final = 1e-6
"""Sums of prices depend on their order by less than this."""


def surplus(machines: Sequence[Machine], settings: ScalerSettings) -> Iterator[tuple[Machine, str]]:
    """Machines that are one too many, and why; those that work stay before others, and what boots can't be drained."""
    if not _are_too_many(machines, settings):
        return
    counts: Counter[str] = Counter()
    cost = 0.0
    for machine in sorted(machines, key=lambda m: (m.status != "booting", not m.busy, m.idle, m.age)):
        reason = _too_many(machine, counts, cost, settings) if machine.status == "ready" else ""
        if reason:
            yield machine, reason
        else:
            counts[machine.resource] += 1
            cost += machine.placement.hourly_cost


def _are_too_many(machines: Sequence[Machine], settings: ScalerSettings) -> bool:
    """Whether any limit is exceeded at all: as long as none is, thousands of machines need no order."""
    counts, budget = Counter(machine.resource for machine in machines), settings.budget
    if any(count > settings.maximum(name) for name, count in counts.items()):
        return True
    if budget.instances is not None and counts.total() > budget.instances:
        return True
    cost = sum(machine.placement.hourly_cost for machine in machines) if budget.hourly_cost is not None else 0.0
    return budget.hourly_cost is not None and cost > budget.hourly_cost


def hours_are_used_up(settings: ScalerSettings, spent_hours: float) -> bool:
    """Whether the budget of hours is spent: then machines take nothing new, and leave after what they run."""
    limit = settings.budget.instance_hours
    return limit is not None and spent_hours >= limit


def _too_many(machine: Machine, counts: Counter[str], cost: float, settings: ScalerSettings) -> str:
    budget, maximum = settings.budget, settings.maximum(machine.resource)
    if counts[machine.resource] >= maximum:
        return f"more than the maximum of {maximum}"
    if budget.instances is not None and counts.total() >= budget.instances:
        return f"more than the budget of {budget.instances} machines"
    if budget.hourly_cost is not None and cost + machine.placement.hourly_cost > budget.hourly_cost + _CENTS:
        return f"more than the budget of ${budget.hourly_cost:,.2f} an hour"
    return ""
