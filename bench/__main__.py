"""`python -m bench [--write] [--points N]`: the figures of docs/benchmarks.md, on the embedded log and on Apache Kafka.

Each figure comes from processes of their own with an empty home. A Kafka is started where Java is to be had.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tasktape.events.log import Log, open_log
from tasktape.tests.kafka.broker import VERSION, Broker, KafkaMissingError

from . import dispatch, pipelines, points, scaling, searches, starts
from .site import Site, cores

AGENTS = (1, 4, 8)
MANY_AGENTS = (64,)
DOC = Path(__file__).parents[1] / "docs" / "benchmarks.md"
PAGE = """# Benchmarks

`make bench` prints these tables; `.venv/bin/python -m bench --write` also writes this page, in about six minutes.
Machines differ and are noisy: take the figures of one run together, and run them on a machine that does nothing else.

{machine}

{tables}

## What is measured

Every figure comes from processes of their own with an empty home, on the log the table names, here on this machine. The
code is in `bench/`.

{meanings}
"""


class Figure(NamedTuple):
    """A line of the table, and what is behind it."""

    name: str
    value: str
    aim: str
    meaning: str


def figures(site: Site, wanted: int, *, many: bool = False) -> Iterator[Figure]:
    """Measure everything on one log; points first, as all else would count as what they take in the projection."""
    yield from starting(site)
    with site.followed():
        yield from reporting(site, wanted)
        yield dying(site)
    yield from sizes(site)
    yield from dispatching(site, [*AGENTS, *MANY_AGENTS * many])
    yield from controlling(site)
    yield from searching(site)
    yield from simulating()
    yield from launching(site)


def starting(site: Site) -> Iterator[Figure]:
    """What a script pays at its start and end."""
    new, again, script = starts.stages(site, reuses=False), starts.stages(site, reuses=True), starts.scripted(site)
    said = f"Wall time in a script's process, bytecode cached; the median of {starts.TIMES} starts."
    yield Figure("`import tasktape`", f"{new.package:.0f} ms", "< 100 ms", said)
    yield Figure("`from tasktape import Task`", f"{new.task:.0f} ms", "", f"After `import tasktape`. {said}")
    yield Figure("`Task.init`, new task", f"{new.init:.0f} ms", "< 150 ms", f"With `reuse_last_task_id=False`. {said}")
    yield Figure(
        "`Task.init`, last task's place taken",
        f"{again.init:.0f} ms",
        "< 150 ms",
        f"As by default: the last task of the script is looked up on the log and reset. {said}",
    )
    yield Figure(
        "whole script of `Task.init` and one scalar",
        f"{script.wall:.0f} ms, {script.processor:.0f} ms of processor",
        "",
        "From the process's start to its end, everything delivered, less the same of an empty script run in turn. "
        "NumPy is not imported; what a script is made of is found out in the background and waited for at the end.",
    )


def dispatching(site: Site, agents: Sequence[int]) -> Iterator[Figure]:
    """How a run gets from a queue to an agent, and what agents take."""
    with open_log(site.settings.log) as log:
        yield from answering(site, log, "current", "the agent's own environment")
        yield from answering(site, log, "venv", "a cached environment")
        yield from idling(site, log)
        yield waiting(site, log)
        for count in agents:
            yield claiming(site, log, count)


def controlling(site: Site) -> Iterator[Figure]:
    """What a pipeline's controller costs."""
    said = "Steps that do nothing, run by one agent that only pretends to; the controller is a process of its own."
    with open_log(site.settings.log) as log:
        small, deep = (pipelines.course(site, log, "deep", count) for count in (pipelines.SMALL, pipelines.LARGE))
        narrow, wide = (pipelines.course(site, log, "wide", count) for count in (pipelines.SMALL, pipelines.LARGE))
    between = (
        "By the log's times, of a chain of steps; median and 99th percentile. ClearML's controller asks every 12 s."
    )
    yield Figure("a step's end to the next one enqueued", pipelines.percentiles(deep.to_queue), "", f"{between} {said}")
    yield Figure("a step's end to the next one's start", pipelines.percentiles(deep.to_start), "< 200 ms", between)
    yield Figure(
        "steps per second, one after the other", f"{deep.per_second:.0f}", "", f"{pipelines.LARGE} steps. {said}"
    )
    yield Figure("steps per second, side by side", f"{wide.per_second:.0f}", "", f"{pipelines.LARGE} steps. {said}")
    yield Figure(
        "the controller's processor time for each step",
        f"{small.processor:.1f} ms and {deep.processor:.1f} ms deep, {narrow.processor:.1f} ms and "
        f"{wide.processor:.1f} ms wide",
        "the same",
        f"Of {pipelines.SMALL} and of {pipelines.LARGE} steps: as long as it does not grow, the cost is linear.",
    )


