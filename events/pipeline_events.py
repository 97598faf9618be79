"""Events of a pipeline, in the partition of the task that controls it: every decision, written before it is acted on.

They belong to the controller's runs. A later run of it goes on where they end, unless the task was reset meanwhile.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import ConfigDict, Field

from .base import Part
from .task_events import RunEvent

_WITH_INFINITY: Final = ConfigDict(ser_json_inf_nan="strings")
"""As JSON, which projections keep, a time limit that is no number stays what it was."""


class PipelineStep(Part):
    """A step as it was defined. `time_limit` is in seconds, 0 for none; `base` names the task or function it runs.

    `callbacks` names those of the user's that are called for it: `created`, `pre`, `status`, `retry`, `completed` and
    `post`. `skips_on_fail` and `skips_on_abort` say whether what depends on it is skipped then, `goes_on_on_fail` and
    `goes_on_on_abort` whether the pipeline may succeed all the same.
    """

    model_config = _WITH_INFINITY

    name: str
    parents: list[str] = Field(default_factory=list)
    base: str = ""
    queue: str = ""
    stage: str = ""
    time_limit: float = 0.0
    retries: int = 0
    caches: bool = False
    callbacks: list[str] = Field(default_factory=list)
    skips_on_fail: bool = True
    skips_on_abort: bool = True
    goes_on_on_fail: bool = False
    goes_on_on_abort: bool = False


class PipelineEvent(RunEvent):
    """An event about a pipeline; `task` and `run` are its controller's."""


class PipelineDefined(PipelineEvent):
    """A run of the controller knows its steps. Those of an earlier run keep what came of them.

    `horizon` holds, for each partition of `tasktape.tasks`, the offset from which on its steps' events lie.
    """

    model_config = _WITH_INFINITY

    name: str
    version: str = ""
    steps: list[PipelineStep] = Field(default_factory=list)
    stops_on_fail: bool = False
    time_limit: float = 0.0
    horizon: list[int] = Field(default_factory=list)


class PipelineContinued(PipelineEvent):
    """A pipeline that had ended goes on: these steps start afresh."""

    steps: list[str]


class PipelineStopping(PipelineEvent):
    """Nothing more is started, and what runs is aborted."""

    reason: str
    failed: bool = False


class StepEvent(PipelineEvent):
    """An event about one step. `child` is the task that runs it."""

    step: str


class StepAdded(PipelineEvent):
    """A step that became known while the pipeline runs."""

    step: PipelineStep


class StepQueued(StepEvent):
    """The step is to run as run `child_run` of `child`. `cache_key` tells what the outcome depends on.

    `retries` is how often its agents retry the child's own failures without the pipeline, None where it has none.
    """

    child: str
    child_run: int
    queue: str = ""
    cache_key: str = ""
    retries: int | None = None


class StepCached(StepEvent):
    """The outcome of an earlier run is the step's: nothing is run."""

    child: str
    cache_key: str


class StepStarted(StepEvent):
    """The child's run has begun."""

    child: str
    child_run: int


class StepFinished(StepEvent):
    """The step is over. A step that could not be started has no child."""

    status: Literal["completed", "failed", "aborted"]
    child: str = ""
    child_run: int = 0
    message: str = ""


class StepSkipped(StepEvent):
    """The step is not run."""

    reason: str


class StepRetried(StepEvent):
    """The step has failed, and is to run once more, as run `child_run` of its child."""

    child: str
    child_run: int
    reason: str = ""


class CallbackReturned(StepEvent):
    """A callback of the user's has returned, so it is not called again.

    `occasion` tells its calls for one step apart: the run of the child, or the place in the row of the step's states.
    `answer` is False where it asked not to run the step, or not to retry it.
    """

    callback: str
    occasion: int = 0
    answer: bool = True
