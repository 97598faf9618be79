"""`python -m bench.logs`: appends per second on both logs, how late followers are, what idling costs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tasktape.events.log import Log, open_log
from tasktape.events.topics import TOPICS, TopicSpec
from tasktape.tests.kafka.broker import Broker, KafkaMissingError

SIZE = 200
TOGETHER = 50_000
ALONE = 3_000
SINGLE = 300
IDLE_SECONDS = 5.0

WRITE_NOW_AND_THEN = f"""
import sys, time
from tasktape.events.log import open_log
with open_log(sys.argv[1]) as log:
    for number in range({SINGLE}):
        time.sleep(0.01 + 0.0001 * (number * 37 % 100))
        log.append(sys.argv[2], "k", repr(time.time()).encode())
        log.flush()
"""


class Figure(NamedTuple):
    """A line of the table."""

    name: str
    value: str
    aim: str = ""


def figures(url: str) -> Iterator[Figure]:
    """Measure one log."""
    yield Figure("open a log that exists", f"{opened(url):.1f} ms", "< 5 ms (embedded)")
    with open_log(url) as log:
        topic = f"bench-{uuid.uuid4().hex[:12]}"
        log.create_topics([TopicSpec(topic, 8), *TOPICS])
        yield Figure(f"appends per second, {SIZE} bytes, many under way", f"{appended(log, topic):,.0f}")
        yield Figure("one append until it is acknowledged, median", f"{acknowledged(log, topic):.0f} µs")
        yield Figure("records read per second", f"{read(log, topic):,.0f}")
        ordered = sorted(late(log, topic))
        yield Figure(
            "record of another process seen by a follower after, median", f"{ordered[SINGLE // 2] * 1e3:.1f} ms"
        )
        yield Figure("… 99 of 100", f"{ordered[SINGLE * 99 // 100] * 1e3:.1f} ms", "< 20 ms")
        yield Figure("idle follower of all topics", f"{idle(log):.2f} % of a core", "< 1 %")


def opened(url: str) -> float:
    """Median time in ms to open and close a log that exists, client library loaded."""
    times = []
    for _ in range(11):
        began = time.perf_counter()
        log = open_log(url)
        times.append(time.perf_counter() - began)
        log.close()
    return statistics.median(times) * 1e3


def appended(log: Log, topic: str) -> float:
    """Records per second, flushed at the end."""
    value = bytes(SIZE)
    began = time.perf_counter()
    for number in range(TOGETHER):
        log.append(topic, f"key {number % 100}", value)
    log.flush()
    return TOGETHER / (time.perf_counter() - began)


def acknowledged(log: Log, topic: str) -> float:
    """Median time in µs from `append` until `flush` returns."""
    times = []
    for _ in range(ALONE):
        began = time.perf_counter()
        log.append(topic, "k", bytes(SIZE))
        log.flush()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def read(log: Log, topic: str) -> float:
    """Records per second of one reader from the beginning."""
    count = sum(log.end_positions([topic]).values())
    began = time.perf_counter()
    with log.read(log.start_positions([topic])) as reader:
        left = count
        while left > 0:
            left -= len(reader.poll(10))
    return count / (time.perf_counter() - began)


def late(log: Log, topic: str) -> list[float]:
    """Seconds after which a follower has each record that another process appends now and then."""
    found: list[float] = []
    with log.read(log.end_positions([topic])) as reader:
        reader.poll(0.5)
        command = [sys.executable, "-c", WRITE_NOW_AND_THEN, log.url, topic]
        with subprocess.Popen(command):
            while len(found) < SINGLE:
                records = reader.poll(30)
                now = time.time()
                found += [now - float(record.value or b"nan") for record in records]
    return found


def idle(log: Log) -> float:
    """Share of a core in % that a follower of all topics costs while nothing is appended."""
    with log.read(log.end_positions([spec.name for spec in TOPICS])) as reader:
        reader.poll(0.5)
        return _cpu_share(lambda: reader.poll(IDLE_SECONDS))


def _cpu_share(wait: Callable[[], object]) -> float:
    began, used = time.perf_counter(), time.process_time()
    wait()
    return (time.process_time() - used) / (time.perf_counter() - began) * 100


def main() -> int:
    """Measure both logs and print a table for each."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tasktape-bench-")))
        urls = {"Embedded log": f"sqlite://{folder}/log.db"}
        try:
            urls["Apache Kafka"] = stack.enter_context(Broker(folder / "broker")).url
        except KafkaMissingError as error:
            print(error, file=sys.stderr)
        for title, url in urls.items():
            print(f"\n## {title}\n\n| | measured | aim |\n|---|---|---|")
            for name, value, aim in figures(url):
                print(f"| {name} | {value} | {aim} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
