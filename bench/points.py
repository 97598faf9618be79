"""The way of scalars: what a call costs, how fast points get to a query, how large they are, what SIGKILL takes."""

from __future__ import annotations

import json
import signal
import statistics
import sys
import time
from typing import NamedTuple

from tasktape.projections import open_queries
from tasktape.projections.holding import database_path

from .site import Site

KILLED_AFTER = (50, 150, 250, 1050, 100_000)
TIMED = 100_000
ASK_SECONDS = 0.05
PATIENCE_SECONDS = 120.0

CALLS = """
import array, json, random, sys, time
from tasktape import Task
task = Task.init(project_name="bench", task_name="calls", auto_resource_monitoring=False)
report, clock, n = task.get_logger().report_scalar, time.perf_counter_ns, int(sys.argv[1])
values = [random.random() for _ in range(n)]
sample, empty = (array.array("q", bytes(8 * n)) for _ in range(2))
report("loss", "train", 0.0, 0)
for step in range(n):
    before = clock()
    report("loss", "train", values[step], step)
    sample[step] = clock() - before
for step in range(n):
    before = clock()
    empty[step] = clock() - before
idle, ordered = sorted(empty)[n // 2], sorted(sample)
print(json.dumps([(ordered[n * part // 100] - idle) / 1e3 for part in (50, 99)]))
"""
STREAM = """
import json, random, sys, time
from tasktape import Task
task = Task.init(project_name="bench", task_name="points", reuse_last_task_id=False, auto_resource_monitoring=False)
report, n = task.get_logger().report_scalar, int(sys.argv[1])
values = [random.random() for _ in range(n)]
began = time.monotonic()
for step in range(n):
    report("loss", "train", values[step], step)
print(json.dumps([task.id, began, time.monotonic()]), flush=True)
sys.stdin.read()
"""
SIZES = """
import json
from tasktape.events.scalars import read_columns
from tasktape.events.settings import load_settings
settings, size, points = load_settings(), 0, 0
with settings.open_log() as log, log.read(log.start_positions(["tasktape.metrics"])) as reader:
    while records := reader.poll(2.0):
        size += sum(len(record.value) + len(record.key) for record in records)
        points += sum(len(read_columns(record.value, settings.codec())) for record in records)
print(json.dumps([size, points]))
"""
KILLED = """
import os, signal, sys
from tasktape import Task
task = Task.init(project_name="bench", task_name="killed", reuse_last_task_id=False, auto_resource_monitoring=False)
report = task.get_logger().report_scalar
print(task.id, flush=True)
for step in range(int(sys.argv[1])):
    report("loss", "train", step, step)
os.killpg(0, signal.SIGKILL)
"""


class Calls(NamedTuple):
    """What one call of `report_scalar` takes, in µs."""

    median: float
    p99: float


def timed(site: Site) -> Calls:
    """Time each of many calls in one process, less what reading the clock takes."""
    return Calls(*site.run(CALLS, TIMED))


class Streamed(NamedTuple):
    """Points per second: of the calls alone, and until a query has answered with all of them."""

    reported: float
    queryable: float


def streamed(site: Site, points: int, times: int = 3) -> Streamed:
    """Report points from a script that goes on running, and ask a follower that is up until it knows all of them.

    The time runs from before the first call to the answer. The follower is asked once the last call has returned, 20
    times a second, so that asking takes nothing from the two that work.
    """
    runs = [_stream(site, points) for _ in range(times)]
    return Streamed(*(points / statistics.median(column) for column in zip(*runs, strict=True)))


def _stream(site: Site, points: int) -> tuple[float, float]:
    with site.start(sys.executable, "-c", STREAM, str(points), stdin=-1) as script:
        assert script.stdout is not None
        task, began, ended = json.loads(script.stdout.readline())
        answered = _answered(site, task, points)
        script.communicate()
    return ended - began, answered - began


def _answered(site: Site, task: str, points: int) -> float:
    """Ask until the answer is complete; return when it was (`time.monotonic` is one clock for all processes)."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with open_queries(site.settings, fresh=False) as queries:
        while time.monotonic() < deadline:
            if sum(scalar.count for scalar in queries.last_scalars(task)) >= points:
                return time.monotonic()
            time.sleep(ASK_SECONDS)
    raise RuntimeError(f"not all of {points} points could be queried within {PATIENCE_SECONDS:g} s")


class Sizes(NamedTuple):
    """Bytes per point."""

    log: float
    projection: float


def sizes(site: Site) -> Sizes:
    """Divide what the points take on the log, and the projection's file, by their number; nobody holds it meanwhile."""
    size, points = site.run(SIZES)
    return Sizes(size / points, database_path(site.settings).stat().st_size / points)


def killed(site: Site, calls: int) -> int:
    """Kill a process group right after its last call; return how many points never arrive."""
    with site.start(sys.executable, "-c", KILLED, str(calls), start_new_session=True) as process:
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    if process.returncode != -signal.SIGKILL:
        raise RuntimeError(f"the process was not killed: exit code {process.returncode}")
    site.sync()
    with open_queries(site.settings) as queries:
        return calls - sum(scalar.count for scalar in queries.last_scalars(output.strip()))
