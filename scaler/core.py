"""A scaler's mind: it folds what it reads, and while it leads it decides, says so on the log, and acts on what it said.

What is to be done is read from the fold, never remembered: a scaler that takes over goes on where the other one fell.
Nothing is decided while something that was decided has not come back from the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any, Final, Protocol

from ..agent.appends import Appends, Until
from ..agent.follow import Reading
from ..events.base import Event, Meta, from_us, new_task_id
from ..events.instance_events import (
    SIGN_OF_LIFE,
    InstanceAdopted,
    InstanceDraining,
    InstanceEvent,
    InstanceFailed,
    InstanceLaunched,
    InstanceReady,
    InstanceRequested,
    InstanceTerminated,
    InstanceTerminating,
    ScalerBudget,
    ScalerLeads,
    ScalingDecided,
)
from ..events.worker_events import DrainRequested
from ..projections.instance_fold import InstanceState
from ..projections.queue_fold import CLAIM_LEASE
from .ending import Drain, Terminate
from .observing import observe
from .policy import Action, Launch, Plan, decide
from .provider import Described, Launched, Order, Refused
from .reconcile import Came, Finding, Gone, Orphan, Zombie, reconcile
from .seen import Seen
from .settings import ScalerSettings
from .stuck import Stuck

STEP: Final = 0.1
STEP_PER_MACHINE: Final = 1e-4
"""Seconds between decisions, at least: more where each takes longer."""
LOOK: Final = 0.5
EXPLAIN: Final = 10.0
PROBE: Final = 5.0
CLAIM_AGAIN: Final = 10.0
MOST_STUCK: Final = 100
DESCRIBE: Final = 60.0
DESCRIBE_SOON: Final = 5.0
DESCRIBE_PER_MACHINE: Final = 2e-3
"""Seconds between looks at a provider's list are more by this for each machine: to read it takes 0.8 ms for each."""
END_AGAIN: Final = 30.0


class Ports(Protocol):
    """What the mind has done by others; outcomes come back through its `on_…` methods."""

    def owns(self) -> bool:
        """Whether the group has made this process the one that may lead."""
        ...

    def append(self, event: Event) -> None:
        """Append an event once."""
        ...

    def launch(self, orders: Sequence[Order]) -> None:
        """Have machines launched."""
        ...

    def terminate(self, machines: Sequence[str]) -> None:
        """Have machines ended."""
        ...

    def describe(self) -> None:
        """Have the provider list its machines."""
        ...


