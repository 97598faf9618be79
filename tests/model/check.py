"""Checks with Spin how runs are claimed: products of faults to their last state, and each rule by leaving it out.

`make model` runs it; `make model FULL=1` adds the larger products.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(__file__).parent
_MUST: Final = re.compile(r"#define (\w+) (\d) +/\*")
PROPERTIES: Final = {number: name for name, number in _MUST.findall((FOLDER / "properties.pml").read_text())}


class Product(NamedTuple):
    """A choice of what may happen together, as definitions for the model; the rest is as `claim.pml` says.

    For a large one it pays to let gcc optimise.
    """

    name: str
    definitions: str = ""
    is_large: bool = False


ONE: Final = Product("one entry: a death, a stall, a lapse", "-DDEATHS=1", is_large=True)
DEATHS: Final = Product("one entry: two deaths, a lapse", "-DSTALLS=0")
IN_DOUBT: Final = Product(
    "two agents, one entry: a death, two stalls, two copies, a heartbeat in doubt",
    "-DAGENTS=2 -DSTALLS=2 -DCOPIES=2 -DDOUBTS=1 -DLAPSES=0",
)
LAPSE: Final = Product("one entry: a death, a lapse", "-DDEATHS=1 -DSTALLS=0")
UNSERVED: Final = Product(
    "a move from a queue that may lose all its agents: two deaths, a stall", "-DMOVES -DUNSERVED -DLAPSES=0"
)
GHOSTS: Final = Product(
    "a move or dequeuing, an agent that begins late, an entry enqueued again: two deaths",
    "-DMOVES -DDEQUEUES -DGHOSTS -DREPEATS=1 -DSTALLS=0 -DLAPSES=0",
)
PRODUCTS: Final = (
    ONE,
    DEATHS,
    Product("one run in two queues: two deaths, a stall", "-DTWIN -DLAPSES=0", is_large=True),
    Product("two tasks: two deaths, a stall", "-DTWO_TASKS -DLAPSES=0", is_large=True),
    Product("one run in two queues: a death, a copy", "-DTWIN -DCOPIES=1 -DDEATHS=1 -DSTALLS=0 -DLAPSES=0"),
    Product("two tasks: a death, a copy", "-DTWO_TASKS -DCOPIES=1 -DDEATHS=1 -DSTALLS=0 -DLAPSES=0"),
    Product("a move, new rank or dequeuing: two deaths, a stall", "-DMOVES -DRERANKS -DDEQUEUES -DLAPSES=0"),
    UNSERVED,
    GHOSTS,
    IN_DOUBT,
    LAPSE,
)
FULL: Final = tuple(
    Product(name, definitions, is_large=True)
    for name, definitions in {
        "one entry: two deaths, a stall, a lapse": "",
        "two tasks: a death, a lapse": "-DTWO_TASKS -DDEATHS=1 -DSTALLS=0",
        "two tasks: a death, a stall, a copy": "-DTWO_TASKS -DCOPIES=1 -DDEATHS=1 -DLAPSES=0",
        "one run in two queues: a death, a stall, a copy": "-DTWIN -DCOPIES=1 -DDEATHS=1 -DLAPSES=0",
        "two agents, two tasks: a death, a stall, a lapse": "-DAGENTS=2 -DTWO_TASKS",
        "two agents, one run in two queues: a death, a stall, a lapse": "-DAGENTS=2 -DTWIN",
        "two agents, one entry: a death, a stall, a lapse, a copy": "-DAGENTS=2 -DCOPIES=1",
        "a move: a death, a stall, a lapse": "-DMOVES -DDEATHS=1",
        "a move, new rank or dequeuing, an agent that begins late, an entry enqueued again: two deaths, a stall": (
            "-DMOVES -DRERANKS -DDEQUEUES -DGHOSTS -DREPEATS=1 -DLAPSES=0"
        ),
    }.items()
)
ENDLESS: Final = (
    Product("one entry: two deaths, a stall", "-DLAPSES=0"),
    Product("one entry: a death, a lapse", "-DPATIENT -DDEATHS=1 -DSTALLS=0"),
)


class Omission(NamedTuple):
    """A rule to leave out of a product, and the property that is violated then."""

    rule: str
    product: Product
    violates: str


OMISSIONS: Final = (
    Omission("RULE_1", IN_DOUBT, "NOT_STUCK"),
    Omission("RULE_2", IN_DOUBT, "NOT_STUCK"),
    Omission("RULE_2_NAMES", LAPSE, "NOT_STUCK"),
    Omission("RULE_2_TOMBSTONE", LAPSE, "NOT_STUCK"),
    Omission("RULE_3", IN_DOUBT, "NOT_STUCK"),
    Omission("RULE_3_CLAIM", ONE, "NOT_STUCK"),
    Omission("RULE_4", ONE, "NO_THEFT"),
    Omission("RULE_5", LAPSE, "NOT_AGAIN"),
    Omission("RULE_5_RECORD", DEATHS, "NOT_STUCK"),
    Omission("RULE_5_OWN", LAPSE, "NOT_STUCK"),
    Omission("RULE_6", GHOSTS, "NOT_WITHDRAWN"),
    Omission("RULE_7", GHOSTS, "NOT_WITHDRAWN"),
    Omission("RULE_8", UNSERVED, "NOT_STUCK"),
    Omission("RULE_9", LAPSE, "NOT_STUCK"),
    Omission("RULE_10", LAPSE, "LOG_SAYS_SO"),
    Omission("LEASE", LAPSE, "LOG_SAYS_SO"),
)


class SpinMissingError(Exception):
    """There is no Spin or no gcc."""


class Verdict(NamedTuple):
    """What Spin found: a property that is violated (empty for none), or that all states were seen."""

    violated: str
    complete: bool
    states: int
    megabytes: float
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether no state violates anything."""
        return self.complete and not self.violated

    def __str__(self) -> str:
        return f"{self.states:>10,} states  {self.megabytes:>6.0f} MB  {self.seconds:>5.1f} s"


