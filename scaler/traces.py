"""Traces to simulate a scaler with: when tasks come, into which queue, and how long they run.

A trace is a file (CSV, Parquet or JSON lines with the columns `arrival` and `duration` in seconds, and `queue`), what a
log has recorded, or made by a generator: `poisson(rate, hours)`, `daily(peak, hours)`, `bursts(size, minutes, hours)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from ..events.errors import TasktapeError

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
_GENERATOR: Final = re.compile(r"(\w+)\(([^()]*)\)")
_COLUMNS: Final = ("arrival", "queue", "duration")
_SPREAD: Final = 1.0
"""Durations are log-normal with this deviation of their logarithm: many short ones, a few long ones."""
_BURST_SECONDS: Final = 10.0
_NIGHT: Final = 0.1
"""What a quiet night has of the peak's rate."""


class TraceError(TasktapeError):
    """A trace can't be read or made."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Tasks by arrival: seconds since the start, places in `queues`, and seconds that they run."""

    arrivals: Numbers
    queue: np.ndarray[Any, np.dtype[np.int64]]
    seconds: Numbers
    queues: Sequence[str]

    def __len__(self) -> int:
        return len(self.arrivals)


def trace_of(arrivals: Any, queues: Sequence[str], seconds: Any) -> Trace:
    """A trace of columns in any order of arrival; the first one comes at 0."""
    at, names = np.asarray(arrivals, dtype=float), np.asarray(queues)
    lasting = np.asarray(seconds, dtype=float)
    if not len(at):
        raise TraceError("the trace has no task in it.")
    if not np.isfinite(at).all() or not np.isfinite(lasting).all() or (lasting < 0).any():
        raise TraceError("the trace has an arrival or a duration that is no number of seconds.")
    order = np.argsort(at, kind="stable")
    known, places = np.unique(names, return_inverse=True)
    return Trace(at[order] - at.min(), places[order], lasting[order], [str(name) for name in known])


def read_trace(file: Path) -> Trace:
    """The trace in a file: Parquet or JSON lines if its name says so, else CSV. Raises `TraceError`."""
    from pyarrow import ArrowInvalid, csv, json, parquet  # noqa: PLC0415  files alone need it

    read = {".parquet": parquet.read_table, ".jsonl": json.read_json, ".ndjson": json.read_json}
    try:
        table = read.get(file.suffix, csv.read_csv)(file)
    except (OSError, ArrowInvalid) as error:
        raise TraceError(f"{file} can't be read as a trace: {error}.") from error
    if missing := [name for name in _COLUMNS if name not in table.column_names]:
        raise TraceError(f"{file} lacks the columns {', '.join(missing)}; a trace has {', '.join(_COLUMNS)}.")
    arrivals, queues, seconds = (table[name].to_pylist() for name in _COLUMNS)
    try:
        return trace_of(arrivals, [str(queue) for queue in queues], seconds)
    except (TypeError, ValueError) as error:
        raise TraceError(f"{file} has an arrival or a duration that is no number of seconds.") from error


def served(trace: Trace, queues: Collection[str]) -> Trace:
    """The tasks of a trace that come into some of its queues. Raises `TraceError` where there are none."""
    names = np.asarray(trace.queues)[trace.queue]
    kept = np.isin(names, list(queues))
    if not kept.any():
        raise TraceError(
            f"the tasks of the trace came into {', '.join(trace.queues)}, none of which the settings serve "
            f"({', '.join(queues)})."
        )
    return trace_of(trace.arrivals[kept], names[kept], trace.seconds[kept])


def generated(text: str, queues: Sequence[str], minutes: float, seed: int) -> Trace | None:
    """The trace that a generator's call makes, over all queues alike; None where the text is no such call."""
    call = _GENERATOR.fullmatch(text.strip())
    if call is None:
        return None
    make = _GENERATORS.get(call[1])
    if make is None:
        raise TraceError(f"there is no generator {call[1]!r}; there are {', '.join(_GENERATORS)}.")
    random = np.random.default_rng(seed)
    try:
        arrivals = make(random, *(float(number) for number in call[2].split(",")))
    except (TypeError, ValueError) as error:
        raise TraceError(f"{text} is none of {', '.join(_CALLS)} with numbers.") from error
    count = len(arrivals)
    seconds = random.lognormal(np.log(60.0 * minutes) - _SPREAD**2 / 2, _SPREAD, count)
    return trace_of(arrivals, [queues[place] for place in random.integers(len(queues), size=count)], seconds)


def _poisson(random: np.random.Generator, rate: float, hours: float) -> Numbers:
    """So many an hour on average, each on its own."""
    return random.uniform(0.0, 3600.0 * hours, random.poisson(rate * hours))


def _daily(random: np.random.Generator, peak: float, hours: float) -> Numbers:
    """Days with the peak's rate at noon and a tenth of it at midnight, where they begin."""
    at = _poisson(random, peak, hours)
    rate = _NIGHT + (1 - _NIGHT) * (1 - np.cos(2 * np.pi * at / 86400.0)) / 2
    return at[random.uniform(size=len(at)) < rate]


def _bursts(random: np.random.Generator, size: float, minutes: float, hours: float) -> Numbers:
    """So many within seconds, again and again."""
    starts = np.arange(0.0, 3600.0 * hours, 60.0 * minutes)
    return np.repeat(starts, int(size)) + random.uniform(0.0, _BURST_SECONDS, len(starts) * int(size))


_CALLS: Final = ("poisson(RATE PER HOUR, HOURS)", "daily(PEAK PER HOUR, HOURS)", "bursts(SIZE, MINUTES, HOURS)")
_GENERATORS: Final[dict[str, Callable[..., Numbers]]] = {"poisson": _poisson, "daily": _daily, "bursts": _bursts}
