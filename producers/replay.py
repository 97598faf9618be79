"""One task read straight from its partition of `tasktape.tasks`: what `Task.init` must know within a moment.

Only records of the task are decoded, so that a long partition costs little; no projection is opened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..events.errors import DecodeError
from ..events.log.port import Log, LogRecord, TopicPartition, partition_of
from ..events.parts import TaskSpec
from ..events.task_events import (
    ArtifactUploaded,
    ModelSaved,
    RunEvent,
    RunStarted,
    TaskArchived,
    TaskDeleted,
    TaskPublished,
    TaskReset,
    TaskUnarchived,
)
from ..events.wire import read_event
from .spec import after

if TYPE_CHECKING:
    from ..events.base import Event
    from ..events.codec import Codec

TOPIC: Final = "tasktape.tasks"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one task's events say: its spec as edited, its highest run, and whether its outputs may be overwritten."""

    spec: TaskSpec | None = None
    last_run: int = 0
    has_outputs: bool = False
    is_final: bool = False

    @property
    def can_be_reused(self) -> bool:
        """Whether a new run may take the task's place, as ClearML has it."""
        return self.spec is not None and not self.has_outputs and not self.is_final


def partition(log: Log, task_id: str) -> TopicPartition:
    """The partition that holds the task's events."""
    count = log.topics()[TOPIC].partitions
    return TopicPartition(TOPIC, partition_of(task_id, count))


def replay(
    log: Log, codec: Codec, task_id: str, start: int, deadline: float, clock: Callable[[], float] = time.monotonic
) -> Replayed | None:
    """Read a task's events from offset `start` of its partition to the end; None where the deadline passes first.

    `deadline` is in seconds of `clock`. Records that can't be read are left out, as any reader does.
    """
    source = partition(log, task_id)
    end = log.end_positions([TOPIC])[source]
    found = Replayed()
    with log.read({source: start}) as reader:
        while reader.positions()[source] < end:
            if clock() >= deadline:
                return None
            for event in _events(reader.poll(max(0.0, deadline - clock())), codec, task_id):
                found = folded(found, event)
    return found


def folded(known: Replayed, event: Event) -> Replayed:
    """What is known after one more event."""
    run = event.run if isinstance(event, RunEvent) else known.last_run
    outputs, final = known.has_outputs, known.is_final
    match event:
        case ArtifactUploaded() | ModelSaved():
            outputs = True
        case TaskReset() | RunStarted(continues=False):
            outputs = False
        case TaskPublished() | TaskArchived() | TaskDeleted():
            final = True
        case TaskUnarchived():
            final = False
        case _:
            pass
    return Replayed(after(known.spec, event), max(known.last_run, run), outputs, final)


def _events(records: Sequence[LogRecord], codec: Codec, task_id: str) -> Iterator[Event]:
    for record in records:
        if record.key == task_id:
            try:
                yield read_event(record, codec=codec)
            except DecodeError:
                continue
