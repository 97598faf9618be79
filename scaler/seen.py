"""What a scaler knows from the log: folds of its queues, limits, agents and machines, fed record by record.

Its clocks go on for a moment only while it reads nothing. A scaler that was stopped, or cut off from the log, does not
take agents for dead or machines for late that it has merely not heard of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from ..agent.appends import Appends, last_known
from ..agent.follow import Reading
from ..agent.view import QueueView
from ..events.base import Event, to_us
from ..events.instance_events import InstanceEvent, InstanceReady, ScalerEvent
from ..events.limit_events import LimitSet, PermitEvent
from ..events.log.port import LogRecord
from ..events.queue_events import (
    QUEUE_TOPIC_PREFIX,
    EntryEvent,
    QueueCreated,
    QueueDeleted,
    QueueEvent,
    queue_of_topic,
    queue_topic,
)
from ..events.task_events import EntryLeft, TasksEvent
from ..events.worker_events import WorkerEvent
from ..projections.instance_fold import InstanceFold, InstanceState, ScalerFold
from ..projections.limit_fold import LimitFold
from ..projections.queue_fold import CLAIM_LEASE
from .agents import Agents
from .backlog import Backlog
from .spending import Spending

DEAF_AFTER: Final = 10.0
"""Seconds without any record after which this scaler's clocks stand still; agents speak more often."""
KEPT_US: Final = 86_400_000_000
"""How long machines are remembered that are over: one that runs all the same counts as an orphan after that."""


def topics_of(queues: Iterable[str]) -> list[str]:
    """Topics that a scaler of these queues reads."""
    told = (InstanceEvent.topic, WorkerEvent.topic, QueueEvent.topic, TasksEvent.topic)
    return [*told, *map(queue_topic, queues)]


class Seen:
    """All that one scaler has read; `scaler` is its own part of the instances' fold. Not thread-safe."""

    def __init__(
        self,
        scaler: str,
        queues: Iterable[str],
        appends: Appends,
        lease: float = CLAIM_LEASE,
        period_hours: float = 24.0,
    ) -> None:
        self._name = scaler
        self._appends = appends
        self.queues = {queue: QueueView(queue, lease) for queue in queues}
        self.missing = set(self.queues)  # nobody has created them, or somebody has deleted them
        self.backlogs = {queue: Backlog(queue, lease) for queue in self.queues}
        self.limits = LimitFold()
        self.agents = Agents()
        self.instances = InstanceFold()
        self.scaler = self.instances.scalers.setdefault(scaler, ScalerFold())
        self.spending = Spending(period_hours)
        self._over: deque[tuple[int, str]] = deque()
        self._log_us = 0
        self._log_read_at = 0.0
        self._hearing = 0.0
        self._heard_at = 0.0

    def hearing(self, now: float) -> float:
        """Seconds during which this scaler could hear of agents, up to this moment."""
        return self._hearing + min(now - self._heard_at, DEAF_AFTER)

    def unheard(self, now: float) -> float:
        """Seconds since anything was read."""
        return now - self._heard_at

    def log_us(self, now: float) -> int:
        """The log's time at this moment, at the latest: that of the youngest record read, and what was heard since."""
        return self._log_us + round((self.hearing(now) - self._log_read_at) * 1e6)

    def apply(self, reading: Reading, now: float) -> None:
        """Take note of a record, read at this moment."""
        record, event = reading
        self._hearing, self._heard_at = self.hearing(now), now
        if record.timestamp > self._log_us:
            self._log_us, self._log_read_at = record.timestamp, self._hearing
        if record.topic.startswith(QUEUE_TOPIC_PREFIX):
            self._apply_to_queue(record, event, now)
        elif record.topic == WorkerEvent.topic and record.value is None:
            self.agents.bury(record.key or "", last_known(record.headers))
        elif event is not None:
            self._apply(event, record)

    def _apply(self, event: Event, record: LogRecord) -> None:
        match event:
            case InstanceEvent() | ScalerEvent() if event.scaler == self._name:
                self._apply_to_instances(event)
            case WorkerEvent():
                self.agents.apply(event, record.timestamp, self._hearing)
            case QueueEvent() if event.queue in self.queues:
                self._apply_to_queues(event)
            case LimitSet() | PermitEvent():
                self.limits.apply(event, record.timestamp)
            case EntryLeft():
                self._note_left(event.entry)

    def _apply_to_queues(self, event: QueueEvent) -> None:
        self.queues[event.queue].fold.apply_queue(event)
        if isinstance(event, QueueCreated):
            self.missing.discard(event.queue)
        elif isinstance(event, QueueDeleted):
            self.missing.add(event.queue)

    def _apply_to_instances(self, event: InstanceEvent | ScalerEvent) -> None:
        before = self.scaler.instances.get(event.key)
        verdict = self.instances.apply(event)
        if verdict.accepted and isinstance(event, InstanceEvent):
            self._note_change(before, self.scaler.instances[event.instance], event)
        self._appends.read_back(event.meta.event_id, verdict)
        self._appends.take_verdict(event.meta.event_id)

    def _note_change(self, before: InstanceState | None, after: InstanceState, event: InstanceEvent) -> None:
        if before is None or before.over:
            self.spending.begin(to_us(after.requested_at) / 1e6)
        elif after.ended_at is not None and not before.over:
            self.spending.end(to_us(after.ended_at) / 1e6)
            self.agents.forget(after.instance)
            self._over.append((self._log_us, after.instance))
            self._forget()
        if isinstance(event, InstanceReady):
            self.agents.expect(after.instance, after.worker, self._hearing)

    def _forget(self) -> None:
        """Forget what is long over: a scaler that works for years has had more machines than fit into memory."""
        while self._over[0][0] < self._log_us - KEPT_US:
            _, instance = self._over.popleft()
            state = self.scaler.instances.get(instance)
            if state is not None and state.over:
                del self.scaler.instances[instance]

    def _note_left(self, entry: str) -> None:
        for queue in self.queues.values():
            if queue.fold.entry(entry) is not None:
                queue.note_left(entry)

    def _apply_to_queue(self, record: LogRecord, event: Event | None, now: float) -> None:
        name = queue_of_topic(record.topic)
        queue = self.queues[name]
        if not isinstance(event, EntryEvent):
            queue.fold.passed(record.partition, record.offset + 1)
        elif queue.apply(event, record, now).accepted and (entry := queue.fold.entry(event.entry)) is not None:
            self.backlogs[name].note(entry, queue.request(event.entry))
