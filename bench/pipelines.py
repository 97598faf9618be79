"""What a pipeline's controller costs: steps per second, and the time between one step's end and the next one's start.

Steps are run by an agent that only pretends to run them; all times but the processor's are read off the log afterwards.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from tasktape.events.base import Stamper
from tasktape.events.log import Log
from tasktape.events.log.port import Positions
from tasktape.events.pipeline_events import PipelineDefined, StepFinished
from tasktape.events.queue_events import EntryEnqueued, QueueCreated, queue_topic
from tasktape.events.task_events import RunCompleted, RunStarted, TasksEvent
from tasktape.events.topics import TOPICS, queue_spec
from tasktape.events.wire import append_event

from .site import Site

SMALL: Final = 100
LARGE: Final = 500
SHAM: Final = str(Path(__file__).with_name("sham_agent.py"))
SCRIPT: Final = """
import json, resource, sys
from tasktape import Task
from tasktape.automation import PipelineController
queue, shape, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
pipeline = PipelineController(f"{shape} {count}", "bench")
base = Task.create("bench", "step", repo="https://example.com/none.git", script="step.py", commit="0" * 40)
pipeline.set_default_execution_queue(queue)
for number in range(count):
    parents = [f"s{number - 1}"] if shape == "deep" and number else None
    pipeline.add_step(f"s{number}", base_task_id=base.id, parents=parents)
before = resource.getrusage(resource.RUSAGE_SELF)
pipeline.start_locally()
after = resource.getrusage(resource.RUSAGE_SELF)
spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(json.dumps({"pipeline": pipeline.id, "processor": spent, "done": pipeline.is_successful()}))
"""


class Course(NamedTuple):
    """One run of a pipeline. Times are in ms, `processor` for each step; latencies are of steps with a parent."""

    per_second: float
    processor: float
    to_queue: list[float]
    to_start: list[float]


def course(site: Site, log: Log, shape: str, count: int) -> Course:
    """Run a pipeline of so many steps: `deep`, one after the other, or `wide`, all at once."""
    queue = f"bench-{shape}-{count}"
    log.create_topics([*TOPICS, queue_spec(queue)])
    since = log.end_positions([TasksEvent.topic, queue_topic(queue)])
    append_event(log, QueueCreated(meta=Stamper("bench")(), queue=queue), codec=site.settings.codec())
    log.flush()
    with _agent(site, queue):
        said = site.run(SCRIPT, queue, shape, count)
    if not said["done"]:
        raise RuntimeError(f"the {shape} pipeline of {count} steps did not end well")
    return _read(site, log, since, said, count)


@contextmanager
def _agent(site: Site, queue: str) -> Iterator[None]:
    with site.start(sys.executable, SHAM, queue, stderr=subprocess.DEVNULL) as agent:
        try:
            yield
        finally:
            agent.terminate()


def _read(site: Site, log: Log, since: Positions, said: Mapping[str, Any], count: int) -> Course:
    """Put the course together from what the log says of it."""
    at: dict[tuple[type, str], int] = {}
    children: dict[str, str] = {}
    for time_us, event in site.said(log, since):
        match event:
            case PipelineDefined():
                at[PipelineDefined, ""] = time_us
            case StepFinished():
                at[StepFinished, ""] = time_us
                children[event.step] = event.child
            case EntryEnqueued() | RunStarted() | RunCompleted():
                at[type(event), event.task] = time_us
    pairs = [(children[f"s{number - 1}"], children[f"s{number}"]) for number in range(1, count)]
    return Course(
        count / (at[StepFinished, ""] - at[PipelineDefined, ""]) * 1e6,
        said["processor"] / count * 1e3,
        [(at[EntryEnqueued, after] - at[RunCompleted, before]) / 1e3 for before, after in pairs],
        [(at[RunStarted, after] - at[RunCompleted, before]) / 1e3 for before, after in pairs],
    )


def percentiles(values: list[float]) -> str:
    """Median and 99th percentile in ms."""
    return f"{statistics.median(values):.0f} ms, {statistics.quantiles(values, n=100)[98]:.0f} ms"
