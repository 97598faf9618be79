"""Folds concurrency limits into tables: one row per limited scope, and one per permit in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..events.limit_events import LimitSet, PermitEvent
from .limit_fold import LimitFold, Permit
from .verdict import Verdict, rejected

if TYPE_CHECKING:
    from .arrival import Arrival
    from .tables import Row, Tables


class LimitTables:
    """Limits and permits of one batch: all there are, as any may decide; they are as few as runs under way."""

    def __init__(self) -> None:
        self._fold = LimitFold()
        self._known_limits: dict[str, Row] = {}
        self._known_permits: dict[str, Row] = {}
        self._set_us: dict[str, int] = {}

    def load(self, tables: Tables, arrivals: Sequence[Arrival]) -> None:  # noqa: ARG002  all rows are read
        """Read what is in force."""
        self._known_limits = {row[0]: row for row in tables.all("limit_states")}
        self._known_permits = {row[0]: row for row in tables.all("permit_states")}
        self._set_us = {scope: us for scope, _, us in self._known_limits.values()}
        limits = {scope: running for scope, running, _ in self._known_limits.values()}
        self._fold = LimitFold.of(limits, map(_permit, self._known_permits.values()))

    def apply(self, arrival: Arrival) -> Verdict:
        """Fold one event; copies are told before."""
        event = arrival.event
        if not isinstance(event, LimitSet | PermitEvent):
            return rejected("no event of a limit")
        if isinstance(event, LimitSet):
            self._set_us[event.scope] = arrival.us
        return self._fold.apply(event, arrival.us)

    def save(self, tables: Tables) -> None:
        """Write what changed."""
        limits = [(scope, running, self._set_us[scope]) for scope, running in self._fold.limits.items()]
        _write(tables, "limit_states", self._known_limits, limits)
        _write(tables, "permit_states", self._known_permits, [_row(one) for one in self._fold.permits.values()])


def _write(tables: Tables, table: str, known: dict[str, Row], rows: Sequence[Row]) -> None:
    keys = {row[0] for row in rows}
    tables.delete(table, [(key,) for key in known if key not in keys])
    tables.replace(table, [row for row in rows if known.get(row[0]) != row])


def _permit(row: Row) -> Permit:
    permit, task, run, entry, worker, scopes, claimed_us = row
    return Permit(permit, task, run, entry, worker, tuple(scopes), claimed_us)


def _row(permit: Permit) -> Row:
    scopes = list(permit.scopes)
    return (permit.id, permit.task, permit.run, permit.entry, permit.worker, scopes, permit.claimed_us)
