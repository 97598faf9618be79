"""The fold of limits: whatever the interleaving, no scope has more permits than its limit allows; copies do nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.events.base import Stamper
from tasktape.events.limit_events import LimitSet, PermitClaimed, PermitEvent, PermitReleased
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import EntryEnqueued
from tasktape.projections.limit_fold import REMEMBERED_US, LimitFold, scopes_of
from tasktape.projections.verdict import DUPLICATE

STAMP = Stamper("user@host")
SCOPES = ("queue:q", "user:u", "tag:t")
LIMITS = {"queue:q": 2, "tag:t": 1}


def claimed(task: str, worker: str, *scopes: str, entry: str = "") -> PermitClaimed:
    return PermitClaimed(
        meta=STAMP(), task=task, run=1, worker=worker, entry=entry or f"q/{task}/1/0", scopes=list(scopes)
    )


def released(permit: PermitClaimed) -> PermitReleased:
    about = {"task": permit.task, "run": permit.run, "worker": permit.worker, "permit": permit.meta.event_id}
    return PermitReleased(meta=STAMP(), **about)


def limited(scope: str, running: int | None) -> LimitSet:
    return LimitSet(meta=STAMP(), scope=scope, running=running)


@pytest.fixture
def fold() -> LimitFold:
    made = LimitFold()
    for scope, running in LIMITS.items():
        assert made.apply(limited(scope, running), 0).accepted
    return made


@st.composite
def histories(draw: st.DrawFn) -> list[PermitEvent]:
    """What several workers append, in some order: claims, releases of any permit, copies of both."""
    said: list[PermitEvent] = []
    for _ in range(draw(st.integers(1, 30))):
        claims = [event for event in said if isinstance(event, PermitClaimed)]
        kind = draw(st.sampled_from(["claim", "claim", "release", "copy"])) if claims else "claim"
        if kind == "claim":
            scopes = draw(st.lists(st.sampled_from(SCOPES), max_size=3, unique=True))
            said.append(claimed(draw(st.sampled_from("abcde")), draw(st.sampled_from(["w1", "w2"])), *scopes))
        else:
            said.append(released(draw(st.sampled_from(claims))) if kind == "release" else draw(st.sampled_from(said)))
    return said


def in_force(said: Sequence[PermitEvent], verdicts: Sequence[bool]) -> list[PermitClaimed]:
    """Permits as the verdicts have it, told another way than the fold does."""
    found: dict[str, PermitClaimed] = {}
    for event, accepted in zip(said, verdicts, strict=True):
        if accepted and isinstance(event, PermitClaimed):
            found[event.meta.event_id] = event
        elif accepted and isinstance(event, PermitReleased):
            del found[event.permit]
    return list(found.values())


@given(histories())
@settings(max_examples=100, deadline=None)
def test_no_scope_ever_has_more_runs_than_its_limit_and_copies_change_nothing(said: list[PermitEvent]) -> None:
    fold = LimitFold(dict(LIMITS))
    verdicts: list[bool] = []
    for number, event in enumerate(said):
        before = dict(fold.permits)
        verdict = fold.apply(event, number)
        verdicts.append(verdict.accepted)
        holders = in_force(said[: number + 1], verdicts)
        assert list(fold.permits) == [holder.meta.event_id for holder in holders]
        runs = {scope: {holder.task for holder in holders if scope in holder.scopes} for scope in SCOPES}
        assert all(len(runs[scope]) <= running for scope, running in LIMITS.items())
        assert {scope: fold.held(scope) for scope in SCOPES} == {scope: len(found) for scope, found in runs.items()}
        if event in said[:number]:
            assert (verdict, fold.permits) == (DUPLICATE, before)
    assert LimitFold.of(fold.limits, fold.permits.values())._runs == fold._runs


def test_a_run_counts_once_until_all_its_workers_have_given_its_permits_back(fold: LimitFold) -> None:
    first, second = claimed("a", "w1", "tag:t"), claimed("a", "w2", "tag:t")
    assert fold.apply(first, 0).accepted
    assert not fold.apply(claimed("b", "w2", "tag:t"), 0).accepted
    assert fold.apply(second, 0).accepted, "who takes over what a dead worker left behind needs no further room"
    assert fold.is_pursued(("a", 1), "w1")
    assert fold.apply(released(first), 0).accepted
    assert not fold.apply(released(first), 0).accepted
    assert not fold.apply(claimed("b", "w2", "tag:t"), 0).accepted
    assert fold.apply(released(second), 0).accepted
    assert not fold.is_pursued(("a", 1), "w1")
    assert fold.apply(claimed("b", "w2", "tag:t"), 0).accepted


def test_a_refusal_is_what_the_log_would_say(fold: LimitFold) -> None:
    assert fold.refusal(("a", 1), ["queue:q", "tag:t"]) == ""
    assert "tag:t" in fold.refusal(("a", 1), ["queue:q", "tag:t"], {"tag:t": 1})
    fold.apply(claimed("b", "w2", "tag:t"), 0)
    assert "tag:t" in fold.refusal(("a", 1), ["queue:q", "tag:t"])
    assert fold.refusal(("b", 1), ["tag:t"]) == "", "its place is its own"


def test_a_limit_may_be_lowered_below_what_runs_and_lifted(fold: LimitFold) -> None:
    for task in "ab":
        assert fold.apply(claimed(task, "w1", "queue:q"), 0).accepted
    fold.apply(limited("queue:q", 1), 0)
    assert not fold.apply(claimed("c", "w1", "queue:q"), 0).accepted
    fold.apply(limited("queue:q", None), 0)
    assert fold.apply(claimed("d", "w1", "queue:q"), 0).accepted


def test_ids_are_forgotten_after_a_day_of_the_log_s_own_time(fold: LimitFold) -> None:
    early = claimed("a", "w1", "tag:t")
    fold.apply(early, 0)
    fold.apply(released(early), 0)
    assert fold.apply(early, REMEMBERED_US) == DUPLICATE
    fold.apply(claimed("b", "w1"), REMEMBERED_US + 1)
    assert len(fold._judged) == 1


def enqueued(actor: str = "ada@lab", **spec: Any) -> EntryEnqueued:
    whole = TaskSpec(project="p", name="n", **spec)
    return EntryEnqueued(meta=Stamper(actor)(), task="t", queue="q", entry="q/t/1/0", run=1, spec=whole)


@pytest.mark.parametrize(
    ("request_", "scopes"),
    [
        (enqueued(), ["queue:q", "user:ada"]),
        (enqueued(user="grace@lab", tags=["a", "b"]), ["queue:q", "user:grace", "tag:a", "tag:b"]),
        (enqueued(user="grace"), ["queue:q", "user:grace"]),
        (enqueued("agent/w1"), ["queue:q"]),
    ],
)
def test_a_run_belongs_to_its_queue_its_user_and_its_tags(request_: EntryEnqueued, scopes: list[str]) -> None:
    assert scopes_of("q", request_) == scopes