def searching(site: Site) -> Iterator[Figure]:
    """What a search's controller costs."""
    said = "Trials that do nothing, one after the other, run by one agent that only pretends to."
    with open_log(site.settings.log) as log:
        found = searches.Searches(site, log)
        first, last = found.courses()
        compared, given_up, seen = found.compared(), found.given_up(), found.seen()
    parts = f"the first {searches.PART} of {searches.TRIALS:,}; the last {searches.PART}"
    yield Figure(
        f"a trial's end to the next one queued, {parts}",
        f"{searches.percentiles(first.to_queue)}; {searches.percentiles(last.to_queue)}",
        "the same",
        "By the log's times, with parameters by chance; median and 99th percentile. Between the two the controller "
        f"reads all that the trial has reported, tells the strategy, and has it propose. {said}",
    )
    yield Figure(
        f"trials per second, {parts}",
        f"{first.per_second:.0f}; {last.per_second:.0f}",
        "the same",
        f"From the first one queued to the last one's end: claim, heartbeat, start and end at an agent. {said}",
    )
    yield Figure(
        f"{searches.COMPARED} trials as Optuna suggests them, and in Optuna's own loop",
        f"{compared.search:.1f} s, {compared.study:.1f} s",
        "the same best value",
        "A seeded TPE sampler minimises a function of one parameter; both have found the same best value, or there "
        "would be no figure. What the search takes longer is what it takes to run each trial as a task, at an agent, "
        f"and to note every step of it. {said}",
    )
    yield Figure(
        "a bad value on the log to its trial given up",
        searches.percentiles(given_up.decided),
        "< 100 ms",
        f"To the event that says so, by the log's times, of {searches.PRUNED} trials of which a pruner wants none; "
        "median and 99th percentile. ClearML asks every 2 minutes, or as often as it is told to.",
    )
    yield Figure(
        "… to its end",
        searches.percentiles(given_up.ended),
        "",
        "The same values, to the event that says that the trial's task has been stopped; the program that an agent "
        "interrupts for real takes its own time to end.",
    )
    yield Figure(
        "`report_scalar` to the strategy that is asked",
        searches.percentiles(seen),
        "< 100 ms",
        f"Each of {searches.REPORTS} values that a script reports at random moments, about 40 a second, is the time of "
        "the call; the strategy compares it with its own when it is asked whether the trial goes on. Ring, drain and "
        "log lie between; median and 99th percentile.",
    )


def simulating() -> Iterator[Figure]:
    """What it takes to try a scaler's settings."""
    found = scaling.simulated()
    yield Figure(
        f"{found.tasks:,} tasks in `tasktape scaler simulate`",
        f"{found.seconds:.1f} s",
        "< 60 s",
        f"A week of {scaling.RATE:,} tasks an hour by chance, of {scaling.MINUTES:g} min on average, for at most "
        f"{scaling.MOST:,} machines: {found.machines:,} at the most, and {found.decisions:,} decisions of the policy. "
        "Wall time of one process, the trace made before.",
    )


