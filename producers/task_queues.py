"""Queues from a task's point of view: into one, out of one, how much waits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from ..events.errors import LogUnavailableError, NotAllowedError
from ..events.queue_events import EntryDequeued, EntryEnqueued, QueueCreated, entry_id
from ..events.task_events import EntryLeft
from ..events.topics import TOPICS, queue_spec
from .errors import InvalidArgumentError, InvalidTransitionError, NotEnqueuedError, UnknownQueueError, UnknownTaskError
from .session import Session, current_session
from .task_editing import OWN
from .task_results import ResultsMixin
from .types import TaskStatusEnum as Status
from .warn import warn_once

if TYPE_CHECKING:
    from ..projections.rows import EntryRow

ALWAYS_THERE: Final = ("default", "services")
"""Queues that are created on first use, as every ClearML server has them."""

_WAITING: Final = frozenset({"waiting", "claimed"})
_ENQUEUABLE: Final = frozenset({Status.created, Status.stopped, Status.failed})


class QueuesMixin(ResultsMixin):
    """A queue's id is its name."""

    @classmethod
    def enqueue(
        cls, task: Any, queue_name: str | None = None, queue_id: str | None = None, force: bool = False
    ) -> dict[str, Any]:
        """Put a task into a queue, for an agent to run.

        Args:
            task: The task or its id.
            queue_name: The queue; `default` and `services` are created when they are used first.
            queue_id: The queue's id, which is its name.
            force: Reset the task first where its state does not allow it.

        Returns:
            `{"queued": 1, "updated": 1, "fields": {...}}`, with the task's state and queue in `fields`.

        Raises:
            UnknownQueueError: There is no such queue; also a `ValueError`.
            InvalidTransitionError: The task runs, waits already, is completed or published, and `force` is not set.

        """
        queue = _named(queue_name, queue_id)
        cls._given(task)._enqueue(queue, force=force)
        fields = {"status": str(Status.queued), "execution.queue": queue}
        return {"queued": 1, "updated": 1, "fields": fields}

    @classmethod
    def dequeue(cls, task: Any) -> dict[str, Any]:
        """Take a task out of the queue it waits in.

        Args:
            task: The task or its id.

        Raises:
            NotEnqueuedError: It waits in none; also a `ValueError`.

        """
        cls._given(task)._leave_queue("dequeued by user")
        return {"dequeued": 1, "updated": 1, "fields": {"status": str(Status.created), "execution.queue": None}}

    @classmethod
    def get_num_enqueued_tasks(cls, queue_name: str | None = None, queue_id: str | None = None) -> int:
        """Return how many tasks wait in a queue.

        Raises:
            UnknownQueueError: There is no such queue; also a `ValueError`.

        """
        queue = _named(queue_name, queue_id)
        with current_session().queries() as queries:
            found = {row.name: row for row in queries.queues()}
        if queue not in found and queue not in ALWAYS_THERE:
            raise UnknownQueueError(queue, found)
        return found[queue].waiting + found[queue].claimed if queue in found else 0

    @staticmethod
    def _require_queue(queue: str) -> None:
        """Raise `UnknownQueueError` where there is no such queue; create it where it is one that is always there."""
        session = current_session()
        try:
            with session.queries() as queries:
                existing = [known.name for known in queries.queues()]
        except LogUnavailableError:
            return
        _require_queue(session, queue, existing)

    @classmethod
    def _given(cls, task: Any) -> Self:
        if isinstance(task, str):
            return cls._by_id(task)
        if not isinstance(task, cls):
            raise InvalidArgumentError(f"a task or its id is wanted, not a {type(task).__name__}.")
        return task

    def _enqueue(self, queue: str, *, force: bool = False) -> None:
        self._settle()
        status, last_run = self._prepare(queue)
        if status not in _ENQUEUABLE:
            if not force:
                raise InvalidTransitionError(self._id, status, "enqueued")
            if status == Status.queued:
                self._leave_queue("enqueued elsewhere")
            self.reset(force=True)
        self.set_system_tags([tag for tag in self.get_system_tags() if tag != OWN])
        run = last_run + 1
        self._emit(
            EntryEnqueued(
                meta=self._session.stamp(),
                task=self._id,
                queue=queue,
                entry=entry_id(queue, self._id, run),
                run=run,
                spec=self._spec,
            )
        )
        self._run = run

    def _prepare(self, queue: str) -> tuple[str, int]:
        """Make sure the queue is there; returns the task's status and highest run.

        While the log is away nobody can say which queues there are: the entry of a task that this process knows waits
        in the spool with everything else.
        """
        try:
            with self._session.queries() as queries:
                existing, row = [known.name for known in queries.queues()], queries.task(self._id)
            _require_queue(self._session, queue, existing)
        except NotAllowedError:
            raise
        except LogUnavailableError as error:
            if self._run is None or self._status == Status.unknown:
                raise
            warn_once("queue_not_checked", f"the task is enqueued in {queue!r} once the log answers: {error}")
            return self._status, self._run
        if row is None:
            raise UnknownTaskError(self._id)
        return row.status, row.last_run

    def _leave_queue(self, reason: str) -> None:
        """Withdraw the task's entry, and note in the task's own partition that a start from it is void."""
        entry = self._waiting_entry()
        about: Mapping[str, Any] = {"task": self._id, "entry": entry.id, "run": entry.run, "reason": reason}
        self._emit(EntryDequeued(meta=self._session.stamp(), queue=entry.queue, **about))
        self._emit(EntryLeft(meta=self._session.stamp(), **about))

    def _waiting_entry(self) -> EntryRow:
        with self._session.queries() as queries:
            entries = queries.task_entries(self._id)
        waiting = [entry for entry in entries if entry.state in _WAITING]
        if not waiting:
            raise NotEnqueuedError(self._id)
        return waiting[-1]


def _named(queue_name: str | None, queue_id: str | None) -> str:
    if bool(queue_name) == bool(queue_id):
        raise InvalidArgumentError("name the queue: give queue_name, or queue_id.")
    return str(queue_name or queue_id)


def _require_queue(session: Session, queue: str, existing: Collection[str]) -> None:
    """Make sure the queue is there and its topic can be used; one that is always there is created on first use."""
    if queue not in existing and queue not in ALWAYS_THERE:
        raise UnknownQueueError(queue, {*existing, *ALWAYS_THERE})
    with session.open_log() as log:
        log.create_topics([*TOPICS, queue_spec(queue)])
    if queue not in existing:
        session.emit(QueueCreated(meta=session.stamp(), queue=queue))
