"""An agent's mind: everything it decides, in one thread, from what it has read and been told.

It does no I/O: `Ports` is its only way to act, so that a simulation can run it against a log and clocks of its own.
What happens outside is reported through methods; after each, `step` does all that can be done now and returns after how
many seconds it wants to be called again if nothing happens before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from random import Random
from typing import Final, Protocol

from ..events.base import Meta, Stamper, uuid7
from ..events.errors import NotAllowedError, TasktapeError
from ..events.hardware import NOTHING, Hardware
from ..events.log.port import Positions, TopicPartition
from ..events.queue_events import QueueCreated, queue_of_topic, queue_topic
from ..events.worker_events import WorkerHeartbeat, WorkerStarted, WorkerStopped
from ..projections.queue_fold import QueueFold
from .appends import Appends, Message, Tombstone
from .claiming import Claiming
from .clock import Clock
from .custody import Custody
from .devices import Devices
from .follow import Batch
from .heartbeat import Heartbeats
from .inventory import Inventory
from .orphans import Orphans
from .outlook import Outlook
from .permits import Permits
from .run_control import Trouble
from .runs import Machine, Runs
from .turns import Turns
from .view import View
from .watcher import WORKERS_READ, Archive, Watcher

LOGGER = logging.getLogger(__name__)
MAIN: Final = "agent"
ORPHANS: Final = "orphans"
START: Final = "start"
PERMITS_READ: Final = "permits"
CASE_READ: Final = "case"
FAREWELL_SECONDS: Final = 15.0


class Ports(Archive, Machine, Protocol):
    """All that an agent does. Nothing here waits for the log."""

    def append(self, message: Message) -> None:
        """Append once, in the background; `on_delivered` tells what became of it."""

    def owned(self, queue: str) -> frozenset[int]:
        """Return the partitions of a served queue's topic that this worker owns: where it commits positions."""

    def commit(self, queue: str, positions: Positions) -> None:
        """Commit positions of a served queue's group in the background."""

    def adopt(self, queue: str) -> None:
        """Read a queue's topic from its beginning."""

    def load(self) -> dict[str, float]:
        """Return how busy the machine is."""


@dataclass(frozen=True)
class Plan:
    """What an agent is to be: `slots` is how many runs it holds at once; times are in seconds.

    `fair` serves the queues in turn. `gpus` are shared out among the runs, `gpus_per_task` to each at least, and so is
    `hardware` among those that ask for some.
    `instance` is the machine that a scaler launched for it, `max_idle` for how long it stays without anything to do.
    `phase` is a moment of the machine's uptime at which an idle one wakes up, as it does each so many intervals later.
    """

    worker: str
    host: str
    pid: int
    queues: tuple[str, ...]
    slots: int
    lease: float
    interval: float
    version: str = ""
    machine: dict[str, str] = field(default_factory=dict)
    fair: bool = False
    gpus: tuple[str, ...] | None = None
    gpus_per_task: int = 1
    hardware: Hardware = NOTHING
    instance: str = ""
    max_idle: float = inf
    phase: float = 0.0


