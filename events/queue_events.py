"""Events of queues: entries in `tasktape.queue.<name>`, the queues themselves, and requests to running tasks."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from .base import Event, TaskEvent
from .parts import TaskSpec

QUEUE_TOPIC_PREFIX = "tasktape.queue."


@lru_cache
def queue_topic(queue: str) -> str:
    """Topic of a queue. Topic names allow less than queue names do: other characters travel as `_` + hex."""
    return QUEUE_TOPIC_PREFIX + "".join(c if c.isascii() and (c.isalnum() or c in ".-") else _escape(c) for c in queue)


def queue_of_topic(topic: str) -> str:
    """The queue a topic belongs to: the inverse of `queue_topic`."""
    first, *rest = topic.removeprefix(QUEUE_TOPIC_PREFIX).split("_")
    decoded = [bytes.fromhex(part[: (end := part.index("z"))]).decode() + part[end + 1 :] for part in rest]
    return first + "".join(decoded)


def _escape(character: str) -> str:
    return f"_{character.encode().hex()}z"


def entry_id(queue: str, task: str, run: int, hop: int = 0) -> str:
    """Id of a queue entry: the queue of origin, the task, the run, and how often it has moved."""
    return f"{queue}/{task}/{run}/{hop}"


class EntryEvent(TaskEvent):
    """An event about one entry of one queue, in the task's partition of that queue's topic."""

    topic: ClassVar[str] = QUEUE_TOPIC_PREFIX

    queue: str
    entry: str
    run: int

    @property
    def topic_name(self) -> str:
        """Topic of the event's queue."""
        return queue_topic(self.queue)


class EntryEnqueued(EntryEvent):
    """A run waits in the queue. Those of higher `priority` come first.

    Among equals `rank` orders entries, smaller first; None ranks by append time in seconds.
    `origin` is the entry it was moved from, empty for a fresh one. `failures` and `losses` count the task's own and the
    infrastructure's failures of the runs that were retried one after the other and led here; 0 when a person enqueues.
    No claim counts that was appended before `not_before_us` (µs since 1970 by the log's own time).
    """

    hop: int = 0
    rank: float | None = None
    priority: int = 0
    origin: str = ""
    failures: int = 0
    losses: int = 0
    not_before_us: int = 0
    spec: TaskSpec


class EntryClaimed(EntryEvent):
    """A worker wants the entry; valid while it waits, or when an older claim has outlived its lease."""

    worker: str


class EntryTaken(EntryEvent):
    """The worker whose claim (`claim` is that event's id) is valid takes the entry out of the queue."""

    worker: str
    claim: str


class EntryDequeued(EntryEvent):
    """The entry is withdrawn."""

    reason: str = ""


class EntryMoved(EntryEvent):
    """The entry goes to another rank in its queue, or (with `to_queue`) to another queue.

    `rank` None ranks by append time, as in `EntryEnqueued`; `priority` None keeps the one the entry has.
    """

    to_queue: str = ""
    rank: float | None = None
    priority: int | None = None
    reason: str = ""


class QueueEvent(Event):
    """An event about a queue as a whole."""

    topic: ClassVar[str] = "tasktape.queues"

    queue: str

    @property
    def key(self) -> str:
        """The queue's name."""
        return self.queue


class QueueCreated(QueueEvent):
    """The queue exists."""


class QueueDeleted(QueueEvent):
    """The queue is gone from every view but the audit."""

    reason: str = ""


class QueuePaused(QueueEvent):
    """Nothing is claimed from the queue until it is resumed."""

    reason: str = ""


class QueueResumed(QueueEvent):
    """The queue is served again."""


class AbortRequested(TaskEvent):
    """Somebody wants the run to stop; the agent or the SDK that runs it sees to it."""

    topic: ClassVar[str] = "tasktape.control"

    run: int
    reason: str = ""
