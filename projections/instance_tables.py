"""Folds the events of machines into tables: one row per scaler, per machine, and per queue of each decision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ..events.base import from_us
from ..events.instance_events import (
    InstanceEvent,
    Placement,
    QueueNeed,
    ScalerBudget,
    ScalerEvent,
    ScalerLeads,
    ScalingDecided,
)
from .instance_fold import InstanceFold, InstanceState, ScalerFold
from .tables import us
from .verdict import Verdict, rejected

if TYPE_CHECKING:
    from .arrival import Arrival
    from .tables import Row, Tables

_PLAIN: Final = (
    "scaler",
    "instance",
    "provider",
    "resource",
    "slots",
    "status",
    "machine",
    "worker",
    "reason",
    "failure",
)
_PLACE: Final = tuple(Placement.model_fields)
_MOMENTS: Final = ("requested_at", "launched_at", "ready_at", "drained_at", "ended_at")
_COLUMNS: Final = (*_PLAIN, "queues", *_PLACE, *_MOMENTS)
_NEED: Final = tuple(QueueNeed.model_fields)
_BUDGET: Final = tuple(ScalerBudget.model_fields)
_UNLED: Final = ("", None, *(None for _ in _BUDGET))


class InstanceTables:
    """Scalers and machines of one batch, and what was decided in it."""

    def __init__(self) -> None:
        self._fold = InstanceFold()
        self._scalers: dict[str, Row] = {}
        self._known: dict[tuple[str, str], InstanceState] = {}
        self._leads: dict[str, Row] = {}
        self._decisions: list[Row] = []
        self._needs: list[Row] = []

    def load(self, tables: Tables, arrivals: Sequence[Arrival]) -> None:
        """Read the scalers and machines that these events are about."""
        events = [arrival.event for arrival in arrivals]
        names = {(event.scaler,) for event in events if isinstance(event, InstanceEvent | ScalerEvent)}
        keys = {(event.scaler, event.instance) for event in events if isinstance(event, InstanceEvent)}
        self._decisions, self._needs = [], []
        self._scalers = {row[0]: row for row in tables.select("scaler_states", names)}
        self._leads = {row[0]: row[3:] for row in self._scalers.values()}
        self._known = {
            (state.scaler, state.instance): state for state in map(_state, tables.select("instance_states", keys))
        }
        self._fold = InstanceFold({name: self._scaler(name) for (name,) in names})

    def apply(self, arrival: Arrival) -> Verdict:
        """Fold one event; copies are told before."""
        event = arrival.event
        if not isinstance(event, InstanceEvent | ScalerEvent):
            return rejected("no event of a machine")
        verdict = self._fold.apply(event)
        if verdict.accepted and isinstance(event, ScalerLeads):
            budget = (getattr(event.budget, name, None) for name in _BUDGET)
            self._leads[event.scaler] = (event.meta.actor, arrival.at, *budget)
        elif verdict.accepted and isinstance(event, ScalingDecided):
            self._note(event, arrival)
        return verdict

    def save(self, tables: Tables) -> None:
        """Write the scalers and machines that changed, and the decisions."""
        scalers = [self._row(name, scaler) for name, scaler in self._fold.scalers.items()]
        tables.replace("scaler_states", [row for row in scalers if row != self._scalers.get(row[0])])
        states = [state for scaler in self._fold.scalers.values() for state in scaler.instances.values()]
        changed = [state for state in states if state is not self._known.get((state.scaler, state.instance))]
        tables.replace("instance_states", list(map(_instance_row, changed)))
        tables.insert("decisions", self._decisions)
        tables.insert("decision_needs", self._needs)

    def _scaler(self, name: str) -> ScalerFold:
        """What is known of a scaler, as far as this batch needs it: who leads, and these machines."""
        instances = {state.instance: state for state in self._known.values() if state.scaler == name}
        row = self._scalers.get(name)
        return ScalerFold(row[1] if row else "", set(row[2]) if row else set(), instances)

    def _row(self, name: str, scaler: ScalerFold) -> Row:
        return (name, scaler.leader, sorted(scaler.leaders), *self._leads.get(name, _UNLED))

    def _note(self, event: ScalingDecided, arrival: Arrival) -> None:
        place = (event.scaler, arrival.offset, arrival.at)
        self._decisions.append(
            (*place, json.dumps(event.instances), event.hourly_cost, event.stuck, json.dumps(event.lacking))
        )
        self._needs += [
            (*place, number, *(getattr(need, name) for name in _NEED)) for number, need in enumerate(event.needs)
        ]


def _state(row: Row) -> InstanceState:
    known = dict(zip(_COLUMNS, row, strict=True))
    told: dict[str, Any] = {name: known[name] for name in _PLAIN}
    told |= {name: None if known[name] is None else from_us(known[name]) for name in _MOMENTS}
    placement = Placement.model_validate({name: known[name] for name in _PLACE})
    return InstanceState(**told, queues=tuple(known["queues"]), placement=placement)


def _instance_row(state: InstanceState) -> Row:
    told = {name: getattr(state, name) for name in _PLAIN} | state.placement.model_dump()
    told |= {"queues": list(state.queues), **{name: us(getattr(state, name)) for name in _MOMENTS}}
    return tuple(told[column] for column in _COLUMNS)
