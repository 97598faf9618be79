"""The port behind which machines come from: launch, describe, terminate. All calls are safe to repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ..events.instance_events import FailureKind, Placement
from .settings import Resource


@dataclass(frozen=True, slots=True)
class Order:
    """A machine that is to come. `instance` is the scaler's id for it: the same order twice makes one machine."""

    instance: str
    resource: str
    kind: Resource
    placement: Placement
    queues: Sequence[str]


@dataclass(frozen=True, slots=True)
class Launched:
    """The provider starts it; `machine` is its name for it."""

    instance: str
    machine: str
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider does not. `throttled` and `provider` may be tried again as they are."""

    instance: str
    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True)
class Described:
    """A machine as the provider sees it, with what the scaler wrote on it when it was launched."""

    machine: str
    instance: str
    resource: str
    queues: Sequence[str]
    placement: Placement
    status: Literal["pending", "running", "ending", "gone"]
    slots: int = 1
    interrupted: bool = False


class Provider(Protocol):
    """Where machines come from. One object per scaler; its calls come from one thread at a time."""

    name: str

    def launch(self, orders: Sequence[Order]) -> list[Launched | Refused]:
        """Start machines, at once and in as few calls as can be; returns an outcome for each order."""
        ...

    def describe(self) -> list[Described]:
        """All machines of this scaler, those that ended a short while ago too. Raises `ProviderError`."""
        ...

    def terminate(self, machines: Sequence[str]) -> None:
        """End machines, those that are gone already too. Raises `ProviderError`."""
        ...

    def close(self) -> None:
        """Let go of what the provider holds here; machines stay."""
        ...
