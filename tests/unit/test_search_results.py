"""What a search has come to: which trials are the best, and which of the others are put out of sight."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tasktape.producers.search.objectives import Objectives, objectives
from tasktape.producers.search.results import left_out, ranked
from tasktape.projections.search_fold import TrialState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOSS = objectives("loss", "test", "min")
BOTH = objectives(["loss", "size"], ["test", "test"], ["min", "min_global"])


def trials(*values: tuple[float, ...], **of_all: Any) -> list[TrialState]:
    about: dict[str, Any] = {"status": "completed", "ended_at": NOW, **of_all}
    return [TrialState(number, f"t{number}", (), values=held, **about) for number, held in enumerate(values)]


def test_trials_that_failed_or_told_nothing_are_never_among_the_best() -> None:
    some = [*trials((3.0,), (), (1.0,)), *trials((0.0,), status="failed")]
    assert [trial.values for trial in ranked(some, LOSS)] == [(1.0,), (3.0,)]


@pytest.mark.parametrize(
    ("metric", "values", "keeps", "hidden"),
    [
        (LOSS, [(3.0,), (1.0,), (2.0,)], 1, {0, 2}),
        (LOSS, [(3.0,), (1.0,), (2.0,)], 2, {0}),
        (LOSS, [(3.0,), (1.0,), (2.0,)], 9, set()),
        (LOSS, [(1.0,), (1.0,), ()], 1, {1, 2}),
        (BOTH, [(2.0, 2.0), (1.0, 3.0), (1.0, 1.0)], 1, {0, 1}),
        (BOTH, [(4.0, 4.0), (3.0, 3.0), (2.0, 9.0)], 2, {0}),
        (BOTH, [(4.0, 4.0), (3.0, 3.0), (2.0, 9.0), (1.0, 8.0), (2.5, 3.0)], 3, {0, 2}),
    ],
)
def test_all_but_the_best_are_left_out(
    metric: Objectives, values: list[tuple[float, ...]], keeps: int, hidden: set[int]
) -> None:
    assert left_out(trials(*values), metric, keeps) == hidden


def test_trials_under_way_are_in_sight() -> None:
    assert left_out(trials((1.0,), (), status="running", ended_at=None), LOSS, 1) == set()
