"""`add_function_step`: a function as a step of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import steps
from .definition import Callback, Definition
from .function_steps import FunctionStep
from .steps import Choices, RetryRule
from .values import Serialization


class FunctionDefinition(Definition):
    """Steps that are functions, beside those that are tasks."""

    serialization: Serialization
    deserialization: Serialization
    skips_global_imports: bool

    @property
    def returns(self) -> Mapping[str, Sequence[str]]:
        """Names of the return values of each step."""
        return {name: node.return_artifacts for name, node in self._nodes.items()}

    def add_function_step(
        self,
        name: str,
        function: Callable[..., Any],
        function_kwargs: Mapping[str, Any] | None = None,
        function_return: Sequence[str] | None = None,
        project_name: str | None = None,
        task_name: str | None = None,
        task_type: str | None = None,
        auto_connect_frameworks: bool | Mapping[str, Any] | None = None,
        auto_connect_arg_parser: bool | Mapping[str, Any] | None = None,
        packages: bool | str | Sequence[str] | None = None,
        repo: str | None = None,
        repo_branch: str | None = None,
        repo_commit: str | None = None,
        helper_functions: Sequence[Callable[..., Any]] | None = None,
        docker: str | None = None,
        docker_args: str | None = None,
        docker_bash_setup_script: str | None = None,
        parents: Sequence[str] | None = None,
        execution_queue: str | None = None,
        monitor_metrics: Sequence[Any] | None = None,
        monitor_artifacts: Sequence[Any] | None = None,
        monitor_models: Sequence[Any] | None = None,
        time_limit: float | None = None,
        continue_on_fail: bool = False,
        pre_execute_callback: Callback | None = None,
        post_execute_callback: Callback | None = None,
        cache_executed_step: bool = False,
        retry_on_failure: RetryRule = None,
        status_change_callback: Callback | None = None,
        tags: str | Sequence[str] | None = None,
        output_uri: str | bool | None = None,
        draft: bool = False,
        working_dir: str | None = None,
        continue_behaviour: Mapping[str, bool] | None = None,
        stage: str | None = None,
    ) -> bool:
        """Add a step that calls a function, in a task of its own.

        Args:
            name: The step's name.
            function: The function; its source travels, with the imports of its module.
            function_kwargs: Its arguments: plain values (hyper-parameters `kwargs/NAME` of the step's task), references
                as in `add_step`, and return values of other steps as `${step.RETURN}`.
            function_return: Names of the return values; each becomes an artifact of the step.
            project_name: Project of the step's task, where the pipeline has no say in that.
            task_name: Has no effect: the task has the step's name.
            task_type: A value of `TaskTypes`.
            auto_connect_frameworks: See `Task.init`.
            auto_connect_arg_parser: See `Task.init`.
            packages: Requirement lines; True (or None) for those that the function imports, False for none.
            repo: Repository to run the function in.
            repo_branch: Branch of that.
            repo_commit: Commit of that.
            helper_functions: Functions that it calls and that travel with it.
            docker: Container image.
            docker_args: Arguments of the container.
            docker_bash_setup_script: Shell script to run in the container first.
            parents: See `add_step`, as for all that follow but three.
            execution_queue: See there.
            monitor_metrics: See there.
            monitor_artifacts: See there.
            monitor_models: See there.
            time_limit: See there.
            continue_on_fail: See there.
            pre_execute_callback: See there.
            post_execute_callback: See there.
            cache_executed_step: See there.
            retry_on_failure: See there.
            status_change_callback: See there.
            tags: Tags of its task.
            output_uri: See there.
            draft: Make the task and leave it to others to enqueue it.
            working_dir: Folder in the repository to run in.
            continue_behaviour: See there.
            stage: See there.

        Returns:
            True.

        Raises:
            PipelineError: The name is taken; also a `ValueError`.
            FunctionSourceError: The function can't travel as source.
            InvalidArgumentError: An argument is none of the function's, or no plain value; also a `ValueError`.

        """
        del task_name
        steps.check_name(name, self._nodes)
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
            draft=draft,
        )
        code = {
            "project": project_name or "",
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
        step = FunctionStep(name, function, list(function_return or ()), choices, code, function_kwargs or {})
        self._nodes[name] = step.node(self)
        return True
