"""Folders of runs, each locked by the agent it belongs to: those of agents that died can be told and removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

_SETTLED_SECONDS: Final = 60.0


class RunFolder:
    """A new folder below `runs`, of this process until it is removed."""

    def __init__(self, runs: Path) -> None:
        runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix="run-", dir=runs))
        self._lock = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        _remove(self.path)
        os.close(self._lock)


def remove_abandoned(runs: Path, now: float | None = None) -> None:
    """Remove the folders of processes that are gone; one made a moment ago may not be locked yet."""
    settled = (time.time() if now is None else now) - _SETTLED_SECONDS
    for folder in runs.glob("run-*"):
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime < settled:
                _remove_if_free(folder)


def _remove_if_free(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(folder)
    finally:
        os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a folder although a program has taken rights away from parts of it."""
    shutil.rmtree(folder, ignore_errors=True)
    for parent, folders, _ in os.walk(folder):  # top down: each is opened before it is entered
        for name in folders:
            with contextlib.suppress(OSError):
                Path(parent, name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
