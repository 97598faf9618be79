"""How a run ended, as the process that ran it saw it."""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..events.base import Meta
from ..events.task_events import RunCompleted, RunFailed, RunStopped
from .text import as_text
from .types import TaskStatusEnum

LONGEST_TEXT: Final = 100_000
Uninstall = Callable[[], None]
FinalEvent = RunCompleted | RunFailed | RunStopped


@dataclass(frozen=True, slots=True)
class Ending:
    """The final state of a run, and why: `status` is `completed`, `failed` or `stopped`."""

    status: TaskStatusEnum
    reason: str = ""
    message: str = ""
    traceback: str = ""
    exit_code: int | None = None
    force: bool = False

    def event(self, meta: Meta, task: str, run: int) -> FinalEvent:
        """The event that says so."""
        message = as_text(self.message[:LONGEST_TEXT])
        about = {"meta": meta, "task": task, "run": run, "message": message, "force": self.force}
        reason = as_text(self.reason[:LONGEST_TEXT])
        if self.status == TaskStatusEnum.completed:
            return RunCompleted(**about)
        if self.status == TaskStatusEnum.stopped:
            return RunStopped(**about, reason=reason)
        traceback = as_text(self.traceback[-LONGEST_TEXT:])
        return RunFailed(**about, reason=reason, traceback=traceback, exit_code=self.exit_code)


COMPLETED: Final = Ending(TaskStatusEnum.completed)


def ending_of(error: BaseException | None) -> Ending:
    """The ending of a run that left its code by `error`, or in order with None.

    `sys.exit()` and `sys.exit(0)` are in order; Ctrl-C stops the run; anything else is its failure.
    """
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return COMPLETED
    if isinstance(error, KeyboardInterrupt):
        return Ending(TaskStatusEnum.stopped, reason="interrupted")
    text = "".join(tracebacks.format_exception(error))
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 1
        return Ending(TaskStatusEnum.failed, f"exit code {code}", _printed(error.code), text, code)
    summary = "".join(tracebacks.format_exception_only(error)).strip()
    return Ending(TaskStatusEnum.failed, type(error).__name__, summary, text, 1)


def _printed(code: object) -> str:
    return "" if isinstance(code, int) else str(code)
