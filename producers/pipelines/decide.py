"""What a pipeline does next: a pure function of its own events and its children's.

One answer at a time, the most urgent first: callbacks that are owed, what children have come to, then what is ready.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from ...events.pipeline_events import (
    PipelineEvent,
    PipelineStopping,
    StepFinished,
    StepRetried,
    StepSkipped,
    StepStarted,
)
from ...projections.pipeline_fold import FORGOTTEN, STOPPED, UNDER_WAY, PipelineFold, StepState
from ..controllers.children import Child

BEFORE: Final = ("pre", "created")
"""Callbacks that may ask not to run a step, in the order in which they are called."""


@dataclass(frozen=True, slots=True)
class Call:
    """Call the user's own function for a step."""

    step: str
    callback: str
    occasion: int = 0


@dataclass(frozen=True, slots=True)
class Launch:
    """Take the outcome of an earlier run, or have the step run."""

    step: str


@dataclass(frozen=True, slots=True)
class Say:
    """Nothing has to be done before this event is written; `fields` are those that its kind adds."""

    kind: type[PipelineEvent]
    fields: dict[str, Any] = field(default_factory=dict)


Decision = Call | Launch | Say


def decide(
    fold: PipelineFold, news: Iterable[Decision], known: Container[str], *, is_complete: bool = True
) -> list[Decision]:
    """Return what is to be done now, given the `news` that follow from what children have said.

    Only steps that are `known` are run or called for: a pipeline that goes on may not have come to others yet. Once it
    `is_complete`, it will not.
    """
    if (owing := next((name for name in fold.owing if name in known), None)) is not None:
        return [Call(owing, *fold.steps[owing].owed()[0])]
    if found := _up_to_a_call(news):
        return found
    if fold.stopping is not None:
        return [_skip(name, STOPPED) for name in fold.pending]
    if (failed := _failed(fold)) is not None:
        return [Say(PipelineStopping, {"reason": f"step {failed!r} failed", "failed": True})]
    if is_complete and (forgotten := [name for name in fold.ready if name not in known]):
        return [_skip(name, FORGOTTEN) for name in forgotten]
    return _up_to_a_call(_judged(fold, fold.steps[name]) for name in fold.ready if name in known)


def _up_to_a_call(decisions: Iterable[Decision]) -> list[Decision]:
    """The decisions before the first call of a user's function, or it alone: what it answers is written at once."""
    found: list[Decision] = []
    for decision in decisions:
        if isinstance(decision, Call):
            return found or [decision]
        found.append(decision)
    return found


def _failed(fold: PipelineFold) -> str | None:
    """The step whose failure stops the pipeline, if there is one: what was aborted does not."""
    if fold.defined is None or not fold.defined.stops_on_fail:
        return None
    return next((name for name in fold.spoilt if fold.steps[name].status == "failed"), None)


def observed(fold: PipelineFold, child: Child, known: Container[str], *, is_complete: bool = True) -> list[Decision]:
    """What has come of the step that a child runs; whether one that has failed runs again, its definition tells."""
    step = fold.steps.get(fold.owners.get(child.task, ""))
    if step is None or step.status not in UNDER_WAY:
        return []
    about = {"step": step.name, "child": child.task, "child_run": child.run}
    if child.status == "waiting":
        is_wanted = not is_complete or step.name in known or step.status != "queued"
        return [] if is_wanted else [Say(StepFinished, {**about, "status": "aborted", "message": FORGOTTEN})]
    begins = step.status == "queued" and child.state.run.started
    begun: list[Decision] = [Say(StepStarted, about)] if begins else []
    if child.status == "running" or (child.status == "failed" and not is_complete and step.name not in known):
        return begun
    return [*begun, _ended(step, child, may_repeat=fold.stopping is None and step.name in known)]


def _ended(step: StepState, child: Child, *, may_repeat: bool) -> Decision:
    if child.status == "failed" and may_repeat:
        if "retry" in step.definition.callbacks and ("retry", child.run) not in step.answers:
            return Call(step.name, "retry", child.run)
        if step.answers.get(("retry", child.run), step.retries < step.definition.retries):
            again = {"child": child.task, "child_run": child.run + 1, "reason": child.message}
            return Say(StepRetried, {"step": step.name, **again})
    about = {"child": child.task, "child_run": child.run, "message": child.message}
    return Say(StepFinished, {"step": step.name, "status": child.status, **about})


def _judged(fold: PipelineFold, step: StepState) -> Decision:
    blocking = next((name for name in step.definition.parents if not fold.steps[name].lets_on), None)
    if blocking is not None:
        return _skip(step.name, f"step {blocking!r} {_has_ended(fold.steps[blocking])}")
    for callback in BEFORE:
        if callback in step.definition.callbacks:
            answer = step.answers.get((callback, 0))
            if answer is None:
                return Call(step.name, callback)
            if not answer:
                return _skip(step.name, "its callback asked for that")
    return Launch(step.name)


def _skip(step: str, reason: str) -> Say:
    return Say(StepSkipped, {"step": step, "reason": reason})


def _has_ended(step: StepState) -> str:
    return {"failed": "failed", "aborted": "was aborted", "skipped": "was skipped"}.get(step.status, "is not over")
