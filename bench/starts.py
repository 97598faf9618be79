"""What a script pays for tasktape at its start and its end."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from .site import Site

TIMES = 9

STAGES = """
import json, sys, time
began = time.perf_counter()
import tasktape
package = time.perf_counter()
from tasktape import Task
imported = time.perf_counter()
Task.init(project_name="bench", task_name="stages", reuse_last_task_id=len(sys.argv) > 1)
ready = time.perf_counter()
print(json.dumps([package - began, imported - package, ready - imported]))
"""
SCRIPT = """
from tasktape import Task
Task.init(project_name="bench", task_name="script").get_logger().report_scalar("loss", "train", 0.5, 0)
"""


class Stages(NamedTuple):
    """Medians in ms."""

    package: float
    task: float
    init: float


def stages(site: Site, *, reuses: bool) -> Stages:
    """Start scripts one after the other, bytecode cached; each makes a new task, or takes the last one's place."""
    runs = _after_first(lambda: site.run(STAGES, *["reuse"] * reuses))
    return Stages(*(statistics.median(column) * 1000 for column in zip(*runs, strict=True)))


class Spent(NamedTuple):
    """What a whole process takes, medians in ms."""

    wall: float
    processor: float


def scripted(site: Site) -> Spent:
    """Run a script of `Task.init` and one scalar, and an empty one, in turn; return what the first takes more."""
    runs = _after_first(lambda: [a - b for a, b in zip(_spent(site, SCRIPT), _spent(site, "pass"), strict=True)])
    return Spent(*(statistics.median(column) for column in zip(*runs, strict=True)))


def _spent(site: Site, code: str) -> Spent:
    began = time.perf_counter()
    process = site.start(sys.executable, "-c", code)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.stdout is not None:
        process.stdout.close()
    return Spent((time.perf_counter() - began) * 1000, (usage.ru_utime + usage.ru_stime) * 1000)


def _after_first(run: Callable[[], list[float]]) -> list[list[float]]:
    """Results of several runs; the first one, which warms caches, is left out."""
    return [run() for _ in range(TIMES + 1)][1:]
