"""Simulates seeds: `python -m tasktape.tests.support.simulate --seeds 10000`, or `--seed N` to see one again.

Each seed is one story of agents, faults and a user; it either ends well or names what went wrong, always the same way.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing import get_context
from typing import Final, NamedTuple

from tasktape.agent.view import QueueView
from tasktape.events.hardware import NOTHING, Hardware
from tasktape.events.queue_events import EntryEvent, entry_id, queue_topic

from .simulated_agent import LEASE, Shape
from .simulation import QUEUES, World, all_ended, check_starts, gave_up, started_runs

REPLAY: Final = "make simulate SEED={seed}"


class Report(NamedTuple):
    """What became of one seed."""

    seed: int
    story: str
    happened: Counter[str]
    trouble: str = ""


def all_goes_well(seed: int) -> World:
    """Every entry is run once."""
    world = World(seed, agents=3, faults=False)
    tasks = [f"task{number}" for number in range(4)]
    for task in tasks:
        world.create(task)
        world.enqueue(task, world.random.choice(QUEUES))
    assert world.run_until(lambda: all_ended(world, tasks), seconds=200)
    check_starts(world)
    assert started_runs(world) == Counter({(task, 1): 1 for task in tasks})
    return world


def whatever_fails(seed: int) -> World:
    """No run starts twice and none is forgotten, enqueued once or in two queues, on agents with one slot or two."""
    world = World(seed, agents=3, faults=True, shape=Shape(1 + seed % 2, fair=seed % 3 == 0))
    tasks = [f"task{number}" for number in range(3)]
    for task in tasks:
        world.create(task)
        world.enqueue(task, "first")
        if world.random.random() < 0.3:
            world.enqueue(task, "second")
    world.run_until(lambda: False, seconds=60, chaos=True)
    assert world.run_until(lambda: all_ended(world, tasks) or gave_up(world), seconds=600), world.happened
    check_starts(world)
    return world


def dequeued_and_moved(seed: int) -> World:
    """What was dequeued never starts, and what was moved starts once."""
    world = World(seed, agents=2, faults=True)
    for task in ("stays", "goes", "moves"):
        world.create(task)
        world.enqueue(task, "first")
    world.run_until(lambda: False, seconds=world.random.choice([0.0, 0.5, 2.0, 15.0]), chaos=True)
    world.dequeue("goes", "first", note=world.random.random() < 0.5)
    world.move("moves", "first", "second")
    world.run_until(lambda: False, seconds=20, chaos=True)
    tasks = ["stays", "moves"]
    assert world.run_until(lambda: all_ended(world, tasks) or gave_up(world), seconds=600), world.happened
    check_starts(world)
    if was_dequeued(world, "goes"):
        assert ("goes", 1) not in started_runs(world)
    return world


def was_dequeued(world: World, task: str) -> bool:
    """Whether the queue's log says so: it was not taken before."""
    view = QueueView("first", LEASE)
    for source in world.log.start_positions([queue_topic("first")]):
        for record, event in world.readings[source]:
            assert isinstance(event, EntryEvent)
            view.apply(event, record, 0.0)
    found = view.fold.entry(entry_id("first", task, 1))
    return found is not None and found.state == "dequeued"


def below_limits(seed: int) -> World:
    """Never more programs of a queue and of a tag than their limits, and all tasks get their turn (`World.launch`)."""
    world = World(seed, agents=0, faults=True, shape=Shape(slots=1 + seed % 3))
    world.limit("queue:first", 2)
    world.limit("tag:rare", 1)
    for _ in range(3):
        world.add_agent()
    tasks = [f"task{number}" for number in range(5)]
    for number, task in enumerate(tasks):
        tags = ["rare"] if number % 2 else []
        world.create(task, *tags)
        world.enqueue(task, "second" if number == 1 else "first", tags=tags)
    world.run_until(lambda: False, seconds=60, chaos=True)
    assert world.run_until(lambda: all_ended(world, tasks) or gave_up(world), seconds=900), world.happened
    check_starts(world)
    permits = world.agents[-1].core.view.limits
    assert world.run_until(lambda: not permits.permits or gave_up(world), seconds=200), permits
    return world


def within_hardware(seed: int) -> World:
    """No agent runs more at once than it has hardware for (`Agent.launch`), and all tasks get their turn."""
    shape = Shape(3, gpus=("0", "1"), hardware=Hardware(gpus=2, memory_gb=8.0))
    world = World(seed, agents=2, faults=True, shape=shape)
    needs = (NOTHING, Hardware(gpus=2), Hardware(memory_gb=5.0), Hardware(gpus=1, memory_gb=8.0), Hardware(gpus=1))
    tasks = [f"task{number}" for number, _ in enumerate(needs)]
    for task, needed in zip(tasks, needs, strict=True):
        world.create(task)
        world.enqueue(task, world.random.choice(QUEUES), needs=needed)
    world.run_until(lambda: False, seconds=60, chaos=True)
    assert world.run_until(lambda: all_ended(world, tasks) or gave_up(world), seconds=900), world.happened
    check_starts(world)
    return world


STORIES: Final = (whatever_fails, below_limits, dequeued_and_moved, within_hardware, all_goes_well)


def story_of(seed: int) -> Callable[[int], World]:
    """Which story a seed tells."""
    return STORIES[seed % len(STORIES)]


def simulated(seed: int) -> Report:
    """Simulate a seed."""
    logging.disable()
    story = story_of(seed)
    try:
        return Report(seed, story.__name__, story(seed).happened)
    except Exception as error:  # noqa: BLE001  whatever goes wrong, the seed is what is wanted
        return Report(seed, story.__name__, Counter(), f"{type(error).__name__}: {error}")


def many(first: int, count: int, processes: int) -> int:
    """Simulate seeds one after the other in some processes; print what failed and how fast it went."""
    happened: Counter[str] = Counter()
    failed = 0
    began = time.monotonic()
    with get_context("spawn").Pool(processes) as pool:
        for report in pool.imap_unordered(simulated, range(first, first + count), chunksize=20):
            happened.update(report.happened)
            if report.trouble:
                failed += 1
                say(f"seed {report.seed} ({report.story}): {report.trouble}\n  {REPLAY.format(seed=report.seed)}")
    seconds = time.monotonic() - began
    say(f"{count} seeds from {first}, {failed} failed; {seconds:.0f} s, {count / seconds:.0f} seeds/s.")
    say(", ".join(f"{what}: {times:,}" for what, times in sorted(happened.items())))
    return int(failed > 0)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> int:
    """Simulate what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=secrets.randbelow(10**9), help="the first one; by default any")
    parser.add_argument("--seed", type=int, help="this one alone, with its traceback")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    wanted = parser.parse_args()
    if wanted.seed is None:
        return many(wanted.first, wanted.seeds, wanted.processes)
    world = story_of(wanted.seed)(wanted.seed)
    say(f"seed {wanted.seed} ({story_of(wanted.seed).__name__}) went well: {dict(world.happened)}, {world.launched}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
