"""What a scaler would do now: the log is read to its end as a scaler reads it, and the policy asked once.

Nothing is said on the log and no provider is asked: what only its list of machines tells is missing here.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..agent.appends import Appends
from ..agent.follow import Reading, decode
from ..agent.heartbeat import LOST_AFTER_INTERVALS
from ..events.base import now_us
from ..events.log.past import past
from ..events.worker_events import WorkerEvent, WorkerHeartbeat
from ..projections.instance_fold import InstanceState
from .observing import observe
from .policy import Plan, decide
from .seen import Seen, topics_of
from .stuck import Stuck

if TYPE_CHECKING:
    from ..events.settings import Settings
    from .settings import ScalerSettings


@dataclass(frozen=True)
class Planned:
    """What would be done now and why, and the machines that there are."""

    plan: Plan
    machines: list[InstanceState]


def plan_now(settings: Settings, scaler: ScalerSettings) -> Planned:
    """Plan as if this were a scaler that leads and has just read the log."""
    seen = Seen(scaler.name, scaler.queues, Appends(), settings.claim_lease, scaler.budget.period_hours)
    told = topics_of(scaler.queues)
    start, wall_us = time.monotonic(), now_us()
    codec = settings.codec()
    with settings.open_log() as log:
        there = log.topics()
        moment, newest = start, 0
        ends = log.end_positions(topic for topic in told if topic in there)
        readings = (decode(record, codec) for record in past(log, ends))
        for reading in _living(readings, wall_us):
            newest = max(newest, reading.record.timestamp)
            moment = start - max(0, wall_us - newest) / 1e6
            seen.apply(reading, moment)
    plan = decide(observe(seen, scaler, Stuck(scaler.stuck_after_s), set(), max(start, moment)), scaler)
    return Planned(plan, [seen.scaler.instances[one] for one in seen.scaler.live])


@dataclass(slots=True)
class _Signs:
    """What a worker said that matters: its start and end, when it began and ceased to be busy, and its latest word."""

    readings: list[Reading] = field(default_factory=list)
    latest: Reading | None = None
    heard_us: int = 0
    interval: float = 5.0
    busy: bool = False

    def add(self, reading: Reading) -> None:
        event = reading.event
        self.heard_us = reading.record.timestamp
        if isinstance(event, WorkerHeartbeat):
            self.interval = event.interval
            if bool(event.runs) == self.busy:
                self.latest = reading
                return
            self.busy = not self.busy
        self.readings = [*self.told(), reading]
        self.latest = None

    def told(self) -> list[Reading]:
        return self.readings if self.latest is None else [*self.readings, self.latest]

    def silent(self, us: int) -> bool:
        return us - self.heard_us > 1e6 * LOST_AFTER_INTERVALS * self.interval


def _living(readings: Iterable[Reading], us: int) -> Iterator[Reading]:
    """All readings, those of workers last and without the dead: a scaler takes them for such after some time."""
    workers: defaultdict[str, _Signs] = defaultdict(_Signs)
    for reading in readings:
        if reading.record.topic == WorkerEvent.topic:
            workers[reading.record.key or ""].add(reading)
        else:
            yield reading
    for signs in workers.values():
        if not signs.silent(us):
            yield from signs.told()
