"""How a process knows on whose behalf it runs: an agent's run, a parent's task, or none.

An agent sets `TASKTAPE_TASK_ID`, `TASKTAPE_RUN` and `TASKTAPE_TASK_SPEC`; a process with a task of its own tells the
processes it starts by `TASKTAPE_PROC_TASK`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from ..events.parts import TaskSpec
from ..events.processes import is_alive

TASK_ID: Final = "TASKTAPE_TASK_ID"
RUN: Final = "TASKTAPE_RUN"
SPEC_FILE: Final = "TASKTAPE_TASK_SPEC"
PROC_TASK: Final = "TASKTAPE_PROC_TASK"
SIMULATED: Final = "TASKTAPE_SIMULATED"
OFFLINE: Final = "TASKTAPE_OFFLINE_MODE"


@dataclass(frozen=True, slots=True)
class Announced:
    """What a process with a task tells its child processes. `pid` is its own.

    `is_watched` says that somebody decides by what they report, as they do.
    """

    pid: int
    task: str
    run: int
    project: str
    name: str
    task_type: str
    initial_iteration: int = 0
    offline_folder: str = ""
    is_watched: bool = False


@dataclass(frozen=True, slots=True)
class Assigned:
    """What an agent tells the process it starts. A `simulated` run has no agent that starts and ends it.

    Who starts one and gives no `spec` leaves it to the process to find out what it runs.
    """

    task: str
    run: int
    spec: TaskSpec | None
    simulated: bool = False


def announce(task: Announced) -> None:
    """Tell child processes that are started from now on."""
    tell(json.dumps(asdict(task)))


def tell(announcement: str) -> None:
    """Hand an announcement on to child processes as it is."""
    os.environ[PROC_TASK] = announcement


def withdraw() -> None:
    """Tell them nothing any more."""
    os.environ.pop(PROC_TASK, None)


def announced() -> Announced | None:
    """Return the task of the process that started this one, if that process lives and is not this one itself.

    An agent that was started from a process with a task runs other tasks: those it names count.
    """
    try:
        found = Announced(**json.loads(os.environ[PROC_TASK]))
    except (KeyError, ValueError, TypeError):
        return None
    is_parents = found.pid != os.getpid() and os.environ.get(TASK_ID, found.task) == found.task
    return found if is_parents and is_alive(found.pid) else None


def assigned() -> Assigned | None:
    """Return the run that an agent started this process for."""
    if not (task := os.environ.get(TASK_ID)):
        return None
    run = os.environ.get(RUN, "")
    simulated = os.environ.get(SIMULATED) == task
    return Assigned(task, int(run) if run.isdigit() else 0, _spec_of(os.environ.get(SPEC_FILE)), simulated)


def runs_remotely() -> bool:
    """Return whether an agent (real or simulated) decides on parameters here."""
    return bool(os.environ.get(TASK_ID))


def wants_offline() -> bool:
    """Return whether the environment asks for offline work."""
    return os.environ.get(OFFLINE, "").lower() not in {"", "0", "false", "no"}


def simulate(task: str) -> None:
    """Behave as if an agent had started this process for the task."""
    os.environ |= {TASK_ID: task, SIMULATED: task}


def _spec_of(path: str | None) -> TaskSpec | None:
    try:
        return TaskSpec.model_validate_json(Path(path).read_bytes()) if path else None
    except (OSError, ValueError):
        return None
