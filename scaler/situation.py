"""What a scaler decides from: work that waits, machines and what their agents do, and placements that just failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..events.instance_events import FailureKind, Placement

MachineStatus = Literal["booting", "ready", "draining", "terminating"]


@dataclass(frozen=True, slots=True)
class Demand:
    """Work that waits in a queue. `stuck` entries are those that free agents leave alone: they call for no machine."""

    waiting: int
    stuck: int = 0


@dataclass(slots=True)
class Machine:
    """A machine that is not gone; times are in seconds. One that was only asked for counts as booting.

    `age` is the time since it was asked for, `idle` since its agent last had anything to do (0 while it has),
    `silence` since there was last an agent on it. `left` says that its agent has gone in order.
    """

    instance: str
    resource: str
    queues: Sequence[str]
    placement: Placement
    status: MachineStatus
    age: float
    slots: int = 1
    busy: int = 0
    idle: float = 0.0
    silence: float = 0.0
    left: bool = False
    interrupted: bool = False

    @property
    def free(self) -> int:
        """How many more tasks its agent will take."""
        has_room = self.busy < self.slots and self.status == "ready" and not self.silence
        return self.slots - self.busy if has_room else 0


@dataclass(frozen=True, slots=True)
class Failed:
    """Launches of a resource in a placement that failed in a row, and how many seconds ago the last one did."""

    resource: str
    placement: Placement
    count: int
    ago: float
    kind: FailureKind


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision depends on besides the settings.

    `others` are free slots of agents on machines of nobody's scaling, by the queues that they serve. `spent_hours` are
    those of machines within the budget's period, `since_launch` the seconds since each resource was last asked for.
    """

    demands: Mapping[str, Demand]
    machines: Sequence[Machine] = ()
    others: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    failures: Sequence[Failed] = ()
    spent_hours: float = 0.0
    since_launch: Mapping[str, float] = field(default_factory=dict)
