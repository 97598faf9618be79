"""Runs under way on this machine: a locked file for each, so that a run whose process was killed can be told as dead.

Whoever comes next (a process with a task, an agent, `tasktape sync`) says that such a run has failed. A run that ended
in order, or that an agent looks after, has no file.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..events.processes import is_alive
from ..events.task_events import RunFailed
from .types import TaskStatusEnum as Status

if TYPE_CHECKING:
    from ..events.settings import Settings
    from .session import Session

FOLDER: Final = "running"
REASON: Final = "process died"
MESSAGE: Final = "the process ended without a word: killed, out of memory, or the machine went down"


class RunFile:
    """The file of one run, locked as long as its process lives."""

    def __init__(self, path: Path, descriptor: int, task: str, run: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self.task = task
        self.run = run

    @classmethod
    def create(cls, settings: Settings, task: str, run: int) -> RunFile | None:
        """Note a run of this process; None where the home can't be written, or is full."""
        path = settings.home / FOLDER / f"{task}-{run}.json"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return None
        if not _is_locked(descriptor):
            return None
        made = cls(path, descriptor, task, run)
        try:
            about = {"log": settings.log, "task": task, "run": run, "pid": os.getpid()}
            os.pwrite(descriptor, json.dumps(about).encode(), 0)
        except OSError:
            made.remove()
            return None
        return made

    def remove(self) -> None:
        """The run is over."""
        self._path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Let others have the file."""
        os.close(self._descriptor)


def dead_runs(settings: Settings) -> Iterator[RunFile]:
    """Yield the runs on the settings' log whose processes are dead, each locked for the caller, who removes it."""
    for path in sorted((settings.home / FOLDER).glob("*.json")):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError:
            continue
        if not _is_locked(descriptor):
            continue
        about = _read(descriptor)
        if about.get("log") == settings.log and path.exists():
            yield RunFile(path, descriptor, str(about["task"]), int(about["run"]))
        else:
            os.close(descriptor)


def is_being_told(settings: Settings, task: str) -> bool:
    """Whether somebody is about to say that a run of this task is dead: its process is gone, its file still there."""
    files = (settings.home / FOLDER).glob(f"{task}-*.json")
    return any(about.get("log") == settings.log and not is_alive(about["pid"]) for about in map(_read_file, files))


def mark_dead_runs(session: Session) -> list[str]:
    """Say of each run whose process was killed that it failed; returns their tasks.

    A run that ended after all is left as it is. One that is not on the log yet, since its events wait in a spool, is
    left to whoever comes next. Raises `LogUnavailableError` where there are such runs and the log does not answer.
    """
    dead = list(dead_runs(session.settings))
    if not dead:
        return []
    try:
        with session.queries() as queries:
            runs = [row for task in {found.task for found in dead} for row in queries.runs(task)]
    except BaseException:
        for found in dead:
            found.release()
        raise
    statuses = {(row.task, row.run): row.status for row in runs}
    return [found.task for found in dead if _mark(session, found, statuses.get((found.task, found.run)))]


def _mark(session: Session, found: RunFile, status: str | None) -> bool:
    if status is None:
        found.release()
        return False
    if status == Status.in_progress:
        said = {"task": found.task, "run": found.run, "reason": REASON, "message": MESSAGE}
        session.emit(RunFailed(meta=session.stamp(), cause="infrastructure", **said))
    found.remove()
    return status == Status.in_progress


def _is_locked(descriptor: int) -> bool:
    """Lock the file for this process; otherwise it is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    return True


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return _read(file.fileno())
    except OSError:
        return {}


def _read(descriptor: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and {"task", "run", "pid"} <= found.keys() else {}
