"""What has to be said once an entry has left its queue: the same, whoever says it.

Whoever dequeues an entry notes that with the task. Whoever moves one to another queue enqueues it there, and *then*
notes it, so that the note says that the move is complete. What was left undone, the partition's owner does.
"""

from __future__ import annotations

from collections.abc import Callable

from ..events.base import Meta
from ..events.queue_events import EntryEnqueued
from ..events.task_events import EntryLeft
from .queue_fold import Entry


def next_hop(entry: Entry, request: EntryEnqueued, stamp: Callable[[], Meta]) -> EntryEnqueued:
    """Return what enqueues a moved entry where it goes. `request` is what enqueued it in the queue it has left."""
    changes = {
        "meta": stamp(),
        "queue": entry.moved_to,
        "entry": entry.next_hop_id,
        "hop": entry.hop + 1,
        "rank": entry.moved_rank,
        "priority": entry.priority,
        "origin": entry.id,
    }
    return request.model_copy(update=changes)


def left(entry: Entry, stamp: Callable[[], Meta]) -> EntryLeft:
    """Return the note that an entry is out of its queue without having been taken."""
    return EntryLeft(meta=stamp(), task=entry.task, run=entry.run, entry=entry.id, reason=entry.state)