def launching(site: Site) -> Iterator[Figure]:
    """What machines cost the scaler."""
    with open_log(site.settings.log) as log:
        few, many = (scaling.scaled(site, log, machines) for machines in (scaling.FEW, scaling.MANY))
    counts = f"{scaling.FEW:,} machines; {scaling.MANY:,}"
    said = "All work, and as many entries wait for want of more, which a maximum forbids."
    yield Figure(
        f"a scaler takes over, {counts}",
        f"{few['taken_over']:.1f} s, {few['memory']:.0f} MB; {many['taken_over']:.1f} s, {many['memory']:.0f} MB",
        "ten times as much",
        f"To read what the log has of them, six events for each machine with its agent and one entry, and to fold it; "
        f"resident memory that came with it. {said}",
    )
    yield Figure(
        f"a decision, {counts}",
        f"{few['reaction']:.1f} ms; {many['reaction']:.0f} ms",
        "ten times as much",
        f"Processor time to look at all there is, decide, and find that nothing is news; the median. {said} Decisions "
        f"are {scaling.pace(scaling.FEW):.1f} s apart at least, and {scaling.pace(scaling.MANY):.1f} s.",
    )
    yield Figure(
        f"machines asked for at once, {counts}",
        f"{few['growing']:.0f} ms; {many['growing']:,.0f} ms",
        "",
        "Processor time to decide on as many more, to say so on the log, read that back, order them, and note their "
        "launch; without the log's own time and the provider's. A quarter of it is Python's garbage collector.",
    )
    yield Figure(
        f"an agent's heartbeat, with {counts}",
        f"{few['heartbeat']:.0f} µs; {many['heartbeat']:.0f} µs",
        "the same",
        "Processor time to fold one.",
    )


def answering(site: Site, log: Log, mode: str, name: str) -> Iterator[Figure]:
    """How fast an idle agent answers."""
    found = dispatch.answered(site, log, mode)
    said = f"{dispatch.TASKS} tasks one after the other, for one idle agent (`--env {mode}`); median and longest."
    yield Figure(
        f"enqueuing to claim, {name}",
        str(found.claim),
        "< 10 ms, < 100 ms",
        f"By the times at which the log got the two events. ClearML's agent asks every 5 s. {said}",
    )
    yield Figure(
        f"enqueuing to first line of user code, {name}",
        str(found.first_line),
        "< 150 ms",
        f"From before the append: claim, heartbeat, taking, start, code laid out, process started. {said}",
    )
    yield Figure(
        "… an interpreter alone",
        str(found.python),
        "",
        "From before it is started to its first line, each time one of the tasks had ended.",
    )


def claiming(site: Site, log: Log, agents: int) -> Figure:
    """How much agents get done together."""
    found = dispatch.claims(site, log, agents)
    return Figure(
        f"runs claimed per second, {agents} agent{'s' * (agents > 1)}",
        f"{found.per_second:,.0f}; {found.processor:.1f} ms of processor each",
        "",
        "From a backlog, by agents of one slot that claim, take, start and end them for real and run no program. All "
        "share this machine; what all agents together take of its processors is told for each run.",
    )


def waiting(site: Site, log: Log) -> Figure:
    """Whether agents idle while work waits."""
    return Figure(
        "entry waits while an agent is idle",
        str(dispatch.waited_beside_idlers(site, log)),
        "never > 100 ms",
        f"{dispatch.MIXED_AGENTS} agents, half of them with long runs; {dispatch.SHORT_RUNS} short ones at random "
        "moments. For each: the longest time in one piece that it waited beside an agent whose last run had ended, by "
        "the log's times; median and longest.",
    )


def idling(site: Site, log: Log) -> Iterator[Figure]:
    """What an agent takes for nothing."""
    spent = dispatch.idle(site, log)
    yield Figure(
        "an idle agent",
        f"{spent.processor:.2f} % of a core, {spent.memory:.0f} MB",
        "< 0.5 %, < 60 MB",
        f"Processor time during {dispatch.IDLE_SECONDS:.0f} s without any task, which begin "
        f"{dispatch.UNTIL_IDLE_SECONDS:.0f} s after its start, and resident memory at their end; on the log of the "
        "figures above, with their runs, and with their queues, which it looks after as nobody serves them any more. "
        "On Kafka, members speak every 5 s, as is usual; for all other figures every 0.5 s.",
    )
    yield Figure(
        "… an interpreter alone, which wakes up every 2 s",
        f"{spent.bare:.2f} % of a core",
        "",
        "In the same seconds: what this machine charges for so little.",
    )


