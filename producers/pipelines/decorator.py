"""`PipelineDecorator`: a pipeline as a function that calls components, with ClearML's names and defaults."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

from .. import lineage
from ..errors import UsageError
from ..queues import ALWAYS_THERE
from .components import Calls, Component
from .controller import PipelineController
from .function_steps import FunctionStep
from .lazy import loaded
from .steps import Choices, RetryRule

Mode = Literal["queues", "processes", "functions"]
_RETURNED: Final = "return_object"


class PipelineDecorator(PipelineController):
    """A pipeline whose steps are the calls of components that its function makes."""

    _mode: ClassVar[Mode] = "queues"
    _default_queue: ClassVar[str | None] = None
    _current: ClassVar[PipelineDecorator | None] = None
    _results: ClassVar[list[Any]] = []
    calls: Calls | None = None

    @classmethod
    def component(
        cls,
        _func: Callable[..., Any] | None = None,
        *,
        return_values: str | Sequence[str] = (_RETURNED,),
        name: str | None = None,
        cache: bool = False,
        packages: bool | str | Sequence[str] | None = None,
        parents: Sequence[str] | None = None,
        execution_queue: str | None = None,
        continue_on_fail: bool = False,
        docker: str | None = None,
        docker_args: str | None = None,
        docker_bash_setup_script: str | None = None,
        task_type: str | None = None,
        auto_connect_frameworks: bool | Mapping[str, Any] | None = None,
        auto_connect_arg_parser: bool | Mapping[str, Any] | None = None,
        repo: str | None = None,
        repo_branch: str | None = None,
        repo_commit: str | None = None,
        helper_functions: Sequence[Callable[..., Any]] | None = None,
        monitor_metrics: Sequence[Any] | None = None,
        monitor_artifacts: Sequence[Any] | None = None,
        monitor_models: Sequence[Any] | None = None,
        retry_on_failure: RetryRule = None,
        pre_execute_callback: Callable[..., Any] | None = None,
        post_execute_callback: Callable[..., Any] | None = None,
        status_change_callback: Callable[..., Any] | None = None,
        tags: str | Sequence[str] | None = None,
        output_uri: str | bool | None = None,
        draft: bool = False,
        working_dir: str | None = None,
        continue_behaviour: Mapping[str, bool] | None = None,
        stage: str | None = None,
    ) -> Callable[..., Any]:
        """Make a function a step of every pipeline that calls it; called elsewhere it is the function it was.

        The call returns at once, with stand-ins for the return values: they are waited for when the pipeline's own code
        looks at them, and passed on to other components without a wait.

        Args:
            return_values: Names of the return values; each becomes an artifact of the step.
            name: The step's name; the function's by default.
            cache: Take the outcome of an earlier run with the same code and arguments.
            packages: Requirement lines; True (or None) for those that the function imports, False for none.
            parents: Steps that must be over first, beside those whose results are passed.
            execution_queue: Its queue.
            continue_on_fail: See `PipelineController.add_step`, as for those below.
            monitor_metrics: See there.
            monitor_artifacts: See there.
            monitor_models: See there.
            retry_on_failure: See there.
            pre_execute_callback: See there.
            post_execute_callback: See there.
            status_change_callback: See there.
            output_uri: See there.
            continue_behaviour: See there.
            stage: See there.
            docker: Container image.
            docker_args: Arguments of the container.
            docker_bash_setup_script: Shell script to run in the container first.
            task_type: A value of `TaskTypes`.
            auto_connect_frameworks: See `Task.init`.
            auto_connect_arg_parser: See `Task.init`.
            repo: Repository to run the function in.
            repo_branch: Branch of that.
            repo_commit: Commit of that.
            helper_functions: Functions that it calls and that travel with it.
            tags: Tags of its task.
            draft: Make the task and leave it to others to enqueue it.
            working_dir: Folder in the repository to run in.

        """
        returned = [return_values] if isinstance(return_values, str) else list(return_values or ())
        choices = Choices(
            parents=parents,
            execution_queue=execution_queue,
            monitor_metrics=monitor_metrics,
            monitor_artifacts=monitor_artifacts,
            monitor_models=monitor_models,
            continue_on_fail=continue_on_fail,
            pre_execute_callback=pre_execute_callback,
            post_execute_callback=post_execute_callback,
            cache_executed_step=cache,
            retry_on_failure=retry_on_failure,
            status_change_callback=status_change_callback,
            output_uri=output_uri,
            continue_behaviour=continue_behaviour,
            stage=stage,
            draft=draft,
        )
        code: dict[str, Any] = {
            "task_type": task_type,
            "packages": packages,
            "repo": repo,
            "repo_branch": repo_branch,
            "repo_commit": repo_commit,
            "helper_functions": helper_functions,
            "docker": docker,
            "docker_args": docker_args,
            "docker_bash_setup_script": docker_bash_setup_script,
            "tags": [tags] if isinstance(tags, str) else tags,
            "working_dir": working_dir,
            "auto_connect_frameworks": auto_connect_frameworks,
            "auto_connect_arg_parser": auto_connect_arg_parser,
        }

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            own_name = name or function.__name__
            component = Component(function, FunctionStep(own_name, function, returned, choices, code), own_name)

            @functools.wraps(function)
            def call(*args: Any, **kwargs: Any) -> Any:
                return cls._component_called(component, args, kwargs)

            return call

        return decorate if _func is None else decorate(_func)

    @classmethod
    def pipeline(
        cls,
        _func: Callable[..., Any] | None = None,
        *,
        name: str,
        project: str,
        version: str | None = None,
        return_value: str | None = None,
        default_queue: str | None = None,
        pool_frequency: float = 0.2,
        add_pipeline_tags: bool = False,
        target_project: str | None = None,
        abort_on_failure: bool = False,
        pipeline_execution_queue: str | None = "services",
        multi_instance_support: bool | str = False,
        add_run_number: bool = True,
        args_map: Mapping[str, Sequence[str]] | None = None,
        start_controller_locally: bool = False,
        **options: Any,
    ) -> Callable[..., Any]:
        """Make a function the logic of a pipeline: to call it is to run the pipeline.

        Args:
            name: The pipeline's name.
            project: Its project.
            version: Its version.
            return_value: Name of the artifact that the function's return value becomes.
            default_queue: Queue of the components that name none.
            pool_frequency: Has no effect: nothing is polled here.
            add_pipeline_tags: See `PipelineController`, as for the next three.
            target_project: See there.
            abort_on_failure: See there.
            add_run_number: See there.
            pipeline_execution_queue: The controller's queue; None to run it in this process.
            multi_instance_support: Collect the results of several calls for `wait_for_multi_pipelines`.
            args_map: Names of arguments by the section that they are to be shown in; `Args` for those left out.
            start_controller_locally: Run the controller in this process, and the steps through their queues.
            options: What else `PipelineController` takes.

        """
        about = {
            "version": version,
            "pool_frequency": pool_frequency,
            "add_pipeline_tags": add_pipeline_tags,
            "target_project": True if target_project is None else target_project,
            "abort_on_failure": abort_on_failure,
            "add_run_number": add_run_number,
            **options,
        }

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def run(*args: Any, **kwargs: Any) -> Any:
                if default_queue:
                    cls.set_default_execution_queue(default_queue)
                made = cls(name, project, **about)
                made._sections = {
                    argument: section for section, names in (args_map or {}).items() for argument in names
                }
                here = start_controller_locally or cls._mode != "queues" or not pipeline_execution_queue
                result = made._conduct(
                    function, args, kwargs, "" if here else pipeline_execution_queue or "", return_value
                )
                if multi_instance_support:
                    cls._results.append(result)
                return result

            return run

        return decorate if _func is None else decorate(_func)

    @classmethod
    def set_default_execution_queue(cls, default_execution_queue: str | None) -> None:
        """Set the queue of the components that name none."""
        cls._default_queue = str(default_execution_queue) if default_execution_queue else None

    @classmethod
    def run_locally(cls) -> None:
        """Run pipelines in this process from now on, and their steps as processes of this machine."""
        cls._mode = "processes"

    @classmethod
    def debug_pipeline(cls) -> None:
        """Run pipelines in this process from now on, and their components as the functions they are, without tasks."""
        cls._mode = "functions"

    @classmethod
    def get_current_pipeline(cls) -> PipelineDecorator | None:
        """Return the pipeline that runs in this process; None where there is none."""
        return cls._current

    @classmethod
    def wait_for_multi_pipelines(cls) -> list[Any]:
        """Return the results of the pipelines that were called with `multi_instance_support`, in the order of calls."""
        results, cls._results[:] = list(cls._results), []
        return results

    @classmethod
    def _component_called(cls, component: Component, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Make a step of a call inside a pipeline; anywhere else (a test, another component) just call the function."""
        pipeline = cls._current
        if pipeline is None or pipeline.calls is None:
            return component.function(*args, **kwargs)
        return pipeline.calls.call(component, args, kwargs)

    def _conduct(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        queue: str,
        returns: str | None,
    ) -> Any:
        """Run the function as a pipeline, here or (with a queue) at an agent."""
        if PipelineDecorator._current is not None:
            raise UsageError("a pipeline runs in this process already: call one after the other.")
        given = inspect.signature(function).bind(*args, **kwargs)
        given.apply_defaults()
        for name, value in given.arguments.items():
            self.add_parameter(name, value)
        if queue:
            self._task.execute_remotely(queue_name=queue, exit_process=True)
        if lineage.runs_remotely():
            given.arguments.update(self.get_parameters())
        PipelineDecorator._current = self
        try:
            return self._conducted(functools.partial(function, *given.args, **given.kwargs), returns)
        finally:
            PipelineDecorator._current = None

    def _conducted(self, function: Callable[[], Any], returns: str | None) -> Any:
        if self._mode == "functions":
            result = function()
            self._store(returns, result)
            self._task.close()
            return result
        execution = self._execution = self._new_execution(in_processes=self._mode == "processes", is_complete=False)
        self.calls = Calls(self, execution, self._nodes)
        execution.start()
        try:
            result = function()
            execution.complete()
            execution.wait()
            self._store(returns, result)
        except BaseException as error:
            execution.stop(f"the pipeline's code failed: {type(error).__name__}: {error}", failed=True)
            execution.complete()
            execution.wait()
            execution.finish()
            raise
        finally:
            self.calls = None
        execution.finish()
        self._task.close()
        return result

    def _store(self, name: str | None, result: Any) -> None:
        if name and result is not None:
            self.upload_value(name, loaded(result))

    def _new_execution(self, *, in_processes: bool, is_complete: bool = True) -> Any:
        self._default_execution_queue = self._default_queue or ALWAYS_THERE[0]
        return super()._new_execution(in_processes=in_processes, is_complete=is_complete)