def verify(product: Product, folder: Path, *, without: str = "", endless: bool = False) -> Verdict:
    """Look at all states that can be reached, or at all until one violates something; endless: look for cycles."""
    if not (shutil.which("spin") and shutil.which("gcc")):
        raise SpinMissingError("missing: Spin and gcc. Install them (Debian: apt-get install spin gcc libc6-dev).")
    definitions = [*product.definitions.split(), *([f"-DWITHOUT_{without}"] if without else [])]
    _run(folder, "spin", "-a", *definitions, str(FOLDER / "claim.pml"))
    is_long = product.is_large and not without
    _run(
        folder,
        "gcc",
        "-O2" if is_long else "-O0",
        "-w",
        "-DNP" if endless else "-DSAFETY",
        "-DMEMLIM=3000",
        "-o",
        "pan",
        "pan.c",
    )
    return _verdict(_run(folder, "./pan", "-m10000", *(["-l"] if endless else [])))


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _verdict(output: str) -> Verdict:
    trouble = re.search(r"^pan:1: (.*) \(at depth", output, re.MULTILINE)
    property_ = re.search(r"\|\|\((\d)==0\)\)$", trouble[1]) if trouble else None
    violated = PROPERTIES[property_[1]] if property_ else (trouble[1] if trouble else "")
    complete = "errors: 0" in output and "not completed" not in output and "too small" not in output
    states, megabytes = _figure(r"(\d+) states, stored", output), _figure(r"([\d.]+)\ttotal actual", output)
    return Verdict(violated, complete, int(states), megabytes, _figure(r"elapsed time ([\d.]+) seconds", output))


def _figure(pattern: str, output: str) -> float:
    found = re.search(pattern, output)
    return float(found[1]) if found else 0.0


class Check(NamedTuple):
    """One search, and the property it has to find violated, if any."""

    product: Product
    without: str = ""
    expected: str = ""
    endless: bool = False

    def __str__(self) -> str:
        what = "nothing goes on for ever, " if self.endless else f"without {self.without}, " if self.without else ""
        return what + self.product.name

    def run(self) -> Verdict:
        """Search in a folder of its own."""
        with tempfile.TemporaryDirectory() as folder:
            return verify(self.product, Path(folder), without=self.without, endless=self.endless)

    def is_passed(self, verdict: Verdict) -> bool:
        """Whether the search found what it has to find."""
        return verdict.violated == self.expected if self.expected else verdict.holds


def checks(products: tuple[Product, ...]) -> Iterator[Check]:
    """All there is to check, the longest first."""
    yield from map(Check, products)
    yield from (Check(product, endless=True) for product in ENDLESS)
    yield from (Check(product, rule, violates) for rule, product, violates in OMISSIONS)


def main(products: tuple[Product, ...]) -> int:
    """Check everything, on all cores, and say what was found; returns how much was not as it has to be."""
    wrong = 0
    wanted = list(checks(products))
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for check, verdict in zip(wanted, threads.map(Check.run, wanted), strict=True):
            passed = check.is_passed(verdict)
            found = verdict.violated or ("holds" if verdict.complete else "too large")
            print(f"{'ok ' if passed else 'BAD'} {found:<13} {verdict}  {check}", flush=True)  # noqa: T201
            wrong += not passed
    return wrong


if __name__ == "__main__":
    try:
        sys.exit(min(1, main(PRODUCTS + FULL if "--full" in sys.argv else PRODUCTS)))
    except SpinMissingError as missing:
        sys.exit(str(missing))
