"""What an agent is doing at one moment, in figures: taken in its own thread, so that they belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..projections.queue_fold import Entry
from .claiming import Stage
from .clock import Clock
from .core import Core
from .run_control import Phase, RunControl


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """A served queue, as this agent folds it. Times are in seconds."""

    waiting: int
    claimed: int
    oldest_wait: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One agent. `claiming` counts, by queue, claims on their way; `held` counts runs by phase."""

    ready: bool
    leaving: bool
    slots: int
    slots_free: int
    heartbeat_age: float
    lease_holds: bool
    appends_open: int
    claiming: Counter[str]
    held: dict[str, int]
    queues: dict[str, QueueFigures]


def snapshot(core: Core, clock: Clock) -> Snapshot:
    """Take one."""
    pursuits = [pursuit for pursuit in core.claiming.pursuits.values() if pursuit.stage is not Stage.CHOSEN]
    log_us = core.view.log_us(clock.monotonic())
    folds = {queue: core.view.queues[queue].fold for queue in core.plan.queues}
    return Snapshot(
        ready=core.ready,
        leaving=core.claiming.stopping,
        slots=core.plan.slots,
        slots_free=max(0, core.plan.slots - len(pursuits)),
        heartbeat_age=core.heartbeats.age(clock.boottime()),
        lease_holds=core.runs.lease_holds(),
        appends_open=len(core.appends),
        claiming=Counter(pursuit.queue for pursuit in pursuits if pursuit.stage is Stage.CLAIMING),
        held=_by_phase(core.runs.controls.values()),
        queues={queue: _figures(list(fold.waiting()), len(fold.claimed()), log_us) for queue, fold in folds.items()},
    )


def _by_phase(controls: Iterable[RunControl]) -> dict[str, int]:
    found = Counter(control.phase for control in controls)
    return {phase.name.lower(): found[phase] for phase in Phase}


def _figures(waiting: Iterable[Entry], claimed: int, log_us: int) -> QueueFigures:
    waits = [log_us - free_since_us(entry) for entry in waiting]
    return QueueFigures(len(waits), claimed, max(0, *waits, 0) / 1e6)


def free_since_us(entry: Entry) -> int:
    """Moment of the log from which an entry could be claimed: when it was enqueued, or when its pause had passed."""
    return max(entry.enqueued_us, entry.not_before_us)
