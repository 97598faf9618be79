"""What a pipeline's own task shows of its steps: their scalars, artifacts and models, taken over when a step ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...events.base import new_task_id
from ...events.task_events import ArtifactUploaded, ModelSaved
from ..logger import Logger

if TYPE_CHECKING:
    from ..task import Task
    from .node import Node
    from .outcomes import Outcome


def take_over(task: Task, node: Node, outcome: Outcome) -> None:
    """Take over what a step was asked to be watched for. What it has not got is left out."""
    if node.monitor_metrics:
        _scalars(task, node, outcome.task)
    for name, new_name in node.monitor_artifacts:
        if (artifact := outcome.artifacts.get(name)) is not None:
            renamed = artifact.model_copy(update={"name": new_name})
            task._emit(ArtifactUploaded(meta=task._session.stamp(), task=task.id, run=task.run, artifact=renamed))  # noqa: SLF001  one package
    for name, new_name in node.monitor_models:
        if (model := next((one for one in outcome.models("output") if one.name == name), None)) is not None:
            own = model.model_copy(update={"id": new_task_id(), "name": new_name})
            task._emit(ModelSaved(meta=task._session.stamp(), task=task.id, run=task.run, model=own))  # noqa: SLF001  one package


def _scalars(task: Task, node: Node, child: str) -> None:
    """Report the last value of each scalar, at its iteration."""
    logger: Logger = task.get_logger()
    with task._session.queries() as queries:  # noqa: SLF001  one package
        known = {(row.title, row.series): row for row in queries.last_scalars(child)}
    for source, (title, series) in node.monitor_metrics:
        if (row := known.get(source)) is not None:
            logger.report_scalar(title, series, row.last, row.last_step)
