"""What the benchmarks run in processes of their own, and what they make of it."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

REPORT = """
import array, json, random, sys, time
from tasktape import Task
task = Task.init(project_name="bench", task_name="points", auto_resource_monitoring=False)
report, clock, n = task.get_logger().report_scalar, time.perf_counter_ns, int(sys.argv[1])
values = [random.random() for _ in range(n)]
for step in range(1000):
    report("warm", "up", 0.0, step)
sample = array.array("q", bytes(8 * min(n, 100_000)))
for step in range(len(sample)):
    before = clock()
    report("loss", "timed", values[step], step)
    sample[step] = clock() - before
task.flush(wait_for_uploads=True)
began, wall = clock(), time.time()
for step in range(n):
    report("loss", "train", values[step], step)
taken = clock() - began
ordered = sorted(sample)
empty = []
for _ in range(1000):
    before = clock()
    empty.append(clock() - before)
idle = sorted(empty)[500]
p50, p99 = ((ordered[len(ordered) * part // 100] - idle) / 1e3 for part in (50, 99))
print(json.dumps({"task": task.id, "p50": p50, "p99": p99, "per_second": n / taken * 1e9, "wall": wall}))
"""
FOLLOW = """
import json, sys, time
from tasktape.events.settings import load_settings
from tasktape.projections import open_queries
settings, task, wanted = load_settings(), sys.argv[1], int(sys.argv[2])
while True:
    with open_queries(settings) as queries:
        counts = {scalar.series: scalar.count for scalar in queries.last_scalars(task)}
    if counts.get(sys.argv[3], 0) >= wanted or len(sys.argv) > 4:
        break
print(json.dumps({"count": counts.get(sys.argv[3], 0), "wall": time.time()}))
"""
SIZES = """
import json
from tasktape.events.settings import load_settings
from tasktape.projections.holding import database_path
settings = load_settings()
with settings.open_log() as log, log.read(log.start_positions(["tasktape.metrics"])) as reader:
    sizes = []
    while records := reader.poll(2.0):
        sizes += [len(record.value or b"") + len(record.key or "") for record in records]
print(json.dumps([sum(sizes), database_path(settings).stat().st_size]))
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
IMPORTS = """
import json, time
began = time.perf_counter()
import tasktape
package = time.perf_counter()
from tasktape import Task
imported = time.perf_counter()
task = Task.init(project_name="bench", task_name="init", reuse_last_task_id=False)
ready = time.perf_counter()
print(json.dumps([package - began, imported - began, ready - imported]))
"""


class Site:
    """An empty home and a log, and Python processes there."""

    def __init__(self, home: Path, log: str) -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.environment = {**kept, "TASKTAPE_HOME": str(home), "TASKTAPE_LOG": log}

    def run(self, code: str, *arguments: object) -> Any:
        """Run a program; return its last line as JSON."""
        command = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout.splitlines()[-1])


class Reported(NamedTuple):
    """Times in µs, rates per second, bytes per point."""

    p50: float
    p99: float
    per_second: float
    queryable_per_second: float
    log_bytes: float
    projection_bytes: float


def reported(site: Site, points: int) -> Reported:
    """Report points from one process, and wait until a query answers with all of them.

    The time until queryable runs from the first call to the answer, ending the process and the question included.
    """
    said = site.run(REPORT, points)
    seen = site.run(FOLLOW, said["task"], points, "train")
    total = points + min(points, 100_000) + 1000
    log_bytes, projection_bytes = site.run(SIZES)
    return Reported(
        p50=said["p50"],
        p99=said["p99"],
        per_second=said["per_second"],
        queryable_per_second=points / (seen["wall"] - said["wall"]),
        log_bytes=log_bytes / total,
        projection_bytes=projection_bytes / total,
    )


def killed(site: Site, calls: int) -> int:
    """Kill a process group right after its last call; return how many points never arrive."""
    command = [sys.executable, "-c", KILLED, str(calls)]
    process = subprocess.Popen(command, env=site.environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    output, _ = process.communicate(timeout=120)
    if process.returncode != -signal.SIGKILL:
        raise RuntimeError(f"the process was not killed: exit code {process.returncode}")
    sync = str(Path(sys.executable).with_name("tasktape"))
    subprocess.run([sync, "sync"], env=site.environment, check=True, stdout=subprocess.DEVNULL)
    return calls - int(site.run(FOLLOW, output.split()[0], calls, "train", "once")["count"])


class Started(NamedTuple):
    """Medians in ms."""

    package: float
    task: float
    init: float


def started(site: Site, times: int = 9) -> Started:
    """Start processes with a warm cache of bytecode."""
    site.run(IMPORTS)
    runs = []
    for _ in range(times):
        runs.append(site.run(IMPORTS))
        time.sleep(0.1)
    return Started(*(statistics.median(column) * 1000 for column in zip(*runs, strict=True)))


def cores() -> str:
    """How many processors there are."""
    return f"{os.cpu_count()} cores"
