"""What a person reads while a pipeline runs: what happened to a step, as which task, and why."""

from __future__ import annotations

from typing import Any

import pytest

from tasktape.events import pipeline_events as said
from tasktape.events.base import Stamper
from tasktape.events.pipeline_events import PipelineEvent, PipelineStep
from tasktape.producers.pipelines.telling import line_of, short
from tasktape.projections.pipeline_fold import PipelineFold

STAMP = Stamper("a")


def event(kind: type[PipelineEvent], **fields: Any) -> PipelineEvent:
    return kind.model_validate({"meta": STAMP(), "task": "c", "run": 1, **fields})


@pytest.fixture
def fold() -> PipelineFold:
    fold = PipelineFold()
    fold.apply(event(said.PipelineDefined, name="n", steps=[PipelineStep(name="a"), PipelineStep(name="b")]))
    return fold


@pytest.mark.parametrize(
    ("kind", "fields", "line"),
    [
        (said.StepQueued, {"child": "t", "child_run": 1, "queue": "gpu"}, "step 'a' starts in queue 'gpu': task t"),
        (said.StepQueued, {"child": "t", "child_run": 1}, "step 'a' starts: task t"),
        (said.StepCached, {"child": "t", "cache_key": "k"}, "step 'a' is taken from the cache: task t"),
        (said.StepSkipped, {"reason": "step 'b' failed"}, "step 'a' is skipped: step 'b' failed"),
        (said.StepFinished, {"status": "failed", "message": "no\n  data"}, "step 'a' failed: no data"),
        (said.StepFinished, {"status": "completed", "child": "t", "message": "."}, "step 'a' completed (task t)"),
        (said.StepFinished, {"status": "aborted", "child": "t"}, "step 'a' was aborted (task t)"),
        (said.CallbackReturned, {"callback": "pre"}, ""),
    ],
)
def test_a_line_for_what_happens_to_a_step(
    fold: PipelineFold, kind: type[PipelineEvent], fields: dict[str, Any], line: str
) -> None:
    told = event(kind, step="a", **fields)
    fold.apply(told)
    assert line_of(told, fold) == line


def test_a_line_for_what_happens_to_the_pipeline(fold: PipelineFold) -> None:
    stopping = event(said.PipelineStopping, reason="interrupted")
    assert line_of(stopping, fold) == "the pipeline stops: interrupted"
    continued = event(said.PipelineContinued, steps=["a"])
    assert line_of(continued, fold) == "the pipeline goes on: 1 of 2 steps are run afresh"


def test_a_long_text_is_cut() -> None:
    assert len(short("x" * 10_000)) < 1_000
