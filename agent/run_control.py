"""One run of this worker from the valid claim to its end: what may happen when, and which event says how it ended.

Pure: preparation, process and clean-up are the workshop's; this decides when each begins, and what follows.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from typing import Final, Literal

from ..events.task_events import RunCompleted, RunFailed, RunPreempted, RunStopped
from .claiming import Pursuit

PREEMPTED: Final = "preempted"
DISK_FULL: Final = "disk full"
CONTROLLERS: Final = frozenset({"controller", "optimizer"})
"""Types of tasks that fold their own events, so that another run goes on where one ended."""

_KILLED: Final = frozenset({-signal.SIGKILL, 128 + signal.SIGKILL})
FinalEvent = RunCompleted | RunFailed | RunPreempted | RunStopped


class Phase(Enum):
    """How far a run is on this machine."""

    PREPARING = auto()
    READY = auto()
    RUNNING = auto()
    ENDED = auto()
    CLOSING = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a run can't begin: its environment or its code can't be had here."""

    reason: str
    message: str
    cause: Literal["task", "infrastructure"]


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run is stopped from outside: somebody's request, or this worker's own circumstances."""

    kind: Literal["aborted", "preempted", "cut off", "over", "time limit"]
    message: str = ""


@dataclass(slots=True)
class RunControl:
    """The run of one pursuit. `begun` says that its start is valid, `exit_code` is negative for a signal's number.

    `circumstance` is what else is known of the program's end. User code has to end at `deadline` at the latest.
    `patient` says that the program may finish its abort callback before it is stopped. `next` is the id of the event
    that enqueues the next run, empty where none follows, None until that is decided.
    """

    pursuit: Pursuit
    phase: Phase = Phase.PREPARING
    begun: bool = False
    trouble: Trouble | None = None
    stop: Stop | None = None
    exit_code: int | None = None
    circumstance: str = ""
    deadline: float = inf
    patient: bool = False
    next: str | None = None

    @property
    def task(self) -> str:
        """The task's id."""
        return self.pursuit.entry.task

    @property
    def run(self) -> int:
        """The run's number."""
        return self.pursuit.entry.run

    def prepared(self, trouble: Trouble | None) -> None:
        """Learn that the preparation is over."""
        if self.phase is Phase.PREPARING:
            self.trouble, self.phase = trouble, Phase.READY

    def launched(self, now: float) -> None:
        """Learn that user code starts."""
        limit = self.pursuit.request.spec.time_limit
        self.phase, self.deadline = Phase.RUNNING, now + limit if limit > 0 else inf

    def exited(self, code: int, circumstance: str = "") -> None:
        """Learn that the process is over."""
        self.exit_code, self.circumstance, self.phase = code, circumstance, Phase.ENDED

    def request_stop(self, stop: Stop) -> bool:
        """Take note that the run is to stop; returns whether that is news."""
        if self.stop is not None or self.phase in {Phase.ENDED, Phase.CLOSING, Phase.CLOSED}:
            return False
        self.stop = stop
        return True

    @property
    def may_launch(self) -> bool:
        """Whether nothing stands against starting user code, as far as this run itself is concerned."""
        return self.begun and self.phase is Phase.READY and self.trouble is None and self.stop is None

    @property
    def is_over_here(self) -> bool:
        """Whether nothing of it runs on this machine any more, or ever will, so that its end can be said."""
        before = self.phase in {Phase.PREPARING, Phase.READY}
        return self.phase is Phase.ENDED or (self.begun and before and bool(self.stop or self.trouble))

    def final_event(self) -> FinalEvent | None:
        """Return the event that says how the run ended; None where the log has said it already."""
        if self.stop is not None:
            return self._stopped(self.stop)
        about = {"meta": self.pursuit.stamp(), "task": self.task, "run": self.run}
        if self.trouble is not None:
            trouble = self.trouble
            return RunFailed(**about, reason=trouble.reason, message=trouble.message, cause=trouble.cause)
        if self.exit_code == 0:
            return RunCompleted(**about)
        said = describe_exit(self.exit_code or 0)
        reason, message = (self.circumstance, said) if self.circumstance else (said, "")
        return RunFailed(**about, reason=reason, message=message, exit_code=self.exit_code, cause=self._cause())

    def _cause(self) -> Literal["task", "infrastructure"]:
        """Whose failure it is. A controller that was killed has not failed itself: its next run goes on."""
        is_killed = self.exit_code in _KILLED and self.pursuit.request.spec.task_type in CONTROLLERS
        return "infrastructure" if is_killed or self.circumstance == DISK_FULL else "task"

    def _stopped(self, stop: Stop) -> FinalEvent | None:
        if stop.kind == "over":
            return None
        about = {"meta": self.pursuit.stamp(), "task": self.task, "run": self.run}
        if stop.kind == PREEMPTED:
            return RunPreempted(**about, worker=self.pursuit.entry.worker, reason=stop.message)
        if stop.kind == "aborted":
            return RunStopped(**about, reason="aborted", message=stop.message)
        cause = "infrastructure" if stop.kind == "cut off" else "task"
        return RunFailed(**about, reason=stop.kind, message=stop.message, cause=cause)


def describe_exit(code: int) -> str:
    """An exit code in words: negative ones are numbers of signals."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
