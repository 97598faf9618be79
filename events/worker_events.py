"""Events of workers: who serves which queues, how loaded they are, which runs they hold, and who is to leave."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .base import Event, Part
from .hardware import Hardware


class HeldRun(Part):
    """A run a worker holds, with the places of its entry and of its claim in that partition of the queue's topic.

    A watcher that folds the partition from `enqueued_offset` on sees everything that concerns the entry.
    """

    task: str
    run: int
    queue: str
    entry: str
    partition: int
    enqueued_offset: int
    claim_offset: int


class WorkerEvent(Event):
    """An event about one worker process; its id is new for each process."""

    topic: ClassVar[str] = "tasktape.workers"

    worker: str

    @property
    def key(self) -> str:
        """The worker's id."""
        return self.worker


class WorkerStarted(WorkerEvent):
    """An agent began to serve queues; `instance` is the machine that a scaler launched for it, if one did.

    `hardware` is what its runs may have together.
    """

    host: str
    pid: int
    queues: list[str]
    slots: int = 1
    version: str = ""
    tags: list[str] = Field(default_factory=list)
    instance: str = ""
    hardware: Hardware = Field(default_factory=Hardware)


class WorkerHeartbeat(WorkerEvent):
    """The worker lives; `runs` is all it holds, `load` its machine (percent and bytes by name).

    The next heartbeat follows after `interval` seconds at the latest. `spare` is the hardware it has left for further
    runs. `restricted` says that the access rules keep it to the queues it serves.
    """

    queues: list[str]
    runs: list[HeldRun] = Field(default_factory=list)
    load: dict[str, float] = Field(default_factory=dict)
    interval: float = 5.0
    spare: Hardware = Field(default_factory=Hardware)
    restricted: bool = False


class DrainRequested(Event):
    """Somebody wants the worker to take nothing new, finish what it runs, and leave."""

    topic: ClassVar[str] = "tasktape.control"

    worker: str
    reason: str = ""

    @property
    def key(self) -> str:
        """The worker's id."""
        return self.worker


class WorkerStopped(WorkerEvent):
    """The worker left in order."""

    reason: str = ""