def reporting(site: Site, wanted: int) -> Iterator[Figure]:
    """What points cost, and how fast they arrive."""
    calls, stream = points.timed(site), points.streamed(site, wanted)
    said = f"Each of {points.TIMED:,} calls in one process, less what reading the clock takes."
    yield Figure("`report_scalar`, median", f"{calls.median:.2f} µs", "≤ 1 µs", said)
    yield Figure("`report_scalar`, p99", f"{calls.p99:.2f} µs", "", said)
    yield Figure(
        "points per second, reported",
        f"{stream.reported:,.0f}",
        "",
        f"One series of {wanted:,} random doubles from one process, the calls alone, while the drain and the follower "
        "of the next figure work beside it. The median of three streams.",
    )
    yield Figure(
        "points per second until queryable",
        f"{stream.queryable:,.0f}",
        "≥ 300,000",
        f"The same {wanted:,} points, from before the first call of `report_scalar` until a follower that was up "
        "before (`tasktape serve`) has answered a query over Flight with all of them: ring, drain, log, follower, "
        "DuckDB and the question included, no start or end of a process. The script goes on running and flushes "
        f"nothing by hand. The follower is asked from the last call on, every {points.ASK_SECONDS * 1000:.0f} ms.",
    )


def dying(site: Site) -> Figure:
    """What SIGKILL takes."""
    lost = {count: points.killed(site, count) for count in points.KILLED_AFTER}
    return Figure(
        "points lost to SIGKILL",
        ", ".join(f"{missing} of {count:,}" for count, missing in lost.items()),
        "0",
        "The process group is killed right after the last call returned; `tasktape sync` then brings what was left.",
    )


def sizes(site: Site) -> Iterator[Figure]:
    """What points take."""
    found = points.sizes(site)
    said = "All random doubles reported above, whose values no compression makes smaller"
    yield Figure("bytes per point on the log", f"{found.log:.1f}", "< 20", f"{said}: values and keys of the records.")
    yield Figure("bytes per point in the projection", f"{found.projection:.1f}", "< 20", f"{said}: DuckDB's file.")


def table(title: str, rows: list[Figure]) -> str:
    """Markdown of one log's figures."""
    lines = [f"## {title}", "", "| | measured | aim |", "|---|---|---|"]
    return "\n".join(lines + [f"| {row.name} | {row.value} | {row.aim} |" for row in rows])


def meanings(rows: list[Figure]) -> str:
    """Markdown that says what each figure is."""
    return "\n".join(f"- **{row.name}**: {row.meaning}" for row in rows)


def main() -> int:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--many", action="store_true", help="claims per second with 64 agents too")
    parser.add_argument("--points", type=int, default=1_000_000, help="scalars of a stream (default 1,000,000)")
    options = parser.parse_args()
    measured: dict[str, list[Figure]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tasktape-bench-")))
        urls = {"Embedded log": f"sqlite://{folder}/sqlite/log.db"}
        try:
            urls[f"Apache Kafka {VERSION}, one broker"] = stack.enter_context(Broker(folder / "broker")).url
        except KafkaMissingError as error:
            print(error, file=sys.stderr)
        for number, (title, url) in enumerate(urls.items()):
            measured[title] = list(figures(Site(folder / f"home-{number}", url), options.points, many=options.many))
            print(table(title, measured[title]), flush=True)
    if options.write:
        DOC.write_text(page(measured))
    return 0


def page(measured: dict[str, list[Figure]]) -> str:
    """Markdown of all that was measured."""
    tables = "\n\n".join(table(title, rows) for title, rows in measured.items())
    return PAGE.format(machine=machine(), tables=tables, meanings=meanings(next(iter(measured.values()))))


def machine() -> str:
    """Say when and on what."""
    day = datetime.now(UTC).date().isoformat()
    load = f"load average {os.getloadavg()[2]:.1f} over the last 15 minutes"
    return f"{day}, {platform.system()} {platform.machine()}, {cores()}, {load}, Python {platform.python_version()}."


if __name__ == "__main__":
    sys.exit(main())
