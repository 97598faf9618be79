"""A search as the projection tells it, in the terms in which its figures and tables are made."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ...events.search_events import Objective, SearchLimits
from ...projections.search_rows import SearchRow, TrialRow
from ..parameters import decode
from .figures import Shown


def objectives_of(row: SearchRow) -> list[Objective]:
    """What the search looks for."""
    return [Objective.model_validate(one) for one in json.loads(row.objectives)]


def limits_of(row: SearchRow) -> SearchLimits:
    """What ends its trials and itself."""
    return SearchLimits.model_validate_json(row.limits)


def shown_of(trials: Sequence[TrialRow]) -> list[Shown]:
    """What is shown of the trials."""
    return [
        Shown(one.number, one.child, one.status, one.values, one.iteration, decode(one.parameters)) for one in trials
    ]
