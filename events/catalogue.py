"""Every event type there is, by name: the one list the codec, the schemas and the docs are made from.

A type's module is imported when the type is asked for: most processes see a few of them, and each takes time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from .log.fork_gate import gate

if TYPE_CHECKING:
    from .base import Event

_NAMES: Final = {
    "task_events": """
        TaskCreated TaskEdited ParametersSet ConfigurationSet RunStarted RunProgressed RunCompleted RunFailed
        RunStopped RunLost RunPreempted EntryLeft TaskReset TaskPublished TaskArchived TaskUnarchived TaskDeleted
        ArtifactUploaded ArtifactDeleted ModelSaved ModelAttached ModelDeleted
    """,
    "pipeline_events": """
        PipelineDefined PipelineContinued PipelineStopping StepAdded StepQueued StepCached StepStarted StepFinished
        StepSkipped StepRetried CallbackReturned
    """,
    "search_events": """
        SearchDefined SearchContinued SearchStopping TrialQueued TrialStarted TrialStopping TrialFinished TrialTold
    """,
    "report_events": """
        ScalarsReported SingleValueReported PlotReported TextReported MediaReported ConsoleWritten
    """,
    "queue_events": """
        EntryEnqueued EntryClaimed EntryTaken EntryDequeued EntryMoved QueueCreated QueueDeleted QueuePaused
        QueueResumed AbortRequested
    """,
    "limit_events": "LimitSet PermitClaimed PermitReleased",
    "worker_events": "WorkerStarted WorkerHeartbeat DrainRequested WorkerStopped",
    "instance_events": """
        InstanceRequested InstanceLaunched InstanceReady InstanceDraining InstanceTerminating InstanceTerminated
        InstanceFailed InstanceAdopted ScalerLeads ScalingDecided
    """,
}


class _Catalogue(Mapping[str, "type[Event]"]):
    def __init__(self) -> None:
        self._modules = {name: module for module, names in _NAMES.items() for name in names.split()}
        self._imported: dict[str, type[Event]] = {}

    def __getitem__(self, name: str) -> type[Event]:
        return self._imported.get(name) or self._import(name)

    def _import(self, name: str) -> type[Event]:
        module = self._modules[name]
        with gate:
            kind: type[Event] = getattr(import_module(f".{module}", __package__), name)
        self._imported[name] = kind
        return kind

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


EVENT_TYPES: Final[Mapping[str, type[Event]]] = _Catalogue()
