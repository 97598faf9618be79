"""What a scaler knows from the log: folds of its queues, limits, agents and machines, fed record by record."""

from __future__ import annotations

from collections.abc import Iterable

from ..agent.appends import Appends, last_known
from ..agent.follow import Reading
from ..agent.view import QueueView
from ..events.base import Event
from ..events.instance_events import InstanceEvent, ScalerEvent
from ..events.limit_events import LimitSet, PermitEvent
from ..events.log.port import LogRecord
from ..events.queue_events import QUEUE_TOPIC_PREFIX, EntryEvent, QueueEvent, queue_of_topic
from ..events.task_events import EntryLeft
from ..events.worker_events import WorkerEvent
from ..projections.instance_fold import InstanceFold, ScalerFold
from ..projections.limit_fold import LimitFold
from ..projections.queue_fold import CLAIM_LEASE
from .agents import Agents


class Seen:
    """All that one scaler has read. Not thread-safe."""

    def __init__(self, scaler: str, queues: Iterable[str], appends: Appends, lease: float = CLAIM_LEASE) -> None:
        self._name = scaler
        self._appends = appends
        self.lease_us = round(lease * 1e6)
        self.queues = {queue: QueueView(queue, lease) for queue in queues}
        self.limits = LimitFold()
        self.agents = Agents()
        self.instances = InstanceFold()
        self._log_us = 0
        self._log_read_at = 0.0

    @property
    def scaler(self) -> ScalerFold:
        """This scaler's own part of the instances' fold."""
        return self.instances.scalers.setdefault(self._name, ScalerFold())

    def log_us(self, now: float) -> int:
        """The log's time at this moment, at the latest: that of the youngest record read, and what has passed since."""
        return self._log_us + round((now - self._log_read_at) * 1e6)

    def apply(self, reading: Reading, now: float) -> None:
        """Take note of a record, read at this moment."""
        record, event = reading
        if record.timestamp > self._log_us:
            self._log_us, self._log_read_at = record.timestamp, now
        if record.topic.startswith(QUEUE_TOPIC_PREFIX):
            self._apply_to_queue(record, event, now)
        elif record.topic == WorkerEvent.topic and record.value is None:
            self.agents.bury(record.key or "", last_known(record.headers))
        elif event is not None:
            self._apply(event, record, now)

    def _apply(self, event: Event, record: LogRecord, now: float) -> None:
        match event:
            case InstanceEvent() | ScalerEvent():
                self._appends.read_back(event.meta.event_id, self.instances.apply(event))
                self._appends.take_verdict(event.meta.event_id)
            case WorkerEvent():
                self.agents.apply(event, record.partition, record.timestamp, now)
            case QueueEvent() if event.queue in self.queues:
                self.queues[event.queue].fold.apply_queue(event)
            case LimitSet() | PermitEvent():
                self.limits.apply(event, record.timestamp)
            case EntryLeft():
                for queue in self.queues.values():
                    queue.note_left(event.entry)

    def _apply_to_queue(self, record: LogRecord, event: Event | None, now: float) -> None:
        queue = self.queues[queue_of_topic(record.topic)]
        if isinstance(event, EntryEvent):
            queue.apply(event, record, now)
        else:
            queue.fold.passed(record.partition, record.offset + 1)
