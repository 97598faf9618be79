"""One task read straight from its partition of `tasktape.tasks`: what `Task.init` must know within a moment.

Only records of the task are decoded, so that a long partition costs little, and no database is opened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ..events.errors import DecodeError
from ..events.log.port import Log, LogRecord, TopicPartition, partition_of
from ..events.task_events import ArtifactUploaded, ModelSaved, RunStarted, TaskReset, TasksEvent
from ..events.wire import read_event
from ..projections.task_state import Rejection, TaskState, apply

if TYPE_CHECKING:
    from ..events.codec import Codec

TOPIC: Final = TasksEvent.topic
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Replayed:
    """A task's state, and whether its visible runs have artifacts or models."""

    state: TaskState = field(default_factory=TaskState)
    has_outputs: bool = False

    @property
    def can_be_replaced(self) -> bool:
        """Whether a new run may take the place of the task's last one, as ClearML has it."""
        state = self.state
        return state.spec is not None and not (self.has_outputs or state.published or state.archived or state.deleted)


def partition(log: Log, task_id: str) -> TopicPartition:
    """The partition that holds the task's events."""
    return TopicPartition(TOPIC, partition_of(task_id, log.topics()[TOPIC].partitions))


def replay(
    log: Log, codec: Codec, task_id: str, start: int, deadline: float, clock: Callable[[], float] = time.monotonic
) -> Replayed | None:
    """Read a task's events from offset `start` of its partition to the end; None where the deadline passes first.

    `deadline` is in seconds of `clock`. Records that can't be read are left out, as every reader does.
    """
    source = partition(log, task_id)
    end = log.end_positions([TOPIC])[source]
    found = Replayed()
    with log.read({source: start}) as reader:
        while reader.positions()[source] < end:
            if clock() >= deadline:
                return None
            for event in _events(reader.poll(_POLL_SECONDS), codec, task_id):
                found = after(found, event)
    return found


def after(known: Replayed, event: TasksEvent) -> Replayed:
    """What is known after one more event."""
    state = apply(known.state, event)
    if isinstance(state, Rejection):
        return known
    if isinstance(event, ArtifactUploaded | ModelSaved):
        return Replayed(state, has_outputs=True)
    if isinstance(event, TaskReset) or (isinstance(event, RunStarted) and not event.continues):
        return Replayed(state, has_outputs=False)
    return replace(known, state=state)


def _events(records: Iterable[LogRecord], codec: Codec, task_id: str) -> Iterator[TasksEvent]:
    for record in records:
        if record.key == task_id:
            try:
                event = read_event(record, codec=codec)
            except DecodeError:
                continue
            if isinstance(event, TasksEvent):
                yield event
