"""Pipelines that another process runs, has run, or is to run: found, made, cloned and enqueued from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from ...projections.rows import TaskFilter
from ..session import current_session
from ..types import TaskTypes
from .errors import PipelineError
from .function_definition import FunctionDefinition
from .node import Job, Node
from .pipeline_task import SECTION, TAG, set_version, version_of

if TYPE_CHECKING:
    from ...projections.work_rows import StepRow
    from ..task import Task


class KnownPipelines(FunctionDefinition):
    """`get`, `create`, `clone` and `enqueue`."""

    @classmethod
    def _of(cls, task: Task) -> Self:
        """The pipeline that a task controls, as far as the log tells."""
        made = cls.__new__(cls)
        FunctionDefinition.__init__(made, None)
        made._task, made._nodes = task, nodes_of(task.id)  # noqa: SLF001  it is of this very class
        return made

    @classmethod
    def get(
        cls,
        pipeline_id: str | None = None,
        pipeline_project: str | None = None,
        pipeline_name: str | None = None,
        pipeline_version: str | None = None,
        pipeline_tags: Sequence[str] | None = None,
        shallow_search: bool = False,
    ) -> Self:
        """Return a pipeline by its id, or the latest run of that name, project and version.

        Args:
            pipeline_id: The id of its task; with it nothing else counts.
            pipeline_project: The project it was given.
            pipeline_name: Its name.
            pipeline_version: Its version.
            pipeline_tags: Tags of which it has one.
            shallow_search: Has no effect: all runs are looked through.

        Raises:
            PipelineError: There is no such pipeline; also a `ValueError`.

        """
        del shallow_search
        if pipeline_id:
            return cls._of(_task(pipeline_id))
        for task_id in _matching(pipeline_project, pipeline_name, pipeline_tags or ()):
            task = _task(task_id)
            if pipeline_version is None or version_of(task) == str(pipeline_version):
                return cls._of(task)
        raise PipelineError(f"there is no pipeline {pipeline_name!r} in project {pipeline_project!r}.")

    @classmethod
    def create(
        cls, project_name: str, task_name: str, *, version: str | None = None, add_run_number: bool = True, **code: Any
    ) -> Self:
        """Make a pipeline of a script or repository, as a draft, without running anything.

        Args:
            project_name: Its project.
            task_name: Its name.
            version: Its version.
            add_run_number: Has no effect: a draft is no run.
            code: What `Task.create` takes: `repo`, `branch`, `script`, `packages` and the like.

        Raises:
            InvalidArgumentError: There is no such script; also a `ValueError`.

        """
        del add_run_number
        from ..task import Task  # noqa: PLC0415  the pipeline is a part of what that offers

        project = f"{project_name}/{SECTION}/{task_name}"
        task = Task.create(project, task_name, task_type=TaskTypes.controller, add_task_init_call=False, **code)
        task.set_system_tags([*task.get_system_tags(), TAG])
        if version:
            set_version(task, version)
        return cls._of(task)

    @classmethod
    def clone(
        cls,
        pipeline_controller: KnownPipelines | str,
        name: str | None = None,
        comment: str | None = None,
        parent: str | None = None,
        project: str | None = None,
        version: str | None = None,
    ) -> Self:
        """Make a draft of another run of a pipeline, with the same code and parameters.

        Args:
            pipeline_controller: The pipeline or its id.
            name: The run's name; the pipeline's by default.
            comment: Its description.
            parent: Its parent task.
            project: Its project; the same by default.
            version: Its version; the same by default.

        """
        from ..task import Task  # noqa: PLC0415  the pipeline is a part of what that offers

        source = _given(pipeline_controller)
        task = Task.clone(source, name=name or source.name, comment=comment, parent=parent, project=project)
        if version:
            set_version(task, version)
        return cls._of(task)

    @classmethod
    def enqueue(
        cls,
        pipeline_controller: KnownPipelines | str,
        queue_name: str | None = None,
        queue_id: str | None = None,
        force: bool = False,
    ) -> Any:
        """Put a pipeline into a queue; `services` by default. See `Task.enqueue`."""
        from ..task import Task  # noqa: PLC0415  the pipeline is a part of what that offers

        queue = None if queue_id else queue_name or "services"
        return Task.enqueue(_given(pipeline_controller), queue_name=queue, queue_id=queue_id, force=force)


def nodes_of(pipeline: str) -> dict[str, Node]:
    """The steps of a pipeline as the log has them, by name."""
    with current_session().queries() as queries:
        return {row.name: _node(row) for row in queries.steps(pipeline)}


def _node(row: StepRow) -> Node:
    node = Node(
        row.name,
        queue=row.queue,
        parents=list(row.parents),
        stage=row.stage,
        status=row.status,
        base=row.base,
        executed=row.child if row.status in {"completed", "cached"} else None,
        skip_job=row.status == "skipped",
        job_started=row.started_at.timestamp() if row.started_at else None,
        job_ended=row.ended_at.timestamp() if row.ended_at else None,
    )
    if row.child:
        node.job = Job(row.child, {}, node)
    return node


def _matching(project: str | None, name: str | None, tags: Sequence[str]) -> list[str]:
    """Ids of the controllers of that project and name, the latest created first."""
    folder = f"{project}/{SECTION}/{name}" if project and name else None
    wanted = TaskFilter(
        projects=(folder,) if folder else (),
        any_system_tags=(TAG,),
        any_tags=tuple(tags),
        include_archived=False,
        order_by=("-created_at",),
    )
    with current_session().queries() as queries:
        rows = queries.tasks(wanted)
    above, below = f"{project}/" if project else "", f"/{SECTION}/{name}" if name else ""
    return [row.id for row in rows if row.project.startswith(above) and row.project.endswith(below)]


def _task(task_id: str) -> Task:
    from ..task import Task  # noqa: PLC0415  the pipeline is a part of what that offers

    return Task.get_task(task_id)


def _given(pipeline: KnownPipelines | str) -> Task:
    return _task(pipeline) if isinstance(pipeline, str) else pipeline._task  # noqa: SLF001  a pipeline's own
