"""The topics tasktape uses: partitions, how long records are kept, and which are compacted."""

from __future__ import annotations

from typing import Final, NamedTuple

from .queue_events import queue_topic

DAY_MS: Final = 24 * 60 * 60 * 1000


class TopicSpec(NamedTuple):
    """What a topic is: `retention_ms` None keeps records for ever; `compact_after_ms` None never compacts.

    The number of partitions is fixed once the topic exists.
    """

    name: str
    partitions: int = 8
    retention_ms: int | None = None
    compact_after_ms: int | None = None


TOPICS: Final[tuple[TopicSpec, ...]] = (
    TopicSpec("tasktape.tasks"),
    TopicSpec("tasktape.metrics"),
    TopicSpec("tasktape.reports"),
    TopicSpec("tasktape.console", retention_ms=30 * DAY_MS),
    TopicSpec("tasktape.queues", partitions=1),
    TopicSpec("tasktape.control"),
    TopicSpec("tasktape.workers", compact_after_ms=7 * DAY_MS),
    TopicSpec("tasktape.instances", partitions=1),
)


def queue_spec(queue: str) -> TopicSpec:
    """Topic of a queue's entries."""
    return TopicSpec(queue_topic(queue))
