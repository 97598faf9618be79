"""How many more machines there may be: maxima of queues and resources, cool-downs, and the budget of all together."""

from __future__ import annotations

from collections import Counter

from ..events.instance_events import Placement
from .settings import ScalerSettings
from .situation import Situation


class Room:
    """What is left of every limit; a machine counts from when it is asked for until it is gone.

    Of the budget of hours each machine has its first one set apart, so that many that come at once don't overrun it.
    """

    def __init__(self, settings: ScalerSettings, situation: Situation) -> None:
        self._settings = settings
        self._live = Counter(machine.resource for machine in situation.machines)
        self._cost = sum(machine.placement.hourly_cost for machine in situation.machines)
        self._first_hour = min(1.0, settings.budget.instance_hours or 1.0)
        to_come = (max(0.0, self._first_hour - machine.age / 3600.0) for machine in situation.machines)
        self._hours = situation.spent_hours + sum(to_come)
        self._since_launch = situation.since_launch

    def refusal(self, resource: str, queue: str) -> str:
        """Why there may be no further machine of a resource for a queue; empty if there may."""
        maximum = self._settings.maximum(resource, queue)
        if self._live[resource] >= maximum:
            return f"{resource}: its maximum of {maximum}"
        if self._since_launch.get(resource, self._settings.cooldown_s) < self._settings.cooldown_s:
            return f"{resource}: its cool-down of {self._settings.cooldown_s:g} s"
        return self._over_budget()

    def take(self, resource: str, placement: Placement) -> str:
        """Count one more machine, if the budget has its price; else returns why not."""
        limit = self._settings.budget.hourly_cost
        if limit is not None and self._cost + placement.hourly_cost > limit:
            return f"the budget of ${limit:,.2f} an hour"
        self._cost += placement.hourly_cost
        self._hours += self._first_hour
        self._live[resource] += 1
        return ""

    def _over_budget(self) -> str:
        budget = self._settings.budget
        if budget.instances is not None and self._live.total() >= budget.instances:
            return f"the budget of {budget.instances} machines"
        if budget.instance_hours is not None and self._hours + self._first_hour > budget.instance_hours:
            return f"the budget of {budget.instance_hours:g} hours of machines in {budget.period_hours:g} h"
        return ""
