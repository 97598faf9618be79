"""Made-up histories: says on a log, event by event, what tasks, queues and workers would have said themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasktape.events.base import Event, Stamper, new_task_id, now_us
from tasktape.events.codec import Codec
from tasktape.events.instance_events import (
    InstanceEvent,
    InstanceLaunched,
    InstanceReady,
    InstanceRequested,
    QueueNeed,
    ScalerEvent,
    ScalerLeads,
    ScalingDecided,
)
from tasktape.events.log import Delivery, Log, open_log
from tasktape.events.parts import Artifact, BlobRef, Model, Parameter, Script, TaskSpec
from tasktape.events.pipeline_events import (
    PipelineDefined,
    PipelineStep,
    StepEvent,
    StepFinished,
    StepQueued,
    StepStarted,
)
from tasktape.events.queue_events import EntryClaimed, EntryEnqueued, EntryTaken, QueueCreated, entry_id
from tasktape.events.report_events import (
    ConsoleLine,
    ConsoleWritten,
    MediaReported,
    PlotReported,
    SingleValueReported,
)
from tasktape.events.scalars import ScalarColumns, event_of
from tasktape.events.search_events import (
    Objective,
    SearchDefined,
    SearchEvent,
    SearchLimits,
    TrialFinished,
    TrialQueued,
    TrialStarted,
)
from tasktape.events.task_events import (
    ArtifactUploaded,
    ModelSaved,
    ParametersSet,
    RunCompleted,
    RunFailed,
    RunStarted,
    RunStopped,
    TaskArchived,
    TaskCreated,
)
from tasktape.events.topics import TOPICS, queue_spec
from tasktape.events.wire import append_event
from tasktape.events.worker_events import HeldRun, WorkerHeartbeat, WorkerStarted
from tasktape.producers.parameters import make


class History:
    """Writes events to the log of a tasktape home. Each method says one thing; `settle` waits until all is written."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.log: Log = open_log(f"sqlite:///{home}/log.db")
        self.log.create_topics(TOPICS)
        self.stamp = Stamper("ada@lab")
        self._codec = Codec()
        self._delivered: list[Delivery] = []

    def say(self, event: Event) -> None:
        append_event(self.log, event, codec=self._codec, on_delivery=self._delivered.append)

    def settle(self) -> None:
        assert self.log.flush(20.0) == 0
        assert [delivery.error for delivery in self._delivered if delivery.error] == []

    def close(self) -> None:
        self.settle()
        self.log.close()

    def task(self, name: str = "train", project: str = "vision", **spec: Any) -> str:
        task = new_task_id()
        parameters = [Parameter(name=n, value=v, type="float") for n, v in spec.pop("parameters", {}).items()]
        spec.setdefault("script", Script(entry_point="train.py", requirements=["numpy==2.4.0"]))
        whole = TaskSpec(project=project, name=name, user=spec.pop("user", "ada"), parameters=parameters, **spec)
        self.say(TaskCreated(meta=self.stamp(), task=task, spec=whole))
        return task

    def start(self, task: str, run: int = 1, worker: str = "", entry: str = "") -> None:
        self.say(RunStarted(meta=self.stamp(), task=task, run=run, worker=worker, entry=entry))

    def scalar(self, task: str, title: str, series: str, values: Sequence[float], first_step: int = 0) -> None:
        count = len(values)
        self.say(
            event_of(
                ScalarColumns(
                    meta=self.stamp(),
                    task=task,
                    run=1,
                    series=((title, series),),
                    index=np.zeros(count, np.int64),
                    steps=np.arange(first_step, first_step + count),
                    times=now_us() + 1_000_000 * np.arange(count),
                    values=np.array(values, np.float64),
                )
            )
        )

    def console(self, task: str, *lines: str, run: int = 1) -> None:
        said = [ConsoleLine(at=now_us(), stream="stdout", text=line) for line in lines]
        self.say(ConsoleWritten(meta=self.stamp(), task=task, run=run, lines=said))

    def single(self, task: str, name: str, value: float) -> None:
        self.say(SingleValueReported(meta=self.stamp(), task=task, run=1, name=name, value=value))

    def plot(self, task: str, title: str, figure: str, iteration: int = 0, *, blob: BlobRef | None = None) -> None:
        self.say(
            PlotReported(
                meta=self.stamp(),
                task=task,
                run=1,
                title=title,
                series="s",
                iteration=iteration,
                figure=figure,
                blob=blob,
            )
        )

    def image(self, task: str, blob: BlobRef, iteration: int = 0) -> None:
        self.say(
            MediaReported(
                meta=self.stamp(),
                task=task,
                run=1,
                title="samples",
                series="first",
                iteration=iteration,
                kind="image",
                content_type="image/png",
                blob=blob,
            )
        )

    def artifact(self, task: str, blob: BlobRef, name: str = "predictions") -> None:
        artifact = Artifact(
            name=name, type="dict", uri=blob.uri, size=blob.size, sha256=blob.sha256, preview='{"a": 1}'
        )
        self.say(ArtifactUploaded(meta=self.stamp(), task=task, run=1, artifact=artifact))

    def model(self, task: str, blob: BlobRef, name: str = "net") -> None:
        model = Model(id=new_task_id(), name=name, framework="torch", uri=blob.uri, size=blob.size, sha256=blob.sha256)
        self.say(ModelSaved(meta=self.stamp(), task=task, run=1, model=model))

    def set_parameter(self, task: str, name: str, value: str, old: str = "") -> None:
        before = [Parameter(name=name, value=old)] if old else []
        self.say(
            ParametersSet(meta=self.stamp(), task=task, parameters=[Parameter(name=name, value=value)], old=before)
        )

    def complete(self, task: str, run: int = 1) -> None:
        self.say(RunCompleted(meta=self.stamp(), task=task, run=run))

    def fail(self, task: str, message: str = "ValueError: no", run: int = 1) -> None:
        traceback = f"Traceback (most recent call last):\n{message}\n"
        self.say(
            RunFailed(meta=self.stamp(), task=task, run=run, reason="exception", message=message, traceback=traceback)
        )

    def stop(self, task: str, run: int = 1) -> None:
        self.say(RunStopped(meta=self.stamp(), task=task, run=run, reason="aborted"))

    def archive(self, task: str) -> None:
        self.say(TaskArchived(meta=self.stamp(), task=task))

    def queue(self, name: str) -> None:
        self.log.create_topics([queue_spec(name)])
        self.say(QueueCreated(meta=self.stamp(), queue=name))

    def enqueue(self, task: str, queue: str, run: int = 1, **spec_of_run: Any) -> str:
        entry = entry_id(queue, task, run)
        spec = TaskSpec(project="vision", name="train", **spec_of_run)
        self.say(EntryEnqueued(meta=self.stamp(), task=task, queue=queue, entry=entry, run=run, spec=spec))
        return entry

    def take(self, task: str, queue: str, worker: str, run: int = 1) -> None:
        entry = entry_id(queue, task, run)
        claim = EntryClaimed(meta=self.stamp(), task=task, queue=queue, entry=entry, run=run, worker=worker)
        self.say(claim)
        self.say(
            EntryTaken(
                meta=self.stamp(),
                task=task,
                queue=queue,
                entry=entry,
                run=run,
                worker=worker,
                claim=claim.meta.event_id,
            )
        )

    def pipeline(self, name: str, parents: Mapping[str, Sequence[str]], **spec: Any) -> str:
        """A controller that runs and has defined these steps, each with its parents."""
        task = self.task(name, task_type="controller", **spec)
        self.start(task)
        steps = [PipelineStep(name=step, parents=list(after), queue="default") for step, after in parents.items()]
        self.say(PipelineDefined(meta=self.stamp(), task=task, run=1, name=name, version="1.0", steps=steps))
        return task

    def step(self, kind: type[StepEvent], pipeline: str, step: str, **fields: Any) -> None:
        self.say(kind.model_validate({"meta": self.stamp(), "task": pipeline, "run": 1, "step": step, **fields}))

    def begin_step(self, pipeline: str, step: str, **spec: Any) -> str:
        """The step runs, as a task of its own."""
        child = self.task(step, parent=pipeline, **spec)
        self.step(StepQueued, pipeline, step, child=child, child_run=1, queue="default")
        self.start(child)
        self.step(StepStarted, pipeline, step, child=child, child_run=1)
        return child

    def end_step(self, pipeline: str, step: str, child: str, message: str = "") -> None:
        """The step has completed, or with a message failed."""
        if message:
            self.fail(child, message)
        else:
            self.complete(child)
        status = "failed" if message else "completed"
        self.step(StepFinished, pipeline, step, child=child, child_run=1, status=status, message=message)

    def search(self, name: str, objectives: Sequence[Objective], trials: int = 0, space: str = "", **spec: Any) -> str:
        """A controller that runs and has defined a search of at most so many trials of a task that it makes."""
        base = self.task("train", **spec)
        task = self.task(name, task_type="optimizer", **spec)
        self.start(task)
        about = {"base_task": base, "strategy": "RandomSearch", "queue": "default", "space": space}
        limits = SearchLimits(trials=trials, concurrent=4)
        self.of_search(SearchDefined, task, objectives=list(objectives), limits=limits, **about)
        return task

    def of_search(self, kind: type[SearchEvent], search: str, **fields: Any) -> None:
        self.say(kind(meta=self.stamp(), task=search, run=1, **fields))

    def begin_trial(self, search: str, trial: int, parameters: Mapping[str, Any], **spec: Any) -> str:
        """The trial runs, as a task of its own."""
        child = self.task(f"trial {trial}", parent=search, **spec)
        held = [make(name, value) for name, value in parameters.items()]
        self.of_search(TrialQueued, search, trial=trial, child=child, parameters=held)
        self.start(child)
        self.of_search(TrialStarted, search, trial=trial)
        return child

    def end_trial(self, search: str, trial: int, *values: float, status: str = "completed", message: str = "") -> None:
        """The trial is over, with these values of the objectives."""
        about = {"values": list(values), "iteration": 20, "seconds": 61.0 + trial, "message": message}
        self.of_search(TrialFinished, search, trial=trial, status=status, **about)

    def worker(self, name: str, queues: Sequence[str], holds: Sequence[tuple[str, str]] = (), **load: float) -> None:
        """A worker that serves queues and holds the first runs of tasks, each with the queue it came from."""
        self.say(WorkerStarted(meta=self.stamp(), worker=name, host="lab", pid=1, queues=list(queues), version="0.1.0"))
        runs = [
            HeldRun(
                task=task,
                run=1,
                queue=queue,
                entry=entry_id(queue, task, 1),
                partition=0,
                enqueued_offset=0,
                claim_offset=1,
            )
            for task, queue in holds
        ]
        self.say(
            WorkerHeartbeat(meta=self.stamp(), worker=name, queues=list(queues), runs=runs, load=load, interval=600.0)
        )

    def scaler(self, kind: type[ScalerEvent] = ScalerLeads, name: str = "lab", **fields: Any) -> None:
        """A scaler speaks; without further word it leads."""
        self.say(kind.model_validate({"meta": self.stamp(), "scaler": name, **fields}))

    def decide(self, need: Mapping[str, Any], machines: Mapping[str, int], name: str = "lab") -> None:
        """A scaler says what it saw of a queue, and how many machines there are of each status."""
        said = [QueueNeed.model_validate(need)]
        self.scaler(ScalingDecided, name, needs=said, instances=dict(machines))

    def machine(self, said: type[InstanceEvent], instance: str, /, name: str = "lab", **fields: Any) -> None:
        """A scaler speaks of a machine."""
        self.say(said.model_validate({"meta": self.stamp(), "scaler": name, "instance": instance, **fields}))

    def request(self, instance: str, reason: str = "1 waiting in train", name: str = "lab", **placement: Any) -> None:
        """A scaler asks for a machine of the resource `gpu`."""
        about = {"provider": "aws", "resource": "gpu", "queues": ["train"], "slots": 2}
        self.machine(InstanceRequested, instance, name=name, **about, placement=placement, reason=reason)

    def serve(self, instance: str, worker: str, name: str = "lab") -> None:
        """The machine is launched, and its agent serves."""
        self.machine(InstanceLaunched, instance, name=name, machine=f"i-{instance}")
        self.machine(InstanceReady, instance, name=name, worker=worker)


def falling(count: int, rate: float = 0.05) -> list[float]:
    """A loss that falls."""
    return [math.exp(-rate * step) + 0.05 for step in range(count)]
