"""What a provider's list of machines tells that the log does not: machines that came, went, or belong to nobody."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ..projections.instance_fold import InstanceState, ScalerFold
from .provider import Described

UNSEEN: Final = timedelta(minutes=2)
"""A machine that was just launched may be missing in a provider's list for a while: EC2 calls it eventual."""


@dataclass(frozen=True, slots=True)
class Came:
    """The machine of an instance is there, and the log does not name it yet."""

    instance: str
    described: Described


@dataclass(frozen=True, slots=True)
class Gone:
    """The machine of an instance is no more."""

    instance: str
    reason: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """A machine bears the scaler's name, and the log knows nothing of it."""

    described: Described


@dataclass(frozen=True, slots=True)
class Zombie:
    """A machine runs whose instance is over by the log."""

    described: Described


Finding = Came | Gone | Orphan | Zombie


def reconcile(scaler: ScalerFold, described: Iterable[Described], now: datetime) -> Iterator[Finding]:
    """Compare the log with what a provider sees at this moment.

    One that was only asked for may be missing: it is ordered, or will be.
    """
    seen = {each.instance: each for each in sorted(described, key=lambda each: each.status != "gone")}
    for each in seen.values():
        if (finding := _compare(scaler.instances.get(each.instance), each)) is not None:
            yield finding
    for state in [scaler.instances[one] for one in scaler.live if one not in seen]:
        if state.status != "requested" and now - (state.launched_at or state.requested_at) > UNSEEN:
            yield Gone(state.instance, "its provider knows no such machine")


def _compare(state: InstanceState | None, described: Described) -> Finding | None:
    is_up = described.status in ("pending", "running")
    if state is None:
        return Orphan(described) if is_up else None
    if state.over:
        return Zombie(described) if is_up else None
    if described.status == "gone":
        return Gone(state.instance, state.reason if state.status == "terminating" else "its provider ended it")
    return None if state.machine else Came(state.instance, described)
