"""Where in a queue an entry is to stand, in terms of what orders entries: priority and rank.

Pure, on the rows that are shown to people: a place counts from what they have seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from .work_rows import EntryRow

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_STEP: Final = 1e-6


class Spot(NamedTuple):
    """What orders an entry. A rank of None is the time at which the event that says so is appended."""

    priority: int
    rank: float | None


def front(rows: Sequence[EntryRow], priority: int | None) -> int:
    """Index of the front of a queue, of the entries of this priority where one is given."""
    return 0 if priority is None else sum(row.priority > priority for row in rows)


def back(rows: Sequence[EntryRow], priority: int | None) -> int:
    """Index behind the last entry of a queue, behind those of this priority where one is given."""
    return len(rows) if priority is None else sum(row.priority >= priority for row in rows)


def spots(rows: Sequence[EntryRow], index: int, own: Spot) -> list[Spot]:
    """Return the spot for an entry to stand at `index` among these rows, then those of rows behind it that give way.

    `own` is what it has: it keeps its priority where that fits the place, else it gets a neighbour's. Only entries of
    equal rank (a broker's clock counts milliseconds) leave no room between them.
    """
    priority = _fitting(rows, index, own.priority)
    before = rows[index - 1] if index > 0 else None
    behind = [row for row in rows[index:] if row.priority == priority]
    if before is not None and before.priority == priority:
        ranks = _between(before.rank, [row.rank for row in behind]) if behind else [_last(before.rank, rows)]
    else:
        ranks = [behind[0].rank - 1.0] if behind else [own.rank]
    return [Spot(priority, rank) for rank in ranks]


def _fitting(rows: Sequence[EntryRow], index: int, priority: int) -> int:
    """The priority nearest to this one that neighbours of that place allow."""
    if index < len(rows):
        priority = max(priority, rows[index].priority)
    return min(priority, rows[index - 1].priority) if index > 0 else priority


def _last(rank: float, rows: Sequence[EntryRow]) -> float | None:
    """A rank behind the last one: of the time to come, unless somebody has ranked an entry beyond that."""
    latest = max((row.changed_at - _EPOCH) / _SECOND for row in rows)
    return None if rank <= latest else rank + 1.0


def _between(low: float, ranks: Sequence[float]) -> list[float | None]:
    """Ranks between `low` and the first of `ranks` that leaves room, for one entry and for those before that one."""
    for count, high in enumerate(ranks, 1):
        step = (high - low) / (count + 1)
        found = [low + step * place for place in range(1, count + 1)]
        if all(a < b for a, b in zip([low, *found], [*found, high], strict=True)):
            return list(found)
    step = max(_STEP, math.ulp(low))
    return [low + step * place for place in range(1, len(ranks) + 2)]
