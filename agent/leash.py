"""Ends the processes of an agent that was killed: a program of its own that hears of them through its standard input.

Each line is `+` or `-` and the id of a process group. When the input ends the agent is gone, however it died, and all
groups still on the leash are killed. It runs as a script without site-packages, so it starts within milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable


def follow(lines: Iterable[str]) -> set[int]:
    """Read all lines; return the groups that are still alive at their end."""
    groups: set[int] = set()
    for line in lines:
        change = groups.add if line[0] == "+" else groups.discard
        change(int(line[1:]))
    return groups


def kill(groups: Iterable[int]) -> None:
    """Kill these process groups; those that are gone already do not matter."""
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    kill(follow(sys.stdin))
