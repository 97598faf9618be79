"""One task read straight from its partition of `tasktape.tasks`: what `Task.init` must know within a moment.

Only records of the task are decoded, so that a long partition costs little, and no database is opened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final

from pydantic import Field

from ..events.base import Part
from ..events.errors import DecodeError
from ..events.log.port import Log, LogRecord, TopicPartition, partition_of
from ..events.task_events import ArtifactUploaded, ModelSaved, RunStarted, TaskReset, TasksEvent
from ..events.wire import read_event
from ..projections.task_state import Rejection, TaskState, apply

if TYPE_CHECKING:
    from ..events.codec import Codec

TOPIC: Final = TasksEvent.topic
_LOOK_SECONDS: Final = 0.05


class Replayed(Part):
    """A task's state, and whether its visible runs have artifacts or models; up to a `position` of its partition."""

    state: TaskState = Field(default_factory=TaskState)
    has_outputs: bool = False
    position: int = 0

    @property
    def can_be_replaced(self) -> bool:
        """Whether a new run may take the place of the task's last one, as ClearML has it."""
        state = self.state
        return state.spec is not None and not (self.has_outputs or state.published or state.archived or state.deleted)


def partition(log: Log, task_id: str) -> TopicPartition:
    """The partition that holds the task's events."""
    return TopicPartition(TOPIC, partition_of(task_id, len(log.start_positions([TOPIC]))))


def replay(
    log: Log,
    source: TopicPartition,
    codec: Codec,
    task_id: str,
    known: Replayed,
    deadline: float,
    clock: Callable[[], float] = time.monotonic,
) -> Replayed | None:
    """Read a task's events from where it is known to the end of its partition, `source`.

    None where the deadline (in seconds of `clock`) passes first, and where there are none: then this is another log
    than the one it was known from. Records that can't be read are left out, as every reader does.
    """
    found = known
    with log.read({source: known.position}) as reader:
        while not reader.is_at_end():
            if clock() >= deadline:
                return None
            for event in _events(reader.poll(_LOOK_SECONDS), codec, task_id):
                found = after(found, event)
        position = reader.positions()[source]
    return None if found is known else found.model_copy(update={"position": position})


def after(known: Replayed, event: TasksEvent) -> Replayed:
    """What is known after one more event."""
    state = apply(known.state, event)
    if isinstance(state, Rejection):
        return known
    outputs = known.has_outputs
    if isinstance(event, ArtifactUploaded | ModelSaved):
        outputs = True
    elif isinstance(event, TaskReset) or (isinstance(event, RunStarted) and not event.continues):
        outputs = False
    return known.model_copy(update={"state": state, "has_outputs": outputs})


def _events(records: Iterable[LogRecord], codec: Codec, task_id: str) -> Iterator[TasksEvent]:
    for record in records:
        if record.key == task_id:
            try:
                event = read_event(record, codec=codec)
            except DecodeError:
                continue
            if isinstance(event, TasksEvent):
                yield event
