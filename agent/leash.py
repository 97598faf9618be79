"""Ends the processes of an agent that was killed: a program of its own that hears of them through its standard input.

Each line is `+` or `-` and the id of a process group, or a container's engine and name with a tab between them. When
the input ends the agent is gone, however it died, and all groups still on the leash are killed, all containers removed.
It runs as a script without site-packages, so it starts within milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable


def follow(lines: Iterable[str]) -> set[str]:
    """Read all lines; return what is still on the leash at their end."""
    held: set[str] = set()
    for line in lines:
        change = held.add if line[0] == "+" else held.discard
        change(line[1:].rstrip("\n"))
    return held


def end(held: Iterable[str]) -> None:
    """Kill these process groups, then remove these containers; those that are gone already do not matter."""
    containers = [name.split("\t") for name in held if "\t" in name]
    for group in held:
        if group.isdigit():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(int(group), signal.SIGKILL)
    for engine, name in containers:
        with contextlib.suppress(OSError):
            subprocess.run([engine, "rm", "--force", name], check=False, capture_output=True)


if __name__ == "__main__":
    end(follow(sys.stdin))
