"""Events of machines that come and go: what a scaler asked for, what became of it, and why.

An instance's id is the scaler's own and is there before the machine is: asked for twice, a provider makes one machine.
The topic has one partition, so that all of it has one order: who leads, what was decided, and what came of it.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from pydantic import Field

from .base import Event, Part

SIGN_OF_LIFE: Final = 600.0
"""A scaler that lives says what it came to at least so often, in seconds: what it says is kept for ever."""

FailureKind = Literal["capacity", "throttled", "quota", "settings", "spin_up", "provider"]
"""Why a machine did not come to be: `capacity` and `quota` speak of one placement, `settings` of what was asked for."""


class Placement(Part):
    """Where and how a machine runs. `hourly_cost` is in US dollars, 0 where it costs nothing or is not known."""

    instance_type: str = ""
    zone: str = ""
    subnet: str = ""
    spot: bool = False
    hourly_cost: float = 0.0


class InstanceEvent(Event):
    """An event about one machine; `scaler` is the name of the group of machines that it belongs to."""

    topic: ClassVar[str] = "tasktape.instances"

    scaler: str
    instance: str

    @property
    def key(self) -> str:
        """The instance's id."""
        return self.instance


class InstanceRequested(InstanceEvent):
    """The scaler decided to launch a machine of a resource kind; said before the provider is asked."""

    provider: str
    resource: str
    queues: list[str]
    placement: Placement
    slots: int = 1
    reason: str = ""


class InstanceLaunched(InstanceEvent):
    """The provider has begun to start it; `machine` is the provider's name for it."""

    machine: str
    zone: str = ""


class InstanceReady(InstanceEvent):
    """The agent on it serves its queues; `worker` is that agent."""

    worker: str


class InstanceDraining(InstanceEvent):
    """Its agent was told to take nothing new and to leave. An interrupted one is taken away by its provider soon."""

    reason: str
    interrupted: bool = False


class InstanceTerminating(InstanceEvent):
    """The scaler decided to end the machine; said before the provider is asked."""

    reason: str


class InstanceTerminated(InstanceEvent):
    """The machine is gone, whoever ended it."""

    reason: str = ""


class InstanceFailed(InstanceEvent):
    """The machine never came to be."""

    kind: FailureKind
    message: str = ""


class InstanceAdopted(InstanceEvent):
    """A machine that runs under the scaler's tags, and of which the log knows nothing: it counts from now on."""

    provider: str
    resource: str
    machine: str
    queues: list[str]
    placement: Placement
    slots: int = 1


class ScalerEvent(Event):
    """An event about a scaler, which is known by the name of its group of machines."""

    topic: ClassVar[str] = InstanceEvent.topic

    scaler: str

    @property
    def key(self) -> str:
        """The scaler's name."""
        return self.scaler


class ScalerBudget(Part):
    """What all machines of a scaler together may be: how many, dollars an hour, and hours of machines in a period."""

    instances: int | None = None
    hourly_cost: float | None = None
    instance_hours: float | None = None
    period_hours: float = 24.0


class ScalerLeads(ScalerEvent):
    """This session decides for the scaler from here on: decisions of others after this event don't count."""

    budget: ScalerBudget | None = None


class QueueNeed(Part):
    """Why a queue gets machines or not: entries waiting, slots that will take them, machines asked for or refused."""

    queue: str
    waiting: int
    stuck: int = 0
    free: int = 0
    booting: int = 0
    launched: int = 0
    missing: int = 0
    held_back_by: str = ""


class ScalingDecided(ScalerEvent):
    """What a scaler saw and came to, whenever that changed, and every ten minutes at least: it lives.

    `stuck` are entries that free agents leave alone. `lacking` says what is in the way of resources' minimum.
    """

    needs: list[QueueNeed]
    instances: dict[str, int] = Field(default_factory=dict)
    hourly_cost: float = 0.0
    stuck: list[str] = Field(default_factory=list)
    lacking: dict[str, str] = Field(default_factory=dict)