class Core:
    """One scaler. Not thread-safe. Moments are seconds of a monotonic clock; `lease` is the claim lease of agents."""

    def __init__(
        self,
        settings: ScalerSettings,
        ports: Ports,
        stamper: Callable[[], Callable[[], Meta]],
        lease: float = CLAIM_LEASE,
    ) -> None:
        self.appends = Appends()
        self.seen = Seen(settings.name, settings.queues, self.appends, lease, settings.budget.period_hours)
        self._settings = settings
        self._ports = ports
        self._stamper = stamper
        self._stuck = Stuck(settings.stuck_after_s)
        self._stamp: Callable[[], Meta] | None = None
        self._session = ""
        self._deposed_at = inf
        self._ready = False
        self._described: Sequence[Described] | None = None
        self._is_reconciled = False
        self._describe_at = -inf
        self._decide_at = -inf
        self._not_before = -inf
        self._explained_at = -inf
        self._interrupted: set[str] = set()
        self._in_flight: set[str] = set()
        self._ended_at: dict[str, float] = {}
        self._told: set[str] = set()

    # What happens.

    def on_readings(self, readings: Iterable[Reading], now: float) -> None:
        """Take in what was read at this moment."""
        for reading in readings:
            self.seen.apply(reading, now)
        self._decide_at = min(self._decide_at, self._not_before)

    def on_read_to_end(self) -> None:
        """Learn that all has been read that was there at the start."""
        self._ready = True

    def on_launched(self, outcomes: Iterable[Launched | Refused]) -> None:
        """Learn what became of orders."""
        for outcome in outcomes:
            self._in_flight.discard(outcome.instance)
            state = self.seen.scaler.instances.get(outcome.instance)
            if state is None or state.over or not self.leads:
                continue
            if isinstance(outcome, Launched):
                self._say(InstanceLaunched, outcome.instance, machine=outcome.machine, zone=outcome.zone)
            else:
                self._say(InstanceFailed, outcome.instance, kind=outcome.kind, message=outcome.message)

    def on_described(self, described: Sequence[Described], now: float) -> None:
        """Learn what machines the provider has."""
        self._described = described
        self._interrupted = {each.instance for each in described if each.interrupted}
        ending = any(self._state(one).status == "terminating" for one in self.seen.scaler.live)
        self._describe_at = now + self._pause(DESCRIBE_SOON if ending else DESCRIBE)

    def on_not_described(self, now: float) -> None:
        """Learn that the provider did not answer."""
        self._describe_at = now + DESCRIBE_SOON

    def on_terminated(self, now: float) -> None:
        """Learn that the provider has been told to end machines, or could not be: its list will tell."""
        self._describe_at = min(self._describe_at, now + self._pause(LOOK))

    def _pause(self, seconds: float) -> float:
        """How long to wait before the provider's list is asked for again."""
        return seconds + DESCRIBE_PER_MACHINE * len(self.seen.scaler.live)

    # What it does.

    @property
    def leads(self) -> bool:
        """Whether this process decides: the log says so."""
        return self._session != "" and self.seen.scaler.leader == self._session

    def step(self, now: float) -> float:
        """Do what is to be done now; returns how many seconds later to call again, unless something happens."""
        if not self._ready or not self._may_lead(now):
            return LOOK
        if self.leads and not len(self.appends):
            self._look(now)
            self._reconcile(now)
        if self.leads and not len(self.appends) and self._is_reconciled:
            self._act(now)
        if self.leads and not len(self.appends) and self._is_reconciled:
            self._decide(now)
        for event in list(self.appends.due(now)):
            self._ports.append(event)  # type: ignore[arg-type]  # a scaler leaves no tombstones
        decide_at = self._decide_at if self._decide_at > now else inf
        return max(0.0, min(decide_at, now + LOOK, self.appends.next_due()) - now)

    def _may_lead(self, now: float) -> bool:
        """Whether the group has chosen this process; each time it has, that is said anew, by a session of its own."""
        if not self._ports.owns():
            self._step_down()
        elif self._stamp is None or self._is_deposed(now):
            self._step_down()
            self._stamp = self._stamper()
            budget = ScalerBudget.model_validate(self._settings.budget.model_dump())
            leads = ScalerLeads(meta=self._stamp(), scaler=self._settings.name, budget=budget)
            self._session = leads.meta.session
            self.appends.owe(leads, "read")
        return self._stamp is not None

    def _step_down(self) -> None:
        """Forget what only a leader knows: what it has yet to say would not count."""
        self._stamp, self._session, self._deposed_at = None, "", inf
        self._described, self._is_reconciled, self._describe_at = None, False, -inf
        self.appends.renounce()

    def _is_deposed(self, now: float) -> bool:
        """Whether another one has led for a while though the group still chooses this process, as a late record may."""
        if self.leads or self._session not in self.seen.scaler.leaders:
            self._deposed_at = inf
        else:
            self._deposed_at = min(self._deposed_at, now)
        return now - self._deposed_at >= CLAIM_AGAIN

    def _look(self, now: float) -> None:
        if now >= self._describe_at:
            self._describe_at = inf
            self._ports.describe()

    def _reconcile(self, now: float) -> None:
        """Compare the provider's latest list with the log, once."""
        if self._described is None:
            return
        described, self._described, self._is_reconciled = self._described, None, True
        for finding in list(reconcile(self.seen.scaler, described, from_us(self.seen.log_us(now)))):
            self._settle(finding, now)

    def _settle(self, finding: Finding, now: float) -> None:
        match finding:
            case Came(instance, described):
                self._say(InstanceLaunched, instance, machine=described.machine, zone=described.placement.zone)
            case Gone(instance, reason):
                self._say(InstanceTerminated, instance, reason=reason)
            case Orphan(described):
                self._adopt(described)
            case Zombie(described) if self._serves(described.instance, now):
                self._adopt(described)
            case Zombie(described):
                self._terminate([described.machine], now)

    def _adopt(self, described: Described) -> None:
        self._say(
            InstanceAdopted,
            described.instance,
            provider=self._settings.provider,
            resource=described.resource,
            machine=described.machine,
            queues=list(described.queues),
            placement=described.placement,
            slots=described.slots,
        )

    def _serves(self, instance: str, now: float) -> bool:
        """Whether an agent lives on a machine."""
        worker = self.seen.agents.on(instance)
        silence = self.seen.agents.silent_since(worker, self.seen.hearing(now))
        return self.seen.agents.get(worker) is not None and not silence

    def _act(self, now: float) -> None:
        """Do what the fold says is decided and not yet done."""
        moving = [self._state(instance) for instance in self.seen.scaler.moving]
        self._launch([state for state in moving if state.status == "requested"])
        for state in moving:
            if state.status in ("requested", "booting") and (worker := self.seen.agents.on(state.instance)):
                self._say(InstanceReady, state.instance, worker=worker)
            elif state.status == "draining":
                self._drain(state)
        self._terminate([state.machine for state in moving if state.status == "terminating" and state.machine], now)

    def _launch(self, states: Sequence[InstanceState]) -> None:
        new = [state for state in states if state.instance not in self._in_flight]
        kinds = self._settings.resources
        orders = [
            Order(state.instance, state.resource, kinds[state.resource], state.placement, state.queues)
            for state in new
            if state.resource in kinds
        ]
        self._in_flight.update(order.instance for order in orders)
        if orders:
            self._ports.launch(orders)

    def _terminate(self, machines: Iterable[str], now: float) -> None:
        """Have machines ended, once more after a while that are still there."""
        due = [machine for machine in machines if self._ended_at.get(machine, -inf) <= now - END_AGAIN]
        self._ended_at.update(dict.fromkeys(due, now))
        if due:
            self._ports.terminate(due)

    def _drain(self, state: InstanceState) -> None:
        worker = self.seen.agents.on(state.instance)
        if worker and worker not in self._told:
            self._told.add(worker)
            self._owe(DrainRequested, "delivered", worker=worker, reason=state.reason)

    def _decide(self, now: float) -> None:
        if now < self._decide_at:
            return
        plan = decide(observe(self.seen, self._settings, self._stuck, self._interrupted, now), self._settings)
        for action in plan.actions:
            self._order(action)
        self._explain(plan, now)
        self._not_before = now + STEP + STEP_PER_MACHINE * len(self.seen.scaler.live)
        self._decide_at = max(self._not_before, now + LOOK)

    def _order(self, action: Action) -> None:
        match action:
            case Launch(resource, placement, reason):
                self._say(
                    InstanceRequested,
                    new_task_id(),
                    provider=self._settings.provider,
                    resource=resource,
                    queues=self._settings.queues_of(resource),
                    placement=placement,
                    slots=self._settings.resources[resource].slots,
                    reason=reason,
                )
            case Drain(instance, reason, interrupted):
                self._say(InstanceDraining, instance, reason=reason, interrupted=interrupted)
            case Terminate(instance, reason):
                self._say(InstanceTerminating, instance, reason=reason)

    def _explain(self, plan: Plan, now: float) -> None:
        """Say what was seen, where that is news: at once where something was decided or is in the way, else at times.

        Where nobody else speaks it is said again: what comes back shows that the log is there, and its time. It is said
        now and then in any case, for those who want to know whether the scaler lives.
        """
        scaler = self.seen.scaler
        live = [self._state(instance) for instance in scaler.live]
        decided = {
            "needs": list(plan.needs),
            "instances": dict(sorted(Counter(state.status for state in live).items())),
            "hourly_cost": round(sum(state.placement.hourly_cost for state in live), 6),
            "stuck": self._stuck.entries(MOST_STUCK),
            "lacking": dict(plan.lacking),
        }
        said = scaler.decided
        is_news = said is None or decided != {name: getattr(said, name) for name in decided}
        is_urgent = said is None or bool(plan.actions) or _hindrances(plan) != _hindrances(said)
        silent = now - self._explained_at
        if (is_news and (is_urgent or silent >= EXPLAIN)) or silent >= SIGN_OF_LIFE or self._is_deaf(now):
            self._explained_at = now
            self._owe(ScalingDecided, "read", scaler=self._settings.name, **decided)

    def _is_deaf(self, now: float) -> bool:
        """Whether nothing was read for a while although something is there that time passes for."""
        warm = any(kind.minimum for kind in self._settings.resources.values())
        concerned = warm or bool(self.seen.scaler.live) or any(self.seen.backlogs.values())
        return concerned and self.seen.unheard(now) >= PROBE

    def _say(self, kind: type[InstanceEvent], instance: str, /, **fields: Any) -> None:
        self._owe(kind, "read", scaler=self._settings.name, instance=instance, **fields)

    def _owe(self, kind: type[Event], until: Until, /, **fields: Any) -> None:
        assert self._stamp is not None  # noqa: S101  only a leader speaks
        self.appends.owe(kind.model_validate({"meta": self._stamp(), **fields}), until)

    def _state(self, instance: str) -> InstanceState:
        return self.seen.scaler.instances[instance]


def _hindrances(told: Plan | ScalingDecided) -> list[tuple[str, str]]:
    return [*((need.queue, need.held_back_by) for need in told.needs), *sorted(told.lacking.items())]
