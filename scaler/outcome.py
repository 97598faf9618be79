"""What a simulation came to, in figures: how long tasks waited, what machines there were, what they cost and did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from .traces import Numbers, Trace

_POINTS: Final = 400
_PERCENTILES: Final = (50.0, 95.0, 99.0, 100.0)


@dataclass(frozen=True, slots=True)
class Stay:
    """A machine from when it was asked for until it was gone."""

    resource: str
    since: float
    until: float
    slots: int
    hourly_cost: float


@dataclass(frozen=True, slots=True)
class Waits:
    """How long tasks of a queue waited, in seconds."""

    tasks: int
    p50: float
    p95: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Curves:
    """What there was over time: the most since the moment before of machines, slots, slots at work, tasks that waited.

    Moments are in seconds.
    """

    moments: Numbers
    machines: Numbers
    slots: Numbers
    busy: Numbers
    waiting: Numbers


@dataclass(frozen=True, slots=True)
class Outcome:
    """All of it. `unserved` are tasks that never began; times that tasks take again after an interruption count.

    `held_back` are hours in which a queue wanted for machines, by queue and what was in the way, the longest first.
    """

    waits: Mapping[str, Waits]
    held_back: Mapping[str, Mapping[str, float]]
    unserved: int
    interrupted: int
    machines_p50: float
    machines_max: int
    launches: Mapping[str, int]
    machine_hours: float
    cost: float
    utilisation: float
    hours: float
    decisions: int
    curves: Curves
    waited: Mapping[str, Numbers]


@dataclass(frozen=True, slots=True)
class History:
    """What a simulation keeps on its way: when each task first began (NaN if never), and all that ran and was there."""

    trace: Trace
    first_begun: Numbers
    begun: Sequence[float]
    ended: Sequence[float]
    stays: Sequence[Stay]
    held_back: Mapping[tuple[str, str], float]
    until: float
    interrupted: int
    decisions: int


def outcome_of(history: History) -> Outcome:
    """Sum up."""
    trace, stays = history.trace, history.stays
    served = ~np.isnan(history.first_begun)
    waited = history.first_begun - trace.arrivals
    by_queue = {name: waited[served & (trace.queue == place)] for place, name in enumerate(trace.queues)}
    seconds = np.array([stay.until - stay.since for stay in stays])
    slot_seconds = float(seconds @ np.array([stay.slots for stay in stays])) if len(stays) else 0.0
    counts, weights = _machines(stays, history.until)
    return Outcome(
        waits={name: _waits(times) for name, times in by_queue.items()},
        held_back={name: _reasons(history.held_back, name) for name in trace.queues},
        unserved=int((~served).sum()),
        interrupted=history.interrupted,
        machines_p50=_weighted_median(counts, weights),
        machines_max=int(counts.max(initial=0)),
        launches=_launches(stays),
        machine_hours=float(seconds.sum()) / 3600.0,
        cost=float(seconds @ np.array([stay.hourly_cost for stay in stays])) / 3600.0 if len(stays) else 0.0,
        utilisation=(sum(history.ended) - sum(history.begun)) / slot_seconds if slot_seconds else 0.0,
        hours=history.until / 3600.0,
        decisions=history.decisions,
        curves=_curves(history),
        waited=by_queue,
    )


def _waits(times: Numbers) -> Waits:
    if not len(times):
        return Waits(0, *[float("nan")] * len(_PERCENTILES))
    return Waits(len(times), *(float(value) for value in np.percentile(times, _PERCENTILES)))


def _reasons(held_back: Mapping[tuple[str, str], float], queue: str) -> dict[str, float]:
    return {
        reason: held_back[name, reason]
        for name, reason in sorted(held_back, key=lambda k: -held_back[k])
        if name == queue
    }


def _launches(stays: Sequence[Stay]) -> dict[str, int]:
    names, counts = np.unique([stay.resource for stay in stays], return_counts=True)
    return {str(name): int(count) for name, count in zip(names, counts, strict=True)}


def _machines(stays: Sequence[Stay], until: float) -> tuple[Numbers, Numbers]:
    """How many machines there were, and for how many seconds."""
    moments = np.array([0.0, *(stay.since for stay in stays), *(stay.until for stay in stays), until])
    steps = np.array([0.0, *[1.0] * len(stays), *[-1.0] * len(stays), 0.0])
    order = np.lexsort((steps, moments))
    return np.cumsum(steps[order])[:-1], np.diff(moments[order])


def _weighted_median(values: Numbers, weights: Numbers) -> float:
    order = np.argsort(values, kind="stable")
    passed = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(passed, passed[-1] / 2)]) if len(values) and passed[-1] else 0.0


def _curves(history: History) -> Curves:
    at = np.linspace(0.0, history.until, _POINTS)
    first = history.first_begun[~np.isnan(history.first_begun)]
    since, until = ([getattr(stay, name) for stay in history.stays] for name in ("since", "until"))
    slots = np.array([stay.slots for stay in history.stays], dtype=float)
    return Curves(
        at,
        machines=_most(since, until, at),
        slots=_most(since, until, at, slots),
        busy=_most(history.begun, history.ended, at),
        waiting=_most(history.trace.arrivals, first, at),
    )


def _most(begun: Any, ended: Any, at: Numbers, weights: Numbers | None = None) -> Numbers:
    """The most that had begun and not ended, since the moment before: however short a peak is, it shows."""
    moments = np.concatenate([begun, ended])
    came = np.ones(len(begun)) if weights is None else weights
    steps = np.concatenate([came, -(np.ones(len(ended)) if weights is None else weights)])
    order = np.lexsort((steps, moments))
    counts = np.concatenate([[0.0], np.cumsum(steps[order])])
    places = np.searchsorted(moments[order], at, side="right")
    highest = np.maximum(np.maximum.reduceat(counts, places[:-1]), counts[places[1:]])
    return np.concatenate([counts[places[:1]], highest])
