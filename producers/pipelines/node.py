"""A step as its definition has it and as callbacks see it, with ClearML's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...events.parts import TaskSpec
from ...events.pipeline_events import PipelineStep
from .references import PIPELINE, Reference, references

if TYPE_CHECKING:
    from ...projections.pipeline_fold import StepState
    from ..task import Task

Pair = tuple[Any, Any]


class Job:
    """The task that runs a step, as callbacks see it. `task_parameter_override` is what the step changes in it."""

    def __init__(self, task: str, parameters: dict[str, Any], node: Node) -> None:
        self._task = task
        self._node = node
        self.task_parameter_override = parameters

    @property
    def task(self) -> Task:
        """The task."""
        from ..task import Task  # noqa: PLC0415  heavy, and only where a callback looks

        return Task._by_id(self._task)  # noqa: SLF001  by its id alone, archived or not

    def task_id(self) -> str:
        """The task's id."""
        return self._task

    def status(self) -> str:
        """The step's state."""
        return self._node.status

    def is_cached_task(self) -> bool:
        """Whether an earlier run's outcome is taken."""
        return self._node.status == "cached"

    def is_running(self) -> bool:
        """Whether the task runs."""
        return self._node.status == "running"

    def is_pending(self) -> bool:
        """Whether the task waits to be run."""
        return self._node.status in {"pending", "queued"}

    def is_completed(self) -> bool:
        """Whether it ended well."""
        return self._node.status in {"completed", "cached"}

    def is_failed(self) -> bool:
        """Whether it failed."""
        return self._node.status == "failed"

    def is_aborted(self) -> bool:
        """Whether it was aborted."""
        return self._node.status == "aborted"

    def is_stopped(self) -> bool:
        """Whether it is over, however it ended."""
        return self._node.status in {"completed", "cached", "failed", "aborted"}


@dataclass(eq=False)
class Node:
    """A step. `status` is `pending`, `queued`, `running`, `completed`, `cached`, `failed`, `aborted` or `skipped`.

    `executed` is the id of the task whose outcome the step has, once it has one. `timeout` is in seconds.
    """

    name: str
    base_task_id: str | None = None
    task_factory_func: Callable[[Node], Any] | None = None
    queue: str | None = None
    parents: list[str] = field(default_factory=list)
    timeout: float | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    configurations: dict[str, Any] = field(default_factory=dict)
    task_overrides: dict[str, Any] = field(default_factory=dict)
    executed: str | None = None
    status: str = "pending"
    clone_task: bool = True
    job: Job | None = None
    job_type: str | None = None
    job_started: float | None = None
    job_ended: float | None = None
    skip_job: bool = False
    cache_executed_step: bool = False
    return_artifacts: list[str] = field(default_factory=list)
    monitor_metrics: list[Pair] = field(default_factory=list)
    monitor_artifacts: list[Pair] = field(default_factory=list)
    monitor_models: list[Pair] = field(default_factory=list)
    explicit_docker_image: str | None = None
    recursively_parse_parameters: bool = False
    output_uri: str | bool | None = None
    draft: bool = False
    continue_behaviour: Mapping[str, bool] | None = None
    continue_on_fail: bool = False
    continue_on_abort: bool = False
    skip_children_on_abort: bool = True
    skip_children_on_fail: bool = True
    stage: str | None = None
    retries: int = 0
    base: str = ""
    base_spec: TaskSpec | None = None
    callbacks: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.continue_behaviour is not None:
            chosen = self.continue_behaviour
            self.continue_on_fail = chosen.get("continue_on_fail", True)
            self.continue_on_abort = chosen.get("continue_on_abort", True)
            self.skip_children_on_fail = chosen.get("skip_children_on_fail", True)
            self.skip_children_on_abort = chosen.get("skip_children_on_abort", True)

    @property
    def is_monitored(self) -> bool:
        """Whether the pipeline shows anything of it."""
        return bool(self.monitor_metrics or self.monitor_artifacts or self.monitor_models)

    def show(self, step: StepState) -> None:
        """Take over what is known of the step."""
        self.status = step.status
        self.skip_job = step.status == "skipped"
        self.job_started = step.started_at.timestamp() if step.started_at else None
        self.job_ended = step.ended_at.timestamp() if step.ended_at else None
        self.executed = (step.child or None) if step.lets_on else None
        if step.child and (self.job is None or self.job.task_id() != step.child):
            self.job = Job(step.child, {}, self)

    def references(self) -> list[Reference]:
        """All references the step makes: what stands inside lists and dicts is one only where it is to be parsed."""
        deep = self.recursively_parse_parameters
        parameters = [found for value in self.parameters.values() for found in references(value, self.name, deep=deep)]
        others = [self.queue, *self.configurations.values(), *self.task_overrides.values()]
        return parameters + [found for value in others for found in references(value, self.name, deep=False)]

    def needs(self) -> list[str]:
        """The steps it waits for: the parents it names, then those it refers to."""
        named = [reference.step for reference in self.references() if reference.step != PIPELINE]
        return list(dict.fromkeys([*self.parents, *named]))

    def definition(self, queue: str) -> PipelineStep:
        """The step as an event holds it; `queue` is the pipeline's default."""
        return PipelineStep(
            name=self.name,
            parents=self.parents,
            base=self.base,
            queue=self.queue or queue,
            stage=self.stage or "",
            time_limit=self.timeout or 0.0,
            retries=self.retries,
            caches=self.cache_executed_step,
            callbacks=sorted(self.callbacks),
            skips_on_fail=self.skip_children_on_fail,
            skips_on_abort=self.skip_children_on_abort,
            goes_on_on_fail=self.continue_on_fail,
            goes_on_on_abort=self.continue_on_abort,
        )
