"""How often a process that has nothing to do wakes up for its log, and when: all of its threads at the same moments.

A thread that wakes up alone finds cold caches, and on a virtual machine pages that have to be mapped anew. That takes
more of the processor than what it wakes up for.
"""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from .clock import uptime_us


class Pace(NamedTuple):
    """Seconds, each for what can wait: records never do.

    On the embedded log a member that was not heard of for `lease` counts as dead; it says that it lives twice as often,
    and a reader looks for records every `glance` although nobody rang. On Kafka a settled group is served every
    `serve`, a producer without records is looked after every `rest`, and a reader that waits heeds after `slice` that
    it was woken. What one owns is looked at every `look`.
    """

    lease: float = 4.0
    glance: float = 3.0
    serve: float = 1.0
    rest: float = 5.0
    slice: float = 0.8
    look: float = 2.0


BRISK: Final = Pace()
CALM: Final = Pace(lease=120.0, glance=30.0, serve=15.0, rest=30.0, slice=7.5, look=60.0)
"""For who waits for most of its life, as agents do."""

PHASE: Final = 60 * random.random()  # noqa: S311  spreads processes, hides nothing
"""Seconds of the machine's uptime at which all periods of this process begin."""


def until_next(period: float) -> float:
    """Seconds until this process's next moment of this period: periods that divide each other share moments."""
    return seconds_to_next(period, uptime_us() / 1e6, PHASE)


def seconds_to_next(period: float, now: float, phase: float) -> float:
    """Seconds until the next moment that lies whole periods behind `phase`."""
    return period - (now - phase) % period
