"""`python bench/scaled_core.py QUEUE MACHINES`: a scaler's mind takes over from a log, and is asked what that costs.

It is the real `Core` between ports that launch nothing: what it says is read back at once, and its clock goes on as the
story has it, so that nobody is silent for want of heartbeats. Prints figures as JSON.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from tasktape.agent.appends import message_id
from tasktape.agent.follow import Reading, decode
from tasktape.events.base import Event, Stamper, now_us
from tasktape.events.instance_events import InstanceRequested
from tasktape.events.log.past import past_in_batches
from tasktape.events.log.port import LogRecord
from tasktape.events.settings import load_settings
from tasktape.events.worker_events import WorkerHeartbeat
from tasktape.scaler.core import STEP, STEP_PER_MACHINE, Core
from tasktape.scaler.provider import Described, Launched, Order
from tasktape.scaler.seen import topics_of
from tasktape.scaler.settings import ScalerSettings

REACTIONS = 10


class Scaler:
    """A mind and its ports."""

    def __init__(self, queue: str, most: int) -> None:
        told = {"provider": "local", "queues": {queue: [["m", most]]}, "resources": {"m": {"hourly_cost": 1.0}}}
        self.core = Core(ScalerSettings.model_validate(told), self, partial(Stamper, "scaler"))
        self.now = 1000.0
        self.tick = STEP + STEP_PER_MACHINE * most
        self.launches = 0
        self._said: list[Event] = []
        self._orders: list[Order] = []

    def owns(self) -> bool:
        """Nobody else is there."""
        return True

    def append(self, event: Event) -> None:
        """Keep what is to be said."""
        self._said.append(event)

    def launch(self, orders: Sequence[Order]) -> None:
        """Keep what is ordered."""
        self._orders.extend(orders)

    def terminate(self, machines: Sequence[str]) -> None:
        """Nothing is to end."""
        raise RuntimeError(f"{len(machines)} machines are ended that should work")

    def describe(self) -> None:
        """List all there are."""
        states = self.core.seen.scaler.instances.values()
        found = [
            Described(one.machine, one.instance, one.resource, one.queues, one.placement, "running")
            for one in states
            if one.machine
        ]
        self.core.on_described(found, self.now)

    def read(self, log_readings: Sequence[Reading]) -> None:
        """Take in what was read."""
        self.core.on_readings(log_readings, self.now)

    def step(self) -> list[Event]:
        """Let the mind act, then take in what it said; returns that."""
        self.now += self.tick
        self.core.step(self.now)
        said, self._said = self._said, []
        orders, self._orders = self._orders, []
        self.launches += len(orders)
        for event in said:
            self.core.appends.delivered(message_id(event))
        self.read([reading(event) for event in said])
        self.core.on_launched([Launched(order.instance, f"machine-{order.instance}") for order in orders])
        return said


def reading(event: Event) -> Reading:
    """An event as it is read back, without what its bytes cost."""
    return Reading(LogRecord(event.topic_name, 0, 0, now_us(), event.key, b""), event)


def readings(queue: str) -> Iterator[list[Reading]]:
    """All there is on the log, as a scaler reads it."""
    settings = load_settings()
    codec = settings.codec()
    topics = topics_of([queue])
    with settings.open_log() as log:
        for records in past_in_batches(log, log.end_positions(topics), log.start_positions(topics)):
            yield [decode(record, codec) for record in records]


def megabytes() -> float:
    """Resident memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 2**20


def spent(do: Callable[[], object]) -> float:
    """Milliseconds of processor."""
    began = time.process_time()
    do()
    return 1e3 * (time.process_time() - began)


def beats(scaler: Scaler) -> list[Reading]:
    """Another heartbeat of each agent, which holds no run any more."""
    stamp = Stamper("bench")
    workers = [scaler.core.seen.agents.on(one) for one in scaler.core.seen.scaler.live]
    return [reading(WorkerHeartbeat(meta=stamp(), worker=worker, queues=["q"])) for worker in workers if worker]


def main(queue: str, machines: int) -> None:
    """Take over, react, and grow."""
    empty, began = megabytes(), time.perf_counter()
    scaler, larger = Scaler(queue, machines), Scaler(queue, 2 * machines)
    for batch in readings(queue):
        scaler.read(batch)
    taken_over, memory = time.perf_counter() - began, megabytes() - empty
    scaler.core.on_read_to_end()
    leading = spent(lambda: [scaler.step() for _ in range(4)])
    reactions = [spent(scaler.step) for _ in range(REACTIONS)]
    heard = beats(scaler)
    heartbeat = 1e3 * spent(lambda: scaler.read(heard)) / max(1, len(heard))
    for batch in readings(queue):
        larger.read(batch)
    larger.core.on_read_to_end()
    asked = 0

    def grow() -> None:
        nonlocal asked
        for _ in range(10):
            asked += sum(isinstance(event, InstanceRequested) for event in larger.step())

    growing = spent(grow)
    found = {
        "machines": len(scaler.core.seen.scaler.live),
        "waiting": len(scaler.core.seen.backlogs[queue]),
        "taken_over": taken_over,
        "memory": memory,
        "leading": leading,
        "reaction": statistics.median(reactions),
        "heartbeat": heartbeat,
        "asked": asked,
        "launched": larger.launches,
        "growing": growing,
        "idle_step": statistics.median([spent(lambda: larger.core.step(larger.now)) for _ in range(REACTIONS)]),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
