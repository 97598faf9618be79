"""Every event type there is, by name: the one list the codec, the schemas and the docs are made from."""

from __future__ import annotations

from typing import Final

from . import (
    instance_events,
    limit_events,
    pipeline_events,
    queue_events,
    report_events,
    search_events,
    task_events,
    worker_events,
)
from .base import Event

_ABSTRACT = {
    "Event",
    "TaskEvent",
    "TasksEvent",
    "RunEvent",
    "PipelineEvent",
    "StepEvent",
    "SearchEvent",
    "TrialEvent",
    "ReportEvent",
    "EntryEvent",
    "QueueEvent",
    "PermitEvent",
    "WorkerEvent",
    "InstanceEvent",
    "ScalerEvent",
}


def _concrete(module: object) -> list[type[Event]]:
    found = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Event)]
    return [kind for kind in found if kind.__name__ not in _ABSTRACT]


EVENT_TYPES: Final[dict[str, type[Event]]] = {
    kind.__name__: kind
    for module in (
        task_events,
        pipeline_events,
        search_events,
        report_events,
        queue_events,
        limit_events,
        worker_events,
        instance_events,
    )
    for kind in _concrete(module)
}
