"""Queues from a task's point of view: into one, out of one, how much waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from ..events.errors import LogUnavailableError, NotAllowedError
from ..events.queue_events import EntryEnqueued, entry_id
from ..projections.queue_order import Spot
from .errors import InvalidArgumentError, InvalidTransitionError, UnknownQueueError, UnknownTaskError
from .queues import ALWAYS_THERE, ANYWHERE, Wanted, dequeue_task, existing_queues, require_queue
from .session import current_session
from .task_editing import OWN
from .task_results import ResultsMixin
from .types import TaskStatusEnum as Status
from .warn import warn_once

if TYPE_CHECKING:
    from ..projections.query import Queries

_ENQUEUABLE: Final = frozenset({Status.created, Status.stopped, Status.failed})


class QueuesMixin(ResultsMixin):
    """A queue's id is its name."""

    @classmethod
    def enqueue(
        cls,
        task: Any,
        queue_name: str | None = None,
        queue_id: str | None = None,
        force: bool = False,
        *,
        priority: int | None = None,
        front: bool = False,
    ) -> dict[str, Any]:
        """Put a task into a queue, for an agent to run.

        Args:
            task: The task or its id.
            queue_name: The queue; `default` and `services` are created when they are used first.
            queue_id: The queue's id, which is its name.
            force: Reset the task first where its state does not allow it.
            priority: Those of higher priority are run first; 0 by default.
            front: Put it before all others; with a `priority`, before those of that priority.

        Returns:
            `{"queued": 1, "updated": 1, "fields": {...}}`, with the task's state and queue in `fields`.

        Raises:
            UnknownQueueError: There is no such queue; also a `ValueError`.
            InvalidTransitionError: The task runs, waits already, is completed or published, and `force` is not set.
            TooLateError: It waits already and was to leave that queue by force, but an agent has claimed it.

        """
        queue = _named(queue_name, queue_id)
        cls._given(task)._enqueue(queue, force=force, wanted=Wanted(front=front, priority=priority))
        fields = {"status": str(Status.queued), "execution.queue": queue}
        return {"queued": 1, "updated": 1, "fields": fields}

    @classmethod
    def dequeue(cls, task: Any) -> dict[str, Any]:
        """Take a task out of the queue it waits in.

        Args:
            task: The task or its id.

        Raises:
            NotEnqueuedError: It waits in none; also a `ValueError`.
            TooLateError: An agent has claimed it meanwhile, and nothing has happened; also a `ValueError`.

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
                existing = existing_queues(queries)
        except LogUnavailableError:
            return
        require_queue(session, queue, existing)

    @classmethod
    def _given(cls, task: Any) -> Self:
        if isinstance(task, str):
            return cls._by_id(task)
        if not isinstance(task, cls):
            raise InvalidArgumentError(f"a task or its id is wanted, not a {type(task).__name__}.")
        return task

    def _enqueue(self, queue: str, *, force: bool = False, wanted: Wanted = ANYWHERE) -> None:
        self._settle()
        plan = self._prepare(queue, wanted)
        if plan.status not in _ENQUEUABLE:
            if not force:
                raise InvalidTransitionError(self._id, plan.status, "enqueued")
            if plan.status == Status.queued:
                self._leave_queue("enqueued elsewhere")
            self.reset(force=True)
        self.set_system_tags([tag for tag in self.get_system_tags() if tag != OWN])
        run = plan.last_run + 1
        self._emit(
            EntryEnqueued(
                meta=self._session.stamp(),
                task=self._id,
                queue=queue,
                entry=entry_id(queue, self._id, run),
                run=run,
                rank=plan.spot.rank,
                priority=plan.spot.priority,
                spec=self._spec,
            )
        )
        self._run = run

    def _prepare(self, queue: str, wanted: Wanted) -> _Plan:
        """Make sure the queue is there; returns the task's status, its highest run, and where it is to stand.

        While the log is away nobody can say which queues there are: the entry of a task that this process knows waits
        in the spool with everything else, unless it is to go before others.
        """
        try:
            with self._session.queries() as queries:
                existing, row = existing_queues(queries), queries.task(self._id)
                spot = _spot(queries, queue, wanted)
            require_queue(self._session, queue, existing)
        except NotAllowedError:
            raise
        except LogUnavailableError as error:
            if self._run is None or self._status == Status.unknown or wanted.front:
                raise
            warn_once("queue_not_checked", f"the task is enqueued in {queue!r} once the log answers: {error}")
            return _Plan(self._status, self._run, Spot(wanted.priority or 0, None))
        if row is None:
            raise UnknownTaskError(self._id)
        return _Plan(row.status, row.last_run, spot)

    def _leave_queue(self, reason: str) -> None:
        dequeue_task(self._id, reason)
        self._known_row = None


class _Plan(NamedTuple):
    status: str
    last_run: int
    spot: Spot


def _spot(queries: Queries, queue: str, wanted: Wanted) -> Spot:
    return wanted.spots(queries.entries(queue) if wanted.front else (), Spot(0, None))[0]


def _named(queue_name: str | None, queue_id: str | None) -> str:
    if bool(queue_name) == bool(queue_id):
        raise InvalidArgumentError("name the queue: give queue_name, or queue_id.")
    return str(queue_name or queue_id)
