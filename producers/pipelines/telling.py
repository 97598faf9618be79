"""What a person reads in the terminal while a pipeline runs: a line for each step that begins or ends."""

from __future__ import annotations

import contextlib
import sys
from typing import Final

from ...events.pipeline_events import (
    PipelineContinued,
    PipelineEvent,
    PipelineStopping,
    StepCached,
    StepEvent,
    StepFinished,
    StepQueued,
    StepRetried,
    StepSkipped,
)
from ...projections.pipeline_fold import PipelineFold, StepState

_LONGEST: Final = 500


def tell(line: str) -> None:
    """Write a line beside the output of the user's own code."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no stderr, or a closed one
        sys.stderr.write(f"tasktape: {line}\n")


def line_of(event: PipelineEvent, fold: PipelineFold) -> str:
    """Return what to tell of an event that `fold` has taken up; nothing of one that is of no interest."""
    if isinstance(event, StepEvent):
        what = _of_step(event, fold)
        return f"step {event.step!r} {what}" if what else ""
    if isinstance(event, PipelineContinued):
        return f"the pipeline goes on: {len(event.steps)} of {len(fold.steps)} steps are run afresh"
    return f"the pipeline stops: {event.reason}" if isinstance(event, PipelineStopping) else ""


def _of_step(event: StepEvent, fold: PipelineFold) -> str:
    match event:
        case StepQueued():
            where = f" in queue {event.queue!r}" if event.queue else ""
            return f"starts{where}: task {event.child}"
        case StepRetried():
            return f"is run again: task {event.child}, run {event.child_run}: {short(event.reason)}"
        case StepCached():
            return f"is taken from the cache: task {event.child}"
        case StepSkipped():
            return f"is skipped: {event.reason}"
    return ending(fold.steps[event.step]) if isinstance(event, StepFinished) else ""


def ending(step: StepState) -> str:
    """How a step has ended: in which time, as which task, and why, where it was not well."""
    took = (step.ended_at - step.started_at).total_seconds() if step.ended_at and step.started_at else None
    about = ", ".join(
        filter(None, [f"task {step.child}" if step.child else "", "" if took is None else f"{took:.1f} s"])
    )
    why = f": {short(step.message)}" if step.message and step.status != "completed" else ""
    verb = {"aborted": "was aborted"}.get(step.status, step.status)
    return f"{verb}{f' ({about})' if about else ''}{why}"


def short(text: str) -> str:
    """A text as one line that is not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
