"""Short words for tests of the scaler: settings, machines and what is to be seen, all with the usual values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tasktape.events.instance_events import Placement
from tasktape.scaler.ending import Drain, Terminate
from tasktape.scaler.policy import Launch, Plan, decide
from tasktape.scaler.settings import ScalerSettings
from tasktape.scaler.situation import Demand, Machine, Situation

MINUTE = 60.0


def scaler_of(
    queues: Mapping[str, Sequence[tuple[str, int]]] | None = None,
    resources: Mapping[str, Mapping[str, Any]] | None = None,
    **others: Any,
) -> ScalerSettings:
    """Settings; without further word one queue `q` that may have 5 machines of the resource `m`."""
    queues = queues or {"q": [("m", 5)]}
    named = {resource for shares in queues.values() for resource, _ in shares}
    described = {name: (resources or {}).get(name, {}) for name in sorted(named)}
    return ScalerSettings.model_validate({"provider": "local", "queues": queues, "resources": described, **others})


def machine(instance: str = "i", resource: str = "m", status: str = "ready", **others: Any) -> Machine:
    """A machine; `queues` is `q` alone unless told."""
    fields = {"queues": ["q"], "placement": Placement(), "age": 10 * MINUTE, **others}
    return Machine(instance, resource, status=status, **fields)  # type: ignore[arg-type]


def machines(count: int, **fields: Any) -> list[Machine]:
    """So many alike."""
    return [machine(f"i{place}", **fields) for place in range(count)]


def situation(waiting: int | Mapping[str, int] = 0, machines: Sequence[Machine] = (), **others: Any) -> Situation:
    """What is to be seen: entries that wait in `q`, or by queue."""
    counts = waiting if isinstance(waiting, Mapping) else {"q": waiting}
    return Situation({queue: Demand(count) for queue, count in counts.items()}, machines, **others)


def launches(plan: Plan) -> Counter[str]:
    """Machines to come, by resource."""
    return Counter(action.resource for action in plan.actions if isinstance(action, Launch))


def launched(settings: ScalerSettings, seen: Situation) -> Counter[str]:
    """The same, of what is decided."""
    return launches(decide(seen, settings))


def placements(settings: ScalerSettings, seen: Situation) -> list[Placement]:
    """Where machines go."""
    return [action.placement for action in decide(seen, settings).actions if isinstance(action, Launch)]


def ends(settings: ScalerSettings, seen: Situation) -> dict[str, str]:
    """Machines that go: how, by instance."""
    actions = decide(seen, settings).actions
    return {action.instance: type(action).__name__ for action in actions if isinstance(action, Drain | Terminate)}


def why(settings: ScalerSettings, seen: Situation) -> str:
    """What holds the first queue back."""
    return decide(seen, settings).needs[0].held_back_by
