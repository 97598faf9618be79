"""What a scaler decides from: work that waits, machines and what their agents do, and placements that just failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..events.hardware import NOTHING, Hardware
from ..events.instance_events import FailureKind, Placement

MachineStatus = Literal["booting", "ready", "draining", "terminating"]


class Offer(NamedTuple):
    """What an agent has left: slots for the queues that it serves, and hardware."""

    queues: tuple[str, ...]
    slots: int
    spare: Hardware = NOTHING

    def room(self, needed: Hardware) -> int:
        """How many entries that need so much each it can take."""
        return int(min(self.slots, needed.times_in(self.spare)))

    def less(self, entries: int, needed: Hardware) -> Offer:
        """What is left once it has taken so many entries that need so much each."""
        return Offer(self.queues, self.slots - entries, self.spare.without(needed, entries))


@dataclass(frozen=True, slots=True)
class Demand:
    """Work that waits in a queue. `stuck` entries are those that free agents leave alone: they call for no machine.

    `needing` counts those that are not stuck and need hardware, by what each needs.
    """

    waiting: int
    stuck: int = 0
    needing: Mapping[Hardware, int] = field(default_factory=dict)

    def calls(self) -> Iterator[tuple[Hardware, int]]:
        """What calls for machines, the most demanding first: how many entries, by what each needs."""
        yield from sorted(self.needing.items(), key=lambda call: call[0].size, reverse=True)
        yield NOTHING, max(0, self.waiting - self.stuck - sum(self.needing.values()))


@dataclass(slots=True)
class Machine:
    """A machine that is not gone; times are in seconds. One that was only asked for counts as booting.

    `age` is the time since it was asked for, `idle` since its agent last had anything to do (0 while it has),
    `silence` since there was last an agent on it. `left` says that its agent has gone in order, `spare` what it has
    left beside what it runs.
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
    spare: Hardware = NOTHING

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

    `others` counts free agents on machines of nobody's scaling, by what they offer. `spent_hours` are those of machines
    within the budget's period, `since_launch` the seconds since each resource was last asked for.
    """

    demands: Mapping[str, Demand]
    machines: Sequence[Machine] = ()
    others: Mapping[Offer, int] = field(default_factory=dict)
    failures: Sequence[Failed] = ()
    spent_hours: float = 0.0
    since_launch: Mapping[str, float] = field(default_factory=dict)
