"""`python -m bench [--write] [--points N]`: the figures of docs/benchmarks.md, on the embedded log and on Apache Kafka.

Each figure comes from processes of their own with an empty home. A Kafka is started where Java is to be had.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tasktape.tests.kafka.broker import Broker, KafkaMissingError

from .measure import Site, cores, killed, reported, started

DOC = Path(__file__).parents[1] / "docs" / "benchmarks.md"
INTRODUCTION = """# Benchmarks

`make bench` prints these figures; `python -m bench --write` writes this page. Machines differ and are noisy: take the
figures of one run together. Each is from processes of their own with an empty home.
"""


class Figure(NamedTuple):
    """A line of the table."""

    name: str
    value: str
    aim: str


def figures(site: Site, points: int) -> Iterator[Figure]:
    """Measure everything on one log."""
    calls = reported(site, points)
    yield Figure("`report_scalar`, median", f"{calls.p50:.2f} µs", "≤ 1 µs")
    yield Figure("`report_scalar`, p99", f"{calls.p99:.2f} µs", "")
    yield Figure("`report_scalar`, calls per second of one process", f"{calls.per_second:,.0f}", "")
    yield Figure("points per second until queryable", f"{calls.queryable_per_second:,.0f}", "≥ 300,000")
    yield Figure("bytes per point on the log (random doubles)", f"{calls.log_bytes:.1f}", "< 20")
    yield Figure("bytes per point in the projection", f"{calls.projection_bytes:.1f}", "< 20")
    lost = {count: killed(site, count) for count in (50, 150, 250, 1050, 100_000)}
    said = ", ".join(f"{missing} of {count:,}" for count, missing in lost.items())
    yield Figure("lost when the process group gets SIGKILL right after the last call", said, "0")
    times = started(site)
    yield Figure("`import tasktape`", f"{times.package:.0f} ms", "< 100 ms")
    yield Figure("`from tasktape import Task`", f"{times.task:.0f} ms", "")
    yield Figure("`Task.init`", f"{times.init:.0f} ms", "< 150 ms")


def table(title: str, rows: list[Figure]) -> str:
    """Markdown of one log's figures."""
    lines = [f"## {title}", "", "| | measured | aim |", "|---|---|---|"]
    return "\n".join(lines + [f"| {row.name} | {row.value} | {row.aim} |" for row in rows])


def main() -> int:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--points", type=int, default=1_000_000, help="scalars to report (default 1,000,000)")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tasktape-bench-")))
        urls = {"Embedded log": f"sqlite://{folder}/sqlite/log.db"}
        try:
            urls["Apache Kafka"] = stack.enter_context(Broker(folder / "broker")).url
        except KafkaMissingError as error:
            print(error, file=sys.stderr)
        parts = [machine()]
        for title, url in urls.items():
            parts.append(table(title, list(figures(Site(folder / title.split()[-1], url), options.points))))
            print(parts[-1], flush=True)
    if options.write:
        DOC.write_text("\n\n".join([INTRODUCTION.strip(), *parts]) + "\n")
    return 0


def machine() -> str:
    """Say when and on what."""
    day = datetime.now(UTC).date().isoformat()
    return f"{day}, {platform.system()} {platform.machine()}, {cores()}, Python {platform.python_version()}."


if __name__ == "__main__":
    sys.exit(main())