class Core:
    """One agent. Single-threaded. `stamper` makes stamps, each with a session of its own."""

    def __init__(self, plan: Plan, ports: Ports, clock: Clock, stamper: Callable[[], Stamper], random: Random) -> None:
        self.plan = plan
        self._ports = ports
        self._clock = clock
        self._stamp = stamper()
        self.appends = Appends()
        self.view = View(plan.queues, plan.lease, self.appends)
        self.heartbeats = Heartbeats(plan.interval, plan.phase)
        self._inventory = _inventory(plan)
        self._outlook = Outlook(plan.worker, plan.queues, self.view, self.appends, self.heartbeats, clock)
        self.claiming = Claiming(
            plan.worker,
            stamper,
            random,
            self._outlook,
            plan.lease,
            plan.slots,
            plan.machine,
            plan.fair,
            self._inventory,
        )
        once = _each_time_anew(stamper)
        devices = Devices(plan.gpus, plan.gpus_per_task)
        self.runs = Runs(
            self.claiming, self.view, self.appends, ports, self._lease_holds, plan.interval / 2, devices=devices
        )
        self.turns = Turns(plan.worker, plan.queues, self.view.peers)
        self.watcher = Watcher(self.turns, once, self.appends, self.view, ports, plan.lease)
        self._orphans = Orphans(self.turns, once, self.appends, self.view, ports.adopt)
        self._permits = Permits(
            self.turns,
            plan.interval,
            once,
            self.appends,
            self.view.limits,
            partial(ports.read_workers_to_end, PERMITS_READ),
        )
        self._custodies = {queue: Custody(once, self.appends, partial(self._wait, queue)) for queue in plan.queues}
        self._committed: dict[TopicPartition, int] = {}
        self._load: tuple[float, dict[str, float]] = (-inf, {})
        self._stopped: WorkerStopped | None = None
        self._buried = False
        self._gone_at = inf
        self._busy_at = clock.monotonic()
        self.ready = False
        self.gone = False
        self.appends.owe(self._started(), "delivered")

    def begin(self, positions: Positions) -> None:
        """Learn where the reading of the served queues begins: what lies before concerns nobody any more."""
        self._committed |= positions
        for source, offset in positions.items():
            self.view.queues[queue_of_topic(source.topic)].fold.passed(source.partition, offset)

    def on_batch(self, batch: Batch) -> None:
        """Records were read, or a place in them was passed."""
        now = self._clock.monotonic()
        if batch.name in {MAIN, ORPHANS}:
            for reading in batch.readings:
                self.view.apply(reading, now)
        else:
            self.watcher.read(batch.name, batch.readings)
        for mark in batch.marks:
            self._passed(mark, batch.name, now)

    def on_delivered(self, key: str, error: TasktapeError | None) -> None:
        """The log acknowledged a message, or its fate is in doubt."""
        self._check_lease()
        if error is None:
            self.appends.delivered(key)
            self.heartbeats.delivered(key)
            return
        LOGGER.warning("an append is in doubt: %s", error, extra={"action": "append_failed", "event": key})
        self.appends.failed(key, self._clock.monotonic())
        self.heartbeats.failed(key, self._clock.boottime())

    def on_prepared(self, attempt: str, trouble: Trouble | None) -> None:
        """A run's environment and code are there, or can't be had."""
        self.runs.prepared(attempt, trouble)

    def on_exited(self, attempt: str, code: int, circumstance: str = "") -> None:
        """A run's program has ended; `circumstance` is what else is known of its end."""
        self.runs.exited(attempt, code, circumstance)

    def on_finished(self, attempt: str) -> None:
        """All of a run has been said and cleaned up."""
        self.runs.finished(attempt)

    def on_case_lost(self, worker: str) -> None:
        """The records of a case can't be read."""
        self.watcher.abandon(worker)

    def on_denied(self, error: NotAllowedError) -> None:
        """The access rules keep this worker from a queue that it does not serve: others look after such."""
        if not self.turns.restricted:
            LOGGER.warning("this agent looks after its own queues alone: %s", error, extra={"action": "restricted"})
        self.turns.restricted = True

    def leave(self, reason: str) -> None:
        """Take nothing new, hand back what has not started, finish what runs, then go."""
        LOGGER.info("told to leave: %s", reason, extra={"action": "leave", "reason": reason})
        self.claiming.stopping = True
        self.runs.leaving = reason

    def leave_now(self, reason: str) -> None:
        """End what runs, hand it back, then go, within moments even where the log does not answer."""
        self.leave(reason)
        self.runs.stop_all()
        self._go_within(FAREWELL_SECONDS)

    def step(self) -> float:
        """Do all that can be done; return after how many seconds to call again at the latest."""
        self._check_lease()
        now = self._clock.monotonic()
        self._heed_drain()
        self._heed_idleness(now)
        self.runs.step(now)
        if self.ready:
            self._claim(now)
            self._do_duties(now)
        self._take_leave()
        self._beat(now)
        for message in self.appends.due(now):
            self._ports.append(message)
        return self._patience(now)

    def _claim(self, now: float) -> None:
        commands = self.claiming.step(now)
        for command in commands:
            self.runs.obey(command)
        if commands:
            self.runs.step(now)

    def _heed_drain(self) -> None:
        reason = self.view.drains.pop(self.plan.worker, None)
        if reason is not None and not self.runs.leaving:
            self.leave(reason or "drained")

    def _heed_idleness(self, now: float) -> None:
        if self.claiming.pursuits or not self.ready:
            self._busy_at = now
        elif now - self._busy_at >= self.plan.max_idle and not self.runs.leaving:
            self.leave(f"nothing to do for {self.plan.max_idle / 60:g} min")

    def _do_duties(self, now: float) -> None:
        """What this worker owes others where it is its turn: to its queues, to workers, to queues nobody serves."""
        for queue, custody in self._custodies.items():
            known = self.view.queues[queue]
            custody.step(known.fold, known.request, now)
            self._commit(queue, known.fold, self._ports.owned(queue))
        self.watcher.step(now)
        self._orphans.step(now)
        self._permits.step(now)

    def _wait(self, queue: str, duty: str, now: float) -> float:
        return self.plan.interval * self.turns.of(duty, now, [queue])

    def _commit(self, queue: str, fold: QueueFold, owned: frozenset[int]) -> None:
        topic = queue_topic(queue)
        positions = {TopicPartition(topic, number): fold.commit_position(number) for number in owned}
        news = {source: offset for source, offset in positions.items() if offset > self._committed.get(source, 0)}
        if news:
            self._committed |= news
            self._ports.commit(queue, news)

    def _beat(self, now: float) -> None:
        """Send a heartbeat where one is due. Its sending is dated before it is on its way."""
        held = [pursuit for pursuit in self.claiming.pursuits.values() if pursuit.held]
        named = frozenset(pursuit.attempt for pursuit in held)
        moment = self._clock.boottime()
        if self._stopped is not None or not self.heartbeats.wanted(named, moment):
            return
        event = WorkerHeartbeat(
            meta=self._stamp(),
            worker=self.plan.worker,
            queues=list(self.plan.queues),
            runs=[pursuit.as_held_run() for pursuit in held],
            load=self._current_load(now),
            interval=self.heartbeats.interval_with(named),
            spare=self.claiming.spare(),
            restricted=self.turns.restricted,
        )
        self.heartbeats.sent(event.meta.event_id, named, moment)
        self._ports.append(event)

    def _current_load(self, now: float) -> dict[str, float]:
        if now - self._load[0] >= self.plan.interval:
            self._load = (now, self._ports.load())
        return self._load[1]

    def _take_leave(self) -> None:
        """Once nothing is held or owed: say so, remove the worker's record, be gone."""
        if not self.runs.leaving:
            return
        if self._clock.monotonic() >= self._gone_at:
            LOGGER.warning("leaving without a farewell: the log does not answer", extra={"action": "leave_in_silence"})
            self.gone = True
        elif not self.claiming.pursuits and not self.runs.controls:
            self._go_within(FAREWELL_SECONDS)
            self._say_farewell()

    def _say_farewell(self) -> None:
        if len(self.appends):
            return
        worker = self.plan.worker
        if self._stopped is None:
            self._stopped = WorkerStopped(meta=self._stamp(), worker=worker, reason=self.runs.leaving)
            self.appends.owe(self._stopped, "delivered")
        elif not self._buried:
            meta, self._buried = self._stopped.meta, True
            self.appends.owe(Tombstone(uuid7(), worker, meta.session, meta.seq), "delivered")
        else:
            self.gone = True

    def _go_within(self, seconds: float) -> None:
        """Wait for the log no longer than that; what it has not heard, watchers and the next process see to."""
        self._gone_at = min(self._gone_at, self._clock.monotonic() + seconds)

    def _patience(self, now: float) -> float:
        """Seconds until something is due."""
        moments = [self.appends.next_due(), self.claiming.next_due(), self._orphans.next_due(), self._gone_at]
        moments.append(self.runs.next_due())
        moments.append(self._permits.next_due())
        moments += [custody.next_due() for custody in self._custodies.values()]
        if self.ready:
            moments.append(self.watcher.next_due(now))
        moment = self._clock.boottime()
        beats = [] if self._stopped else [self.heartbeats.next_due(), self.heartbeats.lapses_at()]
        waits = [due - now for due in moments] + [due - moment for due in beats if due > moment]
        return max(0.0, min(waits, default=inf))

    def _check_lease(self) -> None:
        """Once the lease has run out nothing held may begin, even if later heartbeats are acknowledged again."""
        if self.heartbeats.lapsed(self._clock.boottime()) and self.claiming.pursuits:
            self.claiming.fence()

    def _lease_holds(self) -> bool:
        return not self.heartbeats.lapsed(self._clock.boottime())

    def _passed(self, mark: str, name: str, now: float) -> None:
        if mark == START:
            self.ready = True
            self._create_missing_queues()
            served = ", ".join(self.plan.queues)
            LOGGER.info(
                "%s serves %s", self.plan.worker, served, extra={"action": "ready", "queues": list(self.plan.queues)}
            )
        elif mark == WORKERS_READ:
            self.watcher.confirm(now)
        elif mark == PERMITS_READ:
            self._permits.confirm()
        else:
            self.watcher.caught_up(name)

    def _create_missing_queues(self) -> None:
        for queue in self.plan.queues:
            if queue not in self.view.existing:
                LOGGER.warning("queue %r is new: created", queue, extra={"action": "create_queue", "queue": queue})
                self.appends.owe(QueueCreated(meta=self._stamp(), queue=queue), "delivered")

    def _started(self) -> WorkerStarted:
        plan = self.plan
        return WorkerStarted(
            meta=self._stamp(),
            worker=plan.worker,
            host=plan.host,
            pid=plan.pid,
            queues=list(plan.queues),
            slots=plan.slots,
            version=plan.version,
            instance=plan.instance,
            hardware=self._inventory.total,
        )


def _inventory(plan: Plan) -> Inventory:
    """Of GPUs that are shared out there are as many as have names."""
    if plan.gpus is None:
        return Inventory(plan.hardware)
    total = plan.hardware.model_copy(update={"gpus": len(plan.gpus)})
    return Inventory(total, plan.gpus_per_task if plan.gpus else 0)


def _each_time_anew(stamper: Callable[[], Stamper]) -> Callable[[], Meta]:
    """A stamp for events that are appended side by side, in any order: a session for each."""

    def stamp() -> Meta:
        return stamper()()

    return stamp
