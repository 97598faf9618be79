"""Events of a hyper-parameter search, in the partition of the task that controls it: every trial, and why it ended.

They belong to the controller's runs. A later run of it goes on where they end, unless the task was reset meanwhile.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import ConfigDict, Field

from .base import Part
from .parts import Parameter
from .task_events import RunEvent

_WITH_INFINITY: Final = ConfigDict(ser_json_inf_nan="strings")
"""What has times of its own, so that a limit without end is still there when it is read again from JSON."""


class Objective(Part):
    """A scalar to optimise. `sign` is `min` or `max` of its last value, `min_global` or `max_global` of all of them."""

    title: str
    series: str
    sign: str


class SearchLimits(Part):
    """What ends trials and the search; times are in seconds, 0 stands for no limit.

    `compute` is the time of all trials together. `fewest_iterations` are those before which no trial is given up.
    """

    model_config = _WITH_INFINITY

    concurrent: int = 1
    trials: int = 0
    time: float = 0.0
    compute: float = 0.0
    trial_time: float = 0.0
    fewest_iterations: int = 0
    most_iterations: int = 0


class SearchEvent(RunEvent):
    """An event about a search; `task` and `run` are its controller's."""


class SearchDefined(SearchEvent):
    """A run of the controller knows what to search for. Trials of earlier runs count.

    `space` is the search space as JSON text. `horizon` holds, for each partition of `tasktape.metrics` and then of
    `tasktape.tasks`, the offset from which on the trials' events lie.
    """

    model_config = _WITH_INFINITY

    base_task: str
    strategy: str
    objectives: list[Objective]
    limits: SearchLimits = Field(default_factory=SearchLimits)
    space: str = ""
    queue: str = ""
    horizon: list[int] = Field(default_factory=list)


class SearchContinued(SearchEvent):
    """A search that had ended goes on."""


class SearchStopping(SearchEvent):
    """No more trials are started, and those that run are stopped.

    `failed` says that the search has come to nothing, `asked` that somebody wanted it to end: then it has not failed.
    """

    reason: str
    failed: bool = False
    asked: bool = False


class TrialEvent(SearchEvent):
    """An event about one trial; they are numbered from 0."""

    trial: int


class TrialQueued(TrialEvent):
    """The trial is to run as the first run of `child`, with these parameters in place of the base task's."""

    child: str
    parameters: list[Parameter]


class TrialStarted(TrialEvent):
    """The trial's task runs."""


class TrialStopping(TrialEvent):
    """The trial is given up: its task is asked to stop. `status` is what it will have come to."""

    status: Literal["pruned", "completed", "aborted"]
    reason: str


class TrialFinished(TrialEvent):
    """The trial is over. `values` are those of the objectives, empty where one was never reported."""

    status: Literal["completed", "failed", "aborted", "pruned"]
    values: list[float] = Field(default_factory=list)
    iteration: int = 0
    seconds: float = 0.0
    message: str = ""


class TrialTold(TrialEvent):
    """The user's callback for a finished trial has returned, so it is not called again."""
