"""What a scaler may do, as one frozen value read from a TOML file: queues, kinds of machines, limits and budgets.

Names are those that ClearML's autoscaler has, where it has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ..events.hardware import Hardware
from ..events.instance_events import Placement
from .aws_settings import AwsSettings, machines_of


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _share(value: Any) -> Any:
    """ClearML writes `["resource", 3]` for what a queue may have of a resource."""
    if isinstance(value, list | tuple) and len(value) == len(Share.model_fields):
        return dict(zip(Share.model_fields, value, strict=True))
    if isinstance(value, dict | Share):
        return value
    raise ValueError('write pairs of a resource and its maximum, as in [["gpu", 4], ["cpu", 8]]')


class Share(_Part):
    """A queue may have so many machines of a resource at once."""

    resource: str
    maximum: int = Field(ge=0)


def _texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class Resource(_Part):
    """A kind of machine. Placements are tried in order: spot before on-demand, types as listed, any of the zones.

    `hourly_cost` is in US dollars for each instance type, on demand; `spot_cost` the same for spot. `gpus`, `cpus` and
    `memory_gb` (GiB) are what its agent gives to tasks that ask for some: those come here only if it says so.
    """

    instance_type: Texts = ("",)
    availability_zone: Texts = ()
    subnet_id: Texts = ()
    is_spot: bool = False
    fall_back_to_on_demand: bool = True
    hourly_cost: dict[str, float] | float = 0.0
    spot_cost: dict[str, float] | float | None = None
    minimum: int = Field(default=0, ge=0)
    slots: int = Field(default=1, ge=1)
    gpus: int = Field(default=0, ge=0)
    cpus: float = Field(default=0.0, ge=0)
    memory_gb: float = Field(default=0.0, ge=0)
    max_idle_time_min: float | None = Field(default=None, gt=0)
    max_spin_up_time_min: float | None = Field(default=None, gt=0)
    provider: dict[str, Any] = Field(default_factory=dict)

    @cached_property
    def hardware(self) -> Hardware:
        """What a machine has for the tasks it runs at once."""
        return Hardware(gpus=self.gpus, cpus=self.cpus, memory_gb=self.memory_gb)

    def agent_options(self) -> list[str]:
        """Options by which its agent has as many slots and gives as much as is said here.

        Where there are enough GPUs each slot has its own; a machine of which nothing is said finds out what it has.
        """
        options = ["--slots", str(self.slots)]
        if self.cpus:
            options += ["--cpus", f"{self.cpus:g}"]
        if self.memory_gb:
            options += ["--memory-gb", f"{self.memory_gb:g}"]
        if self.gpus >= self.slots:
            options += ["--gpus", ",".join(map(str, range(self.gpus))), "--gpus-per-task", str(self.gpus // self.slots)]
        return options

    def tiers(self) -> Iterator[list[Placement]]:
        """Placements in groups, the best group first; within one all are alike, so that machines spread over them."""
        markets = [True, False] if self.is_spot and self.fall_back_to_on_demand else [self.is_spot]
        for spot in markets:
            for kind in self.instance_type:
                cost = self._cost(kind, spot=spot)
                yield [
                    Placement(instance_type=kind, zone=zone, subnet=subnet, spot=spot, hourly_cost=cost)
                    for zone, subnet in self._places()
                ]

    def _places(self) -> list[tuple[str, str]]:
        if self.subnet_id:
            return [("", subnet) for subnet in self.subnet_id]
        return [(zone, "") for zone in self.availability_zone or ("",)]

    def _cost(self, kind: str, *, spot: bool) -> float:
        costs = self.spot_cost if spot and self.spot_cost is not None else self.hourly_cost
        return costs.get(kind, 0.0) if isinstance(costs, dict) else costs


class Budget(_Part):
    """What all machines together may be: how many, dollars an hour, and hours of machines within `period_hours`.

    Once the hours are used up, machines take nothing new and leave; what they run then ends as it would have.
    """

    instances: int | None = Field(default=None, ge=0)
    hourly_cost: float | None = Field(default=None, ge=0)
    instance_hours: float | None = Field(default=None, ge=0)
    period_hours: float = Field(default=24.0, gt=0)


class ScalerSettings(_Part):
    """A scaler: the queues it serves, by name, with what each may have, in the order of preference.

    A machine serves all queues that name its resource, and counts in the maximum of each. `cooldown_s` is how long a
    resource waits after it launched machines before it launches more. `max_silence_min` is how long a
    machine may be without an agent before it is ended. `stuck_after_s` is how long an entry may be left alone by a
    free agent before it no longer counts as work that waits.
    """

    name: str = Field(default="default", min_length=1)
    provider: Literal["aws", "local"]
    queues: dict[str, tuple[Annotated[Share, BeforeValidator(_share)], ...]]
    resources: dict[str, Resource]
    budget: Budget = Field(default_factory=Budget)
    aws: AwsSettings = Field(default_factory=AwsSettings)
    max_idle_time_min: float = Field(default=15.0, gt=0)
    max_spin_up_time_min: float = Field(default=30.0, gt=0)
    max_silence_min: float = Field(default=3.0, gt=0)
    cooldown_s: float = Field(default=0.0, ge=0)
    stuck_after_s: float = Field(default=60.0, gt=0)

    @model_validator(mode="after")
    def _knows_its_resources(self) -> Self:
        named = {share.resource for shares in self.queues.values() for share in shares}
        if unknown := named - self.resources.keys():
            raise ValueError(f"queues name resources that are not described: {', '.join(sorted(unknown))}")
        if "" in self.queues:
            raise ValueError("a queue has no name")
        if unused := self.resources.keys() - named:
            raise ValueError(f"no queue names the resources {', '.join(sorted(unused))}")
        return self

    @model_validator(mode="after")
    def _knows_its_provider(self) -> Self:
        if self.provider == "aws":
            machines_of(self.aws, {name: kind.provider for name, kind in self.resources.items()})
        return self

    def queues_of(self, resource: str) -> list[str]:
        """Queues that machines of a resource serve, in order."""
        return [queue for queue, shares in self.queues.items() if any(s.resource == resource for s in shares)]

    def maximum(self, resource: str, queue: str = "") -> int:
        """How many machines of a resource there may be for a queue; without one, for any that names it."""
        shares = (share for name, of in self.queues.items() if queue in ("", name) for share in of)
        return max((share.maximum for share in shares if share.resource == resource), default=0)

    def idle_seconds(self, resource: str) -> float:
        """How long a machine of a resource may have nothing to do."""
        own = self.resources[resource].max_idle_time_min if resource in self.resources else None
        return 60.0 * (own or self.max_idle_time_min)

    def minutes_alone(self, resource: str) -> float:
        """How long an agent waits for work before it leaves of its own: the scaler, if there is one, ends it before.

        Those that are kept warm wait for a day.
        """
        warm = resource in self.resources and self.resources[resource].minimum > 0
        return max(2.0 * self.idle_seconds(resource) / 60.0, 24.0 * 60.0 if warm else 0.0)

    def spin_up_seconds(self, resource: str) -> float:
        """How long a machine of a resource may take until its agent serves."""
        own = self.resources[resource].max_spin_up_time_min if resource in self.resources else None
        return 60.0 * (own or self.max_spin_up_time_min)
