"""What the demo of the scaler sees: events of tasks and machines folded, each told in a line. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..producers.text import counted

if TYPE_CHECKING:
    from ..events.base import Event

STEP: Final = 10
"""So many tasks are told of at once."""
_ENDINGS: Final = {"RunCompleted", "RunFailed", "RunStopped"}


@dataclass
class Machine:
    """An agent that the scaler asked for; moments in seconds since the demo began."""

    number: int
    asked: float
    why: str
    worker: str = ""
    served: float | None = None
    gone: float | None = None


@dataclass
class Scaling:
    """Tasks of one queue, how often each was started and how it ended, and the machines of one scaler, by id.

    Topics may be read in any order, so that all tasks are followed, and those counted that came to the queue; `runs`
    counts what each worker has started, whichever machine it turns out to be on.
    """

    scaler: str
    tasks: set[str] = field(default_factory=set)
    starts: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    ends: dict[str, str] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    most: int = 0
    leads: int = 0
    _told: int = 0

    def live(self) -> list[Machine]:
        """Machines that are not gone."""
        return [machine for machine in self.machines.values() if machine.gone is None]

    def over(self) -> int:
        """How many tasks have ended."""
        return len(self.tasks & self.ends.keys())

    def ran_on(self, machine: Machine) -> int:
        """How many runs a machine's agent has started."""
        return self.runs[machine.worker] if machine.worker else 0

    def apply(self, event: Event, at: float) -> Iterator[str]:
        """Take an event in; returns what there is to say of it."""
        kind = type(event).__name__
        if kind == "EntryEnqueued":
            self.tasks.add(event.key)
        elif kind == "RunStarted":
            self.starts[event.key] += 1
            self.runs[getattr(event, "worker", "")] += 1
        elif kind in _ENDINGS:
            self.ends[event.key] = kind.removeprefix("Run").lower()
        elif getattr(event, "scaler", "") == self.scaler:
            yield from self._machine(kind, event, at)
        over = self.over()
        if over // STEP > self._told // STEP:
            self._told = over
            yield f"{over} of {counted(len(self.tasks), 'task')} done, {counted(len(self.live()), 'agent')} there"

    def _machine(self, kind: str, event: Event, at: float) -> Iterator[str]:
        reason = getattr(event, "reason", "")
        if kind == "ScalerLeads":
            self.leads += 1
            yield (
                "a scaler leads" if self.leads == 1 else "the next scaler leads, and goes on with the agents there are"
            )
        elif kind == "InstanceRequested":
            made = self.machines[event.key] = Machine(len(self.machines) + 1, at, reason)
            self.most = max(self.most, len(self.live()))
            yield f"it asks for agent {made.number}: {reason}"
        elif event.key in self.machines:
            yield from _change(self.machines[event.key], kind, event, at)


def _change(machine: Machine, kind: str, event: Event, at: float) -> Iterator[str]:
    reason = getattr(event, "reason", "") or getattr(event, "message", "")
    if kind == "InstanceReady":
        machine.worker, machine.served = getattr(event, "worker", ""), at
        yield f"agent {machine.number} serves"
    elif kind == "InstanceDraining":
        yield f"agent {machine.number} is told to leave: {reason}"
    elif kind in {"InstanceTerminated", "InstanceFailed"}:
        machine.gone = at
        yield f"agent {machine.number} is gone" if kind == "InstanceTerminated" else f"agent {machine.number}: {reason}"
