"""`PipelineController`: a pipeline from tasks and functions, with ClearML's names and defaults."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..errors import InvalidArgumentError, UsageError
from ..session import current_session
from . import node as nodes
from .conductor import Plan
from .definition import Callback
from .errors import PipelineError
from .execution import Execution, check_queues, check_steps, wait_until_over
from .known import KnownPipelines, nodes_of
from .pipeline_task import Identity, is_pipeline, pipeline_task, version_of
from .preparing import Surroundings
from .step_run import HOW_TO_PICKLE, load_artifact, store_value
from .steps import RetryRule
from .value_tree import UnsupportedValueError
from .values import Serialization

if TYPE_CHECKING:
    from ..artifacts import Artifact
    from ..logger import Logger
    from ..output_model import OutputModel
    from ..task import Task

_CONDITIONS: Final[Mapping[str, frozenset[str]]] = {
    "all": frozenset({"completed"}),
    "failed": frozenset({"completed", "stopped"}),
    "aborted": frozenset({"completed", "failed"}),
}
_STEP_CONDITIONS: Final[Mapping[str, frozenset[str]]] = {
    "all": frozenset({"completed", "cached", "skipped"}),
    "failed": frozenset({"completed", "cached", "skipped", "aborted"}),
    "aborted": frozenset({"completed", "cached", "skipped", "failed"}),
}


class PipelineController(KnownPipelines):
    """A graph of steps, each a task, run by a task of its own, which goes on where it was after whatever kills it."""

    Node: TypeAlias = nodes.Node

    def __init__(
        self,
        name: str,
        project: str,
        version: str | None = None,
        pool_frequency: float = 0.2,
        add_pipeline_tags: bool = False,
        target_project: str | bool | None = True,
        auto_version_bump: bool | None = None,
        abort_on_failure: bool = False,
        add_run_number: bool = True,
        retry_on_failure: RetryRule = None,
        docker: str | None = None,
        docker_args: str | None = None,
        docker_bash_setup_script: str | None = None,
        packages: bool | str | Sequence[str] | None = None,
        repo: str | None = None,
        repo_branch: str | None = None,
        repo_commit: str | None = None,
        always_create_from_code: bool = True,
        artifact_serialization_function: Serialization = None,
        artifact_deserialization_function: Serialization = None,
        output_uri: str | bool | None = None,
        skip_global_imports: bool = False,
        working_dir: str | None = None,
        enable_local_imports: bool = True,
    ) -> None:
        """Make this process the controller of a pipeline.

        Args:
            name: The pipeline's name.
            project: Its project; its runs are in `PROJECT/.pipelines/NAME`.
            version: Its version; that of its last run by default, or 1.0.0.
            pool_frequency: Has no effect: nothing is polled here.
            add_pipeline_tags: Tag each step's task with `pipe: ID`.
            target_project: Project of the steps' tasks: the pipeline's own (True), a name, or that of what each copies.
            auto_version_bump: Take the next version where there is a run of this one.
            abort_on_failure: Stop everything when a step fails, unless the step says otherwise.
            add_run_number: Name the run `NAME #N`.
            retry_on_failure: For steps that say nothing themselves, see `add_step`.
            docker: Container image of the controller.
            docker_args: Arguments of its container.
            docker_bash_setup_script: Shell script to run in it first.
            packages: Requirement lines of the controller.
            repo: Its repository.
            repo_branch: Branch of that.
            repo_commit: Commit of that.
            always_create_from_code: Has no effect: a run is what the code says, and goes on from its own events.
            artifact_serialization_function: How return values of steps become bytes, `"pickle"` to pickle them.
            artifact_deserialization_function: And how bytes become values.
            output_uri: Where artifacts and models of pipeline and steps go by default.
            skip_global_imports: Leave the imports at the top of the script out of function steps.
            working_dir: Folder in the repository to run the controller in.
            enable_local_imports: Let steps that run on this machine import modules from the script's folder.

        """
        del pool_frequency, always_create_from_code
        super().__init__(retry_on_failure)
        identity = Identity(name, project, version, bool(auto_version_bump), add_run_number)
        self._task = pipeline_task(identity)
        self._name = name
        self._target_project = target_project
        self._adds_tags = add_pipeline_tags
        self._stops_on_fail = abort_on_failure
        self.serialization = artifact_serialization_function
        self.deserialization = artifact_deserialization_function
        self.skips_global_imports = skip_global_imports
        self._local_imports = enable_local_imports
        self._output_uri = output_uri
        self._set_up(docker, docker_args, docker_bash_setup_script, packages)
        if any(given is not None for given in (repo, repo_branch, repo_commit, working_dir)):
            self._task.set_script(repository=repo, branch=repo_branch, commit=repo_commit, working_dir=working_dir)

    def _set_up(
        self,
        docker: str | None,
        docker_args: str | None,
        script: str | None,
        packages: bool | str | Sequence[str] | None,
    ) -> None:
        if docker or docker_args or script:
            self._task.set_base_docker(
                docker_image=docker, docker_arguments=docker_args, docker_setup_bash_script=script
            )
        if packages is not None and not isinstance(packages, bool):
            self._task.set_packages(packages)
        if self._output_uri is not None:
            self._task.output_uri = self._output_uri

    def start(
        self,
        queue: str = "services",
        step_task_created_callback: Callback | None = None,
        step_task_completed_callback: Callback | None = None,
        wait: bool = True,
    ) -> bool:
        """Put the pipeline into a queue and end this process; at an agent, run it.

        Args:
            queue: The controller's queue.
            step_task_created_callback: `f(pipeline, node, parameters)` before each step; False skips it.
            step_task_completed_callback: `f(pipeline, node)` after each step.
            wait: Has no effect, as in ClearML.

        Returns:
            True.

        Raises:
            PipelineError: The pipeline can't run as it is defined: a cycle, an unknown parent, reference or queue.

        """
        del wait
        self._add_callbacks(step_task_created_callback, step_task_completed_callback)
        self._check(in_processes=False)
        self._task.execute_remotely(queue_name=queue, exit_process=True)
        self._run(in_processes=False)
        return True

    def start_locally(self, run_pipeline_steps_locally: bool = False) -> None:
        """Run the pipeline in this process, and return when all steps are over.

        Args:
            run_pipeline_steps_locally: Run the steps as processes here, too, and not through their queues.

        Raises:
            PipelineError: The pipeline can't run as it is defined.

        """
        self._check(in_processes=run_pipeline_steps_locally)
        self._run(in_processes=run_pipeline_steps_locally)

    def create_draft(self) -> None:
        """Leave the pipeline's task as a draft, for others to clone or enqueue, and end this process."""
        self._check(in_processes=False)
        self._task.execute_remotely(queue_name=None, exit_process=True)

    def stop(self, timeout: float | None = None, mark_failed: bool = False, mark_aborted: bool = False) -> None:
        """Start no more steps, abort those that run, and let the pipeline end.

        Args:
            timeout: Seconds to wait for that.
            mark_failed: Let the pipeline count as failed.
            mark_aborted: Let it count as aborted, as it does without either.

        """
        del mark_aborted
        if self._execution is not None:
            self._execution.stop("stopped by its script", failed=mark_failed)
            self._execution.wait(timeout)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the pipeline's end, so many minutes at the most; returns whether it has ended."""
        seconds = None if timeout is None else 60.0 * timeout
        if self._execution is not None:
            return self._execution.wait(seconds)
        return wait_until_over(self._task, seconds)

    def is_running(self) -> bool:
        """Return whether the pipeline runs, here or elsewhere."""
        if self._execution is not None:
            return self._execution.is_running
        return self._task.get_status() == "in_progress"

    def is_successful(self, fail_on_step_fail: bool = True, fail_condition: str = "all") -> bool:
        """Return whether the pipeline has ended well.

        Args:
            fail_on_step_fail: No step may have failed either, even where the pipeline could go on without it.
            fail_condition: What counts as a failure: `failed`, `aborted`, or `all` for both.

        Raises:
            UsageError: There is no such condition.

        """
        if fail_condition not in _CONDITIONS:
            raise UsageError(f"fail_condition is all, failed or aborted, not {fail_condition!r}.")
        status = self._task.get_status() if self._execution is None else self._execution.status
        if status not in _CONDITIONS[fail_condition]:
            return False
        allowed = _STEP_CONDITIONS[fail_condition]
        return not fail_on_step_fail or all(node.status in allowed for node in self.get_pipeline_dag().values())

    def elapsed(self) -> float:
        """Return how many minutes the pipeline has been running here; -1 before its start."""
        return -1.0 if self._execution is None else (time.monotonic() - self._execution.began) / 60.0

    def get_pipeline_dag(self) -> Mapping[str, nodes.Node]:
        """Return the steps by name; `parents` of each are its edges."""
        if self._execution is None and not self._task.is_main_task():
            self._nodes = nodes_of(self._task.id)
        return dict(self._nodes)

    def get_processed_nodes(self) -> Sequence[nodes.Node]:
        """Return the steps that have run, or whose outcome was taken from an earlier run."""
        return [node for node in self.get_pipeline_dag().values() if node.executed]

    def get_running_nodes(self) -> Sequence[nodes.Node]:
        """Return the steps that wait in a queue or run."""
        return [node for node in self.get_pipeline_dag().values() if node.status in {"queued", "running"}]

    def update_execution_plot(self) -> None:
        """Show the present state of the graph at once."""
        if self._execution is not None:
            self._execution.show()

    def connect_configuration(
        self,
        configuration: Mapping[str, Any] | list[Any] | Path | str,
        name: str | None = None,
        description: str | None = None,
    ) -> Any:
        """Tie a configuration to the pipeline's task, see `Task.connect_configuration`."""
        return self._task.connect_configuration(configuration, name=name, description=description)

    @classmethod
    def get_logger(cls) -> Logger:
        """Return the logger of the pipeline's task, in a step as well."""
        return _current().get_logger()

    @classmethod
    def upload_artifact(cls, name: str, artifact_object: Any, **options: Any) -> bool:
        """Upload an artifact of the pipeline's task, in a step as well, see `Task.upload_artifact`."""
        return _current().upload_artifact(name, artifact_object, **options)

    @classmethod
    def upload_model(cls, model_name: str, model_local_path: str, upload_uri: str | None = None) -> OutputModel:
        """Upload a file as a model of the pipeline's task, in a step as well."""
        from ..output_model import OutputModel  # noqa: PLC0415  only where used

        model = OutputModel(task=_current(), name=model_name)
        model.update_weights(weights_filename=model_local_path, upload_uri=upload_uri, auto_delete_file=False)
        return model

    @property
    def task(self) -> Task:
        """The pipeline's task."""
        return self._task

    @property
    def id(self) -> str:
        """The id of the pipeline's task."""
        return self._task.id

    @property
    def tags(self) -> list[str]:
        """The tags of the pipeline's task."""
        return self._task.get_tags()

    @property
    def version(self) -> str:
        """The pipeline's version."""
        return version_of(self._task)

    def upload_value(self, name: str, value: Any) -> None:
        """Keep a value as an artifact of the pipeline's task, in the format that steps use.

        Raises `PipelineError` where no format allowed holds it.
        """
        try:
            store_value(self._task, name, value, self.serialization)
        except UnsupportedValueError as error:
            raise PipelineError(f"{name!r} can't be kept: {error} {HOW_TO_PICKLE}") from error
        self._task.flush(wait_for_uploads=True)

    def value_of(self, artifact: Artifact) -> Any:
        """The value of an artifact that a step has made."""
        return load_artifact(artifact, self.deserialization)

    def add_tags(self, tags: Sequence[str] | str) -> None:
        """Add tags to the pipeline's task."""
        self._task.add_tags(tags)

    def _add_callbacks(self, created: Callback | None, completed: Callback | None) -> None:
        given = {"created": created, "completed": completed}
        for node in self._nodes.values():
            node.callbacks |= {name: function for name, function in given.items() if function is not None}

    def _check(self, *, in_processes: bool) -> None:
        if not self._nodes:
            raise InvalidArgumentError("the pipeline has no steps: add some with add_step or add_function_step.")
        check_steps(self._nodes, self.get_parameters())
        if not in_processes:
            check_queues(current_session(), self._nodes, self._default_execution_queue or "")

    def _run(self, *, in_processes: bool) -> None:
        self._execution = self._new_execution(in_processes=in_processes)
        self._execution.start()
        self._execution.wait()
        self._execution.finish()
        self._task.close()

    def _new_execution(self, *, in_processes: bool, is_complete: bool = True) -> Execution:
        plan = Plan(
            self._name, self.version, self._default_execution_queue or "", self._stops_on_fail, self._time_limit
        )
        return Execution(
            self._task,
            plan,
            self._surroundings(),
            self._nodes,
            self,
            in_processes=in_processes,
            is_complete=is_complete,
        )

    def _surroundings(self) -> Surroundings:
        target = self._target_project
        session = current_session()
        return Surroundings(
            session,
            self._task.id,
            project=self._task.get_project_name() if target is True else str(target or ""),
            tags=(f"pipe: {self._task.id}",) if self._adds_tags else (),
            queue=self._default_execution_queue or "",
            output_uri=session.settings.blobs if self._output_uri is True else str(self._output_uri or ""),
            arguments=self.get_parameters(),
        )


def _current() -> Task:
    """The task of the pipeline that runs in this process, or whose step this process is."""
    from ..task import Task  # noqa: PLC0415  the pipeline is a part of what that offers

    task = Task.current_task()
    if task is None:
        raise UsageError("there is no pipeline in this process: make a PipelineController first.")
    parent = Task.get_task(task.parent) if task.parent and not is_pipeline(task) else None
    return parent if parent is not None and is_pipeline(parent) else task
