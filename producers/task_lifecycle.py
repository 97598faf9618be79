"""From start to end of a task's runs: its states, how this process ends the run it has, and what is left of a task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from ..events.errors import TasktapeError
from ..events.queue_events import AbortRequested
from ..events.task_events import (
    RunStarted,
    TaskArchived,
    TaskPublished,
    TaskReset,
    TaskUnarchived,
)
from . import lineage
from .ending import COMPLETED, Ending, ending_of
from .errors import InvalidTransitionError, TooLateError
from .execution import Execution
from .session import process
from .task_artifacts import ArtifactsMixin
from .task_editing import EditingMixin
from .types import TaskStatusEnum as Status
from .warn import LOGGER, warn_once

SETTLE_SECONDS: Final = 10.0
FLUSH_SECONDS: Final = 10.0
SYNC_SECONDS: Final = 2.0
_MAY_COME_FROM: Final[dict[str, frozenset[str]]] = {
    Status.created: frozenset({Status.created, Status.queued, Status.stopped, Status.failed, Status.completed}),
    Status.in_progress: frozenset({Status.created, Status.queued, Status.stopped, Status.completed}),
    Status.completed: frozenset({Status.in_progress, Status.stopped}),
    Status.failed: frozenset({Status.in_progress, Status.stopped}),
    Status.stopped: frozenset({Status.in_progress, Status.queued, Status.failed}),
    Status.published: frozenset({Status.completed, Status.stopped, Status.failed}),
}
"""For each state, those from which a task may come to it without `force`."""


class LifecycleMixin(EditingMixin, ArtifactsMixin):
    """States of a task. A change its present state does not allow raises `InvalidTransitionError`, unless forced."""

    @property
    def status(self) -> str:
        """The task's state, read afresh."""
        return self.get_status()

    def get_status(self) -> str:
        """Return the task's state: `created`, `queued`, `in_progress`, `stopped`, `completed`, `failed`, `published`.

        The state of a task that this process runs is known here; any other is read.
        """
        return self._status if self._live else self._latest_status()

    def get_status_message(self) -> str | None:
        """Return what was said about the last change of state."""
        return self._fresh_row().status_message or None

    def mark_started(self, force: bool = False) -> None:
        """Start the task's next run by hand; nothing happens if it runs already. Earlier outputs stay visible."""
        row = self._fresh_row()
        if row.status == Status.in_progress:
            return
        self._require(Status.in_progress, "started", force=force)
        self._run = row.last_run + 1
        self._logger = None
        self._emit(
            RunStarted(
                meta=self._session.stamp(), task=self._id, run=self._run, continues=row.last_run > 0, force=force
            )
        )

    def mark_stopped(self, force: bool = False, status_message: str | None = None) -> None:
        """Say that the run is over because somebody stopped it. The process that runs it is not asked to stop."""
        self._mark(Ending(Status.stopped, reason="stopped by user", message=status_message or "", force=force))

    def mark_completed(
        self, ignore_errors: bool = True, status_message: str | None = None, force: bool = False
    ) -> None:
        """Say that the run ended well."""
        ending = Ending(Status.completed, message=status_message or "", force=force)
        with _ignored(ignore_errors):
            self._mark(ending)

    def mark_failed(
        self,
        ignore_errors: bool = True,
        status_reason: str | None = None,
        status_message: str | None = None,
        force: bool = False,
    ) -> None:
        """Say that the run ended badly, and why."""
        ending = Ending(Status.failed, reason=status_reason or "", message=status_message or "", force=force)
        with _ignored(ignore_errors):
            self._mark(ending)

    def mark_stop_request(self, force: bool = False, status_message: str | None = None) -> None:
        """Ask whoever runs the task, or has claimed it, to stop it; one that only waits in a queue leaves the queue.

        Raises:
            InvalidTransitionError: It neither runs nor waits.

        """
        row = self._fresh_row()
        if row.status == Status.queued:
            if self._left_queue(status_message or "abort requested"):
                return
        elif row.status != Status.in_progress and not force:
            raise InvalidTransitionError(self._id, row.status, "stopped")
        self._emit(
            AbortRequested(
                meta=self._session.stamp(), task=self._id, run=row.run, reason=status_message or "abort requested"
            )
        )

    def started(self, ignore_errors: bool = True, force: bool = False) -> None:
        """Start the task's next run: `mark_started` under its former name."""
        with _ignored(ignore_errors):
            self.mark_started(force=force)

    def completed(self, ignore_errors: bool = True) -> None:
        """Say that the run ended well: `mark_completed` under its former name."""
        self.mark_completed(ignore_errors=ignore_errors)

    def stopped(
        self,
        ignore_errors: bool = True,
        force: bool = False,
        status_reason: str | None = None,
        status_message: str | None = None,
    ) -> None:
        """Say that somebody stopped the run: `mark_stopped` under its former name."""
        with _ignored(ignore_errors):
            self.mark_stopped(force=force, status_message=status_message or status_reason)

    def stop_request(self, ignore_errors: bool = True, force: bool = False, status_message: str | None = None) -> None:
        """Ask whoever runs the task to stop it: `mark_stop_request` under its former name."""
        with _ignored(ignore_errors):
            self.mark_stop_request(force=force, status_message=status_message)

    def publish(self, ignore_errors: bool = True) -> None:
        """Make the task final and read-only."""
        with _ignored(ignore_errors):
            self._require(Status.published, "published")
            self._emit(TaskPublished(meta=self._session.stamp(), task=self._id))
            self._status = Status.published

    def publish_on_completion(self, enable: bool = True) -> None:
        """Publish the task when this process's run ends well."""
        if self._execution is not None:
            self._execution.publishes = enable

    def reset(self, set_started_on_success: bool = False, force: bool = False) -> None:
        """Make the task a draft again: outputs of its runs are hidden, its history stays.

        Args:
            set_started_on_success: Start its next run at once.
            force: Even while it runs, or when it is published.

        Raises:
            InvalidTransitionError: It runs or is published, and `force` is not set.

        """
        self._require(Status.created, "reset", force=force)
        last_run = self.run if self._live else self._fresh_row().last_run
        self._emit(TaskReset(meta=self._session.stamp(), task=self._id, run=last_run, force=force))
        self._status = Status.created
        if set_started_on_success:
            self.mark_started()

    def set_archived(self, archive: bool) -> None:
        """Put the task out of sight, or back."""
        self._emit((TaskArchived if archive else TaskUnarchived)(meta=self._session.stamp(), task=self._id))

    def get_archived(self) -> bool:
        """Return whether the task is out of sight."""
        return self._fresh_row().archived

    def flush(self, wait_for_uploads: bool = False) -> bool:
        """Deliver what was reported so far; returns whether all of it is on the log or in the spool.

        Args:
            wait_for_uploads: Wait for artifacts and models on their way, too.

        """
        if wait_for_uploads:
            self._wait_for_uploads()
        return self._session.outbox.flush(FLUSH_SECONDS)

    def close(self) -> None:
        """End the run well and let go of this process: after it, `Task.init` may begin another task.

        In a child process, and for a task this process does not run, what was reported is delivered, no more.
        """
        if self.is_main_task():
            self.end(COMPLETED)
        else:
            self.flush(wait_for_uploads=True)

    def end(self, ending: Ending) -> None:
        """End this process's part in the run: say how it ended, undo what was installed, deliver everything."""
        with process.lock:
            execution = self._execution
            if execution is None or not self.is_main_task():
                return
            process.task = None
        execution.undo()
        if execution.is_owner:
            self._settle(SETTLE_SECONDS)
            execution.tidied.wait(SETTLE_SECONDS)
            self._wait_for_uploads()
            self._say_end(execution, execution.abort or ending)
            if execution.run_file is not None:
                execution.run_file.remove()
            lineage.withdraw()
        self._execution = None
        on_log = self._session.outbox.synced(SYNC_SECONDS, insists=False)
        if self._before is not None and execution.is_owner:
            self._before.release(on_log=on_log)
        execution.ended.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(ending_of(error))

    def _say_end(self, execution: Execution, ending: Ending) -> None:
        """Say how the run ended, where that is this process's business; an agent says itself that all went well.

        Who reads the end on the log finds there all that the run has reported, so that comes first.
        """
        if self._status != Status.in_progress:
            return
        self._session.outbox.flush(FLUSH_SECONDS)
        publishes = execution.publishes and ending.status == Status.completed
        if execution.says_end or publishes or ending.status == Status.failed:
            self._say(ending)
        if publishes:
            self.publish()

    def _say(self, ending: Ending) -> None:
        self._status = ending.status
        self._emit(ending.event(self._session.stamp(), self._id, self.run))

    def _mark(self, ending: Ending) -> None:
        """Say a final event on request."""
        if self._live:
            self.flush(wait_for_uploads=True)
            if self._status == Status.in_progress or ending.force:
                self._say(ending)
            return
        row = self._fresh_row()
        if row.status == Status.queued and ending.status == Status.stopped:
            self._leave_queue(ending.message or ending.reason)
            return
        self._require(ending.status, str(ending.status), force=ending.force)
        self._run = row.run
        self._say(replace(ending, force=ending.force or row.status != Status.in_progress))

    def _require(self, status: Status, change: str, *, force: bool = False) -> None:
        """Raise `InvalidTransitionError` unless the present state may become `status`."""
        before = self._status if self._live else self._fresh_row().status
        if not force and before not in _MAY_COME_FROM[status]:
            raise InvalidTransitionError(self._id, before, change)

    def _latest_status(self) -> str:
        """The state as read; as last known here where the log does not answer."""
        try:
            return self._fresh_row().status
        except TasktapeError as error:
            if self._status == Status.unknown:
                raise
            warn_once("status_not_read", f"the task's state can't be read now, its last known one is used: {error}")
            return self._status

    def _left_queue(self, reason: str) -> bool:
        """Leave the queue; False where an agent was faster."""
        try:
            self._leave_queue(reason)
        except TooLateError as error:
            if not error.worker:
                raise
            return False
        return True

    def _leave_queue(self, reason: str) -> None:
        raise NotImplementedError


@contextlib.contextmanager
def _ignored(ignore: bool) -> Iterator[None]:
    """Turn errors into a warning where ClearML's `ignore_errors` says so."""
    try:
        yield
    except TasktapeError as error:
        if not ignore:
            raise
        LOGGER.warning("%s", error, extra={"action": "error_ignored"})
