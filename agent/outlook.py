"""What claiming sees of all that an agent knows: its `Sight`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..events.queue_events import EntryEnqueued
from ..projections.limit_fold import LimitFold
from ..projections.queue_fold import Entry, QueueFold
from ..projections.retries import LOST
from ..projections.verdict import Verdict
from .appends import Appends
from .clock import Clock
from .heartbeat import Heartbeats
from .idlers import Idler
from .view import View


@dataclass
class Outlook:
    """What claiming sees of all that an agent knows."""

    worker: str
    queues: Sequence[str]
    view: View
    appends: Appends
    heartbeats: Heartbeats
    clock: Clock

    def folds(self) -> Sequence[QueueFold]:
        """Return the queues served, best first."""
        return [self.view.queues[queue].fold for queue in self.queues]

    def entry(self, queue: str, entry: str) -> Entry | None:
        """Return an entry as it stands."""
        return self.view.queues[queue].fold.entry(entry)

    def request(self, queue: str, entry: str) -> EntryEnqueued | None:
        """Return the event that enqueued an entry that is not gone."""
        return self.view.queues[queue].request(entry)

    def ahead(self, queue: str, now: float) -> Sequence[Idler]:
        """Return the workers whose turn it is before this one's."""
        return self.view.ahead(self.worker, queue, now)

    def claimed_at(self, queue: str, entry: str) -> float:
        """Moment at which the entry's valid claim was read."""
        return self.view.queues[queue].claimed_at(entry)

    def take_verdict(self, event_id: str) -> Verdict | None:
        """Return, once, the verdict on an event that was read back."""
        return self.appends.take_verdict(event_id)

    def acknowledged(self, attempt: str) -> bool:
        """Whether the last acknowledged heartbeat names the run of this very attempt, not of one before."""
        return self.heartbeats.acknowledged(attempt)

    def exists(self, task: str) -> bool:
        """Whether the task was created, as far as was read."""
        return self.view.tasks.exists(task)

    def is_lost(self, task: str, run: int) -> bool:
        """Whether a run was declared lost."""
        return self.view.tasks.outcome(task, run) == LOST

    def limits(self) -> LimitFold:
        """Return the limits and permits in force."""
        return self.view.limits

    def is_heard(self) -> bool:
        """Whether others know that this worker lives."""
        return self.heartbeats.heard(self.clock.boottime())

    def log_us(self, now: float) -> int:
        """Return the log's time at this moment."""
        return self.view.log_us(now)
