"""Ports that the servers of tests keep to themselves, also while one is down and about to come back.

They lie below those that systems give to outgoing connections (32768 and up on Linux, 49152 and up elsewhere), and a
lock for each holds off other processes of the tests until this one ends.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PORTS: Final = range(20_000, 32_000)
_held: list[int] = []  # descriptors: a lock lasts as long as its file is open


def free_port(ports: Sequence[int] = PORTS) -> int:
    """Return one of the ports of 127.0.0.1 that nobody listens on; nobody else is given it while this process lives."""
    locks = Path(tempfile.gettempdir()) / f"tasktape-ports-{os.getuid()}"
    locks.mkdir(mode=0o700, exist_ok=True)
    system = random.SystemRandom()
    while not _hold(locks, port := system.choice(ports)):
        pass
    return port


def _hold(locks: Path, port: int) -> bool:
    """Whether the port is this process's from now on."""
    lock = os.open(locks / str(port), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        os.close(lock)
        return False
    _held.append(lock)
    return True
