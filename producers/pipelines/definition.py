"""The part of a pipeline that says what it is: parameters and steps, with ClearML's names and defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..parameters import from_text, make, type_name, value_of
from ..spec import parameter
from . import steps
from .errors import PipelineError
from .node import Node
from .steps import Bases, Choices, RetryRule

if TYPE_CHECKING:
    from ..task import Task
    from .execution import Execution

ARGUMENTS: Final = "Args"
Callback = Callable[..., Any]


@dataclass(frozen=True)
class Argument:
    """A parameter of the pipeline as the script declares it."""

    default: Any
    description: str
    kind: str


class Definition:
    """Steps and parameters of a pipeline that has a task."""

    _task: Task

    def __init__(self, retry_on_failure: RetryRule) -> None:
        self._nodes: dict[str, Node] = {}
        self._arguments: dict[str, Argument] = {}
        self._sections: dict[str, str] = {}
        self.retry_on_failure = retry_on_failure
        self._default_execution_queue: str | None = None
        self._time_limit = 0.0
        self._execution: Execution | None = None
        self._bases = Bases()

    def set_default_execution_queue(self, default_execution_queue: str | None) -> None:
        """Set the queue of the steps that name none."""
        self._default_execution_queue = str(default_execution_queue) if default_execution_queue else None

    def set_pipeline_execution_time_limit(self, max_execution_minutes: float | None) -> None:
        """Stop the pipeline, as a failed one, when it has taken so many minutes; None or 0 for no limit."""
        self._time_limit = 60.0 * (max_execution_minutes or 0.0)

    def add_parameter(
        self, name: str, default: Any = None, description: str | None = None, param_type: str | None = None
    ) -> None:
        """Add a parameter of the pipeline, which steps refer to as `${pipeline.NAME}`.

        It is the hyper-parameter `Args/NAME` of the pipeline's task: whoever clones and enqueues the pipeline may set
        another value.

        Args:
            name: Its name.
            default: Its value unless somebody sets another.
            description: For people.
            param_type: Name of its type (`int`, `float`, `str`, `bool`, `list`, `dict`), the default's own otherwise.

        """
        kind = getattr(param_type, "__name__", param_type) or type_name(default)
        self._arguments[name] = Argument(default, description or "", kind)
        full_name = self._full_name(name)
        is_set = parameter(self._task._spec, full_name) is not None  # noqa: SLF001  one package
        if self._task.running_locally() or not is_set:
            self._task._put_parameters([make(full_name, default, description or "", kind)])  # noqa: SLF001  one package

    def get_parameters(self) -> dict[str, Any]:
        """Return the pipeline's parameters with the values in force, each in its type."""
        return {name: self._argument(name, argument) for name, argument in self._arguments.items()}

    def _full_name(self, name: str) -> str:
        return f"{self._sections.get(name, ARGUMENTS)}/{name}"

    def _argument(self, name: str, argument: Argument) -> Any:
        held = parameter(self._task._spec, self._full_name(name))  # noqa: SLF001  one package
        if held is None:
            return argument.default
        value = value_of(held)
        try:
            return from_text(value, argument.kind) if isinstance(value, str) and argument.kind != "str" else value
        except ValueError as error:
            raise PipelineError(f"parameter {name!r} is a {argument.kind}, which {value!r} is not.") from error

    def add_step(
        self,
        name: str,
        base_task_id: str | None = None,
        parents: Sequence[str] | None = None,
        parameter_override: Mapping[str, Any] | None = None,
        configuration_overrides: Mapping[str, str | Mapping[str, Any]] | None = None,
        task_overrides: Mapping[str, Any] | None = None,
        execution_queue: str | None = None,
        monitor_metrics: Sequence[Any] | None = None,
        monitor_artifacts: Sequence[Any] | None = None,
        monitor_models: Sequence[Any] | None = None,
        time_limit: float | None = None,
        base_task_project: str | None = None,
        base_task_name: str | None = None,
        clone_base_task: bool = True,
        continue_on_fail: bool = False,
        pre_execute_callback: Callback | None = None,
        post_execute_callback: Callback | None = None,
        cache_executed_step: bool = False,
        base_task_factory: Callable[[Node], Task] | None = None,
        retry_on_failure: RetryRule = None,
        status_change_callback: Callback | None = None,
        recursively_parse_parameters: bool = False,
        output_uri: str | bool | None = None,
        continue_behaviour: Mapping[str, bool] | None = None,
        stage: str | None = None,
    ) -> bool:
        """Add a step that runs a copy of an existing task.

        Values may refer to other steps, which are its parents then: `${step.id}`, `${step.artifacts.NAME.url}`,
        `${step.parameters.SECTION/NAME}`, `${step.models.output.-1.url}`, and to `${pipeline.NAME}`.

        Args:
            name: The step's name.
            base_task_id: The task to copy.
            parents: Steps that must be over first.
            parameter_override: Hyper-parameters by full name.
            configuration_overrides: Configuration objects by name, each a text or a dict.
            task_overrides: Other fields by dotted path, such as `script.branch` or `container.image`.
            execution_queue: Its queue.
            monitor_metrics: Scalars to show on the pipeline's task too: pairs of title and series, or pairs of those.
            monitor_artifacts: Artifacts to list on the pipeline's task too: names, or pairs of a name and a new one.
            monitor_models: Models, in the same way.
            time_limit: Seconds it may run.
            base_task_project: Project of the task to copy, with `base_task_name`.
            base_task_name: Name of the task to copy: the latest of that name.
            clone_base_task: False to run that very task.
            continue_on_fail: The pipeline may succeed without it; what depends on it is skipped. `continue_behaviour`
                says more.
            pre_execute_callback: `f(pipeline, node, parameters)` before it is run; False skips it.
            post_execute_callback: `f(pipeline, node)` when it is over.
            cache_executed_step: Take the outcome of an earlier run with the same code, parameters and inputs.
            base_task_factory: `f(node)` makes the task to run.
            retry_on_failure: How often to run it again when it fails, or `f(pipeline, node, retries)`, True for again.
            status_change_callback: `f(pipeline, node, previous_status)` on every change of its state.
            recursively_parse_parameters: Look for references inside lists and dicts too.
            output_uri: Where its artifacts and models go.
            continue_behaviour: `continue_on_fail`, `continue_on_abort`, `skip_children_on_fail` and
                `skip_children_on_abort`, each True unless said otherwise.
            stage: A heading to show it under.

        Returns:
            True.

        Raises:
            PipelineError: The name is taken, or there is no such task; also a `ValueError`.

        """
        steps.check_name(name, self._nodes)
        base = None
        if base_task_factory is None:
            base = self._bases.find(name, base_task_id, base_task_project, base_task_name)
        choices = Choices(
            parents=parents,
            execution_queue=execution_queue,
            monitor_metrics=monitor_metrics,
            monitor_artifacts=monitor_artifacts,
            monitor_models=monitor_models,
            time_limit=time_limit,
            continue_on_fail=continue_on_fail,
            pre_execute_callback=pre_execute_callback,
            post_execute_callback=post_execute_callback,
            cache_executed_step=cache_executed_step,
            retry_on_failure=retry_on_failure,
            status_change_callback=status_change_callback,
            output_uri=output_uri,
            continue_behaviour=continue_behaviour,
            stage=stage,
        )
        self._nodes[name] = choices.node(
            name,
            self.retry_on_failure,
            base_task_id=base.task if base else None,
            base=base.spec.name if base else "",
            base_spec=base.spec if base else None,
            task_factory_func=base_task_factory,
            clone_task=clone_base_task,
            parameters=dict(parameter_override or {}),
            configurations=dict(configuration_overrides or {}),
            task_overrides=dict(task_overrides or {}),
            recursively_parse_parameters=recursively_parse_parameters,
        )
        return True
