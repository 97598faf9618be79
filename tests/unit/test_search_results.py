"""What a search has come to: which trials are the best."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tasktape.producers.search.objectives import objectives
from tasktape.producers.search.results import ranked
from tasktape.projections.search_fold import TrialState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOSS = objectives("loss", "test", "min")


def trials(*values: tuple[float, ...], **of_all: Any) -> list[TrialState]:
    about: dict[str, Any] = {"status": "completed", "ended_at": NOW, **of_all}
    return [TrialState(number, f"t{number}", (), values=held, **about) for number, held in enumerate(values)]


def test_trials_that_failed_or_told_nothing_are_never_among_the_best() -> None:
    some = [*trials((3.0,), (), (1.0,)), *trials((0.0,), status="failed")]
    assert [trial.values for trial in ranked(some, LOSS)] == [(1.0,), (3.0,)]
