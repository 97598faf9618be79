"""What a scaler costs: a million tasks simulated, and with how many machines what.

The log gets the history of machines that all work, and as many entries that wait; a scaler's mind takes over from it in
a process of its own (`scaled_core.py`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from tasktape.events.base import Event, Stamper, new_task_id
from tasktape.events.instance_events import InstanceLaunched, InstanceReady, InstanceRequested, Placement, ScalerLeads
from tasktape.events.log import Log
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import EntryEnqueued, entry_id
from tasktape.events.topics import TOPICS, queue_spec
from tasktape.events.wire import append_event
from tasktape.events.worker_events import HeldRun, WorkerHeartbeat, WorkerStarted
from tasktape.scaler.core import STEP, STEP_PER_MACHINE
from tasktape.scaler.settings import ScalerSettings
from tasktape.scaler.simulation import Hardware, Simulation
from tasktape.scaler.traces import generated

from .site import Site

FEW: Final = 1_000
MANY: Final = 10_000
RATE, HOURS, MINUTES, MOST = 6_000, 167, 12.0, 2_000
"""A million tasks in a week; some 1,200 run at once."""
_CORE: Final = Path(__file__).with_name("scaled_core.py")
_QUEUE: Final = "bench-scaled"


def pace(machines: int) -> float:
    """Seconds between decisions, at least."""
    return STEP + STEP_PER_MACHINE * machines


class Simulated(NamedTuple):
    """What a simulation took, in seconds of wall time, for how many tasks, machines and decisions."""

    seconds: float
    tasks: int
    machines: int
    decisions: int


def simulated() -> Simulated:
    """Simulate a million tasks."""
    told = {"provider": "local", "queues": {"q": [["m", MOST]]}, "resources": {"m": {"hourly_cost": 1.0}}}
    settings = ScalerSettings.model_validate(told)
    trace = generated(f"poisson({RATE}, {HOURS})", ["q"], MINUTES, seed=0)
    if trace is None:
        raise RuntimeError("the trace could not be generated")
    began = time.perf_counter()
    found = Simulation(settings, trace, Hardware()).run()
    return Simulated(time.perf_counter() - began, len(trace), found.machines_max, found.decisions)


def scaled(site: Site, log: Log, machines: int) -> dict[str, Any]:
    """Have a scaler take over with so many machines at work, and as many entries that wait."""
    queue = f"{_QUEUE}-{machines}"
    log.create_topics([*TOPICS, queue_spec(queue)])
    codec = site.settings.codec()
    for event in _history(queue, machines):
        append_event(log, event, codec=codec)
    log.flush()
    with site.start(sys.executable, str(_CORE), queue, str(machines)) as process:
        output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the scaler of {machines} machines failed")
    return dict(json.loads(output))


def _history(queue: str, machines: int) -> Iterator[Event]:
    stamp = Stamper("bench")
    yield ScalerLeads(meta=stamp(), scaler="default")
    for number in range(machines):
        yield from _machine(stamp, queue, new_task_id(), f"{queue}-{number}")
        task = new_task_id()
        spec = TaskSpec(project="bench", name="waits")
        yield EntryEnqueued(meta=stamp(), task=task, queue=queue, entry=entry_id(queue, task, 1), run=1, spec=spec)


def _machine(stamp: Stamper, queue: str, instance: str, worker: str) -> Iterator[Event]:
    about = {"scaler": "default", "instance": instance}
    yield InstanceRequested.model_validate(
        {
            "meta": stamp(),
            **about,
            "provider": "local",
            "resource": "m",
            "queues": [queue],
            "placement": Placement(hourly_cost=1.0),
        }
    )
    yield InstanceLaunched.model_validate({"meta": stamp(), **about, "machine": f"i-{instance}"})
    yield WorkerStarted(meta=stamp(), worker=worker, host="h", pid=1, queues=[queue], slots=1, instance=instance)
    yield InstanceReady.model_validate({"meta": stamp(), **about, "worker": worker})
    held = HeldRun(task="t", run=1, queue=queue, entry="e", partition=0, enqueued_offset=0, claim_offset=0)
    yield WorkerHeartbeat(meta=stamp(), worker=worker, queues=[queue], runs=[held], interval=600.0)
