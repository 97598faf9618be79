"""Waiting for a task's state, and being told when somebody asks the run in this process to stop."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from ..events.errors import LogUnavailableError, TasktapeError
from ..events.topics import TOPICS
from . import abort_note, replay
from .control import AbortCallback, AbortWatcher, interrupt
from .ending import Ending
from .errors import InvalidArgumentError, WaitedForStatusError
from .last_tasks import Horizon
from .task_lifecycle import LifecycleMixin
from .types import TaskStatusEnum as Status
from .warn import LOGGER, warn_once

if TYPE_CHECKING:
    from ..events.log.port import Reader

ABORTED: Final = "aborted"
POLL_SECONDS: Final = 1.0
"""A long wait in a log's own code would keep Ctrl-C waiting."""


class WaitingMixin(LifecycleMixin):
    """`wait_for_status`, and aborts."""

    def wait_for_status(
        self,
        status: Iterable[str] = (Status.completed, Status.stopped, Status.closed),
        raise_on_status: Iterable[str] | None = (Status.failed,),
        check_interval_sec: float = 60.0,
    ) -> None:
        """Wait until the task has one of these states.

        The log is followed, so the wait ends within moments of the change; a published task counts as completed.

        Args:
            status: States to wait for.
            raise_on_status: States to raise an error for.
            check_interval_sec: Look at the latest after so many seconds.

        Raises:
            WaitedForStatusError: The task came to one of `raise_on_status`; also a `RuntimeError`.

        """
        wanted, unwanted = {str(one) for one in status}, {str(one) for one in raise_on_status or ()}
        with contextlib.ExitStack() as stack:
            reader = self._follow_task(stack)
            while (now := self._status_now()) not in wanted | unwanted:
                if now == Status.published and Status.completed in wanted:
                    break
                _wait_for_record(reader, self._id, check_interval_sec)
        if now in unwanted:
            raise WaitedForStatusError(self._id, now)
        self.reload()

    def register_abort_callback(
        self, callback_function: Callable[[], object] | None, callback_execution_timeout: float = 30.0
    ) -> None:
        """Call a function when somebody else asks this run to stop, before it is stopped. Ctrl-C does not count.

        Args:
            callback_function: Called without arguments from another thread; None for none any more.
            callback_execution_timeout: How many seconds to wait for it before the run is stopped.

        Raises:
            InvalidArgumentError: The timeout is not positive, or this process does not run the task.

        """
        if self._execution is None or not self._execution.is_owner:
            raise InvalidArgumentError("an abort callback is for the process that runs the task, and for no other.")
        if callback_execution_timeout <= 0:
            raise InvalidArgumentError(f"the timeout is to be positive, not {callback_execution_timeout}.")
        if callback_function is None:
            self._abort_callback = None
            abort_note.withdraw()
            return
        self._abort_callback = AbortCallback(callback_function, callback_execution_timeout)
        abort_note.announce(callback_execution_timeout)
        self._watch_for_aborts()

    def _watch_for_aborts(self) -> None:
        """Follow requests to this run, once."""
        if self._watcher is None and self._execution is not None:
            horizon = Horizon(self._session.settings) if self._before is None else self._before.horizon
            self._watcher = AbortWatcher(self._session, self._id, self.run, self._abort, horizon)
            self._execution.uninstalls.append(self._watcher.stop)
            self._watcher.start()

    def _abort(self, reason: str) -> None:
        """Stop as somebody asked: the callback, then (unless an agent sees to it) an interrupt of the script."""
        execution = self._execution
        if execution is None:
            return
        LOGGER.warning(
            "the run is asked to stop: %s",
            reason or "no reason given",
            extra={"action": "asked_to_stop", "task": self._id, "run": self.run},
        )
        if self._abort_callback is not None:
            self._abort_callback()
            abort_note.withdraw()
        if execution.says_end:
            execution.abort = Ending(Status.stopped, ABORTED, reason)
            interrupt(lambda: self.end(Ending(Status.stopped, ABORTED, reason)), execution.ended)

    def _status_now(self) -> str:
        """The state, `unknown` while the log does not answer: whoever waits goes on waiting."""
        try:
            return self.get_status()
        except LogUnavailableError as error:
            warn_once("status_not_read", f"the task's state can't be read until the log answers: {error}")
            return Status.unknown

    def _follow_task(self, stack: contextlib.ExitStack) -> Reader | None:
        """A reader of what happens to the task from now on; None while the log does not answer."""
        try:
            log = stack.enter_context(self._session.open_log())
            log.create_topics(TOPICS)
            source = replay.partition(log, self._id)
            return stack.enter_context(log.read({source: log.end_positions([replay.TOPIC])[source]}))
        except TasktapeError as error:
            warn_once("status_not_followed", f"the log can't be followed, so states are seen late: {error}")
            return None


def _wait_for_record(reader: Reader | None, task: str, seconds: float) -> None:
    """Return when something was said about the task, at the latest after `seconds`."""
    if reader is None:
        threading.Event().wait(seconds)
        return
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if any(record.key == task for record in reader.poll(min(left, POLL_SECONDS))):
            return
