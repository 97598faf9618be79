"""A searcher lets those who look on know of each change, and at its end of what it has come to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest.mock import MagicMock

from tasktape.events.base import Meta
from tasktape.events.parts import TaskSpec
from tasktape.events.search_events import (
    Objective,
    SearchDefined,
    SearchEvent,
    SearchLimits,
    TrialFinished,
    TrialQueued,
)
from tasktape.producers.search.searcher import Plan, Searcher

LOSS = Objective(title="loss", series="test", sign="min")
META = Meta(event_id="e", occurred_at=datetime(2026, 1, 1, tzinfo=UTC), actor="a", session="s", seq=0)


def test_onlookers_hear_of_changes_and_of_the_end_once() -> None:
    heard: list[str] = []
    anything: Any = MagicMock()
    limits = SearchLimits(trials=1)
    searcher = Searcher(
        anything,
        "c",
        1,
        Plan("b", TaskSpec(project="p", name="n"), [LOSS], limits, "s"),
        anything,
        anything,
        anything,
        anything,
        anything,
        on_change=lambda fold: heard.append(f"{len(fold.under_way)} under way"),
        on_end=lambda fold: heard.append(f"best {fold.best}"),
    )

    def say(kind: type[SearchEvent], **fields: Any) -> None:
        assert searcher.apply(kind(meta=META, task="c", run=1, **fields)).accepted
        searcher.tick()

    say(SearchDefined, base_task="b", strategy="s", objectives=[LOSS], limits=limits)
    say(TrialQueued, trial=0, child="t", parameters=[])
    say(TrialFinished, trial=0, status="completed", values=[0.5])
    assert heard == ["0 under way", "1 under way", "best 0"]
