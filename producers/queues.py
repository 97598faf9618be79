"""Queues and what waits in them, changed by people and scripts: each change is an event, whoever it comes from.

What a change to an entry has come to is read back from the log before these functions return (see `queue_desk`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..events.queue_events import QueueCreated, QueueDeleted, QueueEvent, QueuePaused, QueueResumed
from ..events.topics import TOPICS, queue_spec
from ..projections.queue_order import Spot, back, front, spots
from .errors import (
    InvalidArgumentError,
    NotEnqueuedError,
    QueueExistsError,
    QueueNotEmptyError,
    TooLateError,
    UnknownQueueError,
)
from .queue_desk import Answer, deliver, desk
from .session import Session, current_session
from .types import TaskStatusEnum as Status

if TYPE_CHECKING:
    from ..events.log.port import Log
    from ..projections.query import Queries
    from ..projections.queue_fold import Entry
    from ..projections.rows import TaskRow
    from ..projections.work_rows import EntryRow

ALWAYS_THERE: Final = ("default", "services")
"""Queues that are created on first use, as every ClearML server has them."""

_WAITING: Final = frozenset({"waiting", "claimed"})


class Cleared(NamedTuple):
    """Tasks that are out of a queue, and those that agents had claimed before."""

    dequeued: tuple[str, ...]
    claimed: tuple[str, ...]


def create_queue(queue: str) -> None:
    """Create a queue. Raises `QueueExistsError` where there is one of this name."""
    session = current_session()
    if queue in _existing(session):
        raise QueueExistsError(queue)
    _say(session, QueueCreated(meta=session.stamp(), queue=queue))


def delete_queue(queue: str, *, force: bool = False, reason: str = "") -> tuple[str, ...]:
    """Delete a queue; its history stays on the log. Returns the tasks that were dequeued for that.

    Args:
        queue: The queue's name.
        force: Dequeue what waits in it first.
        reason: Why; kept for audit.

    Raises:
        UnknownQueueError: There is no such queue.
        QueueNotEmptyError: Something waits in it and `force` is not set, or agents have claimed something.

    """
    session = current_session()
    _require_known(session, queue)
    dequeued = clear_queue(queue, reason or "the queue is deleted").dequeued if force else ()
    if waiting := _entries(session, queue):
        raise QueueNotEmptyError(queue, [entry.task for entry in waiting], claimed=force)
    _say(session, QueueDeleted(meta=session.stamp(), queue=queue, reason=reason))
    return dequeued


def pause_queue(queue: str, reason: str = "") -> None:
    """Let agents claim nothing from the queue until it is resumed. Raises `UnknownQueueError`."""
    session = current_session()
    require_queue(session, queue, _existing(session))
    _say(session, QueuePaused(meta=session.stamp(), queue=queue, reason=reason))


def resume_queue(queue: str) -> None:
    """Let agents claim from the queue again. Raises `UnknownQueueError`."""
    session = current_session()
    require_queue(session, queue, _existing(session))
    _say(session, QueueResumed(meta=session.stamp(), queue=queue))


def clear_queue(queue: str, reason: str = "") -> Cleared:
    """Dequeue all that waits in a queue. Raises `UnknownQueueError`."""
    session = current_session()
    _require_known(session, queue)
    entries = _entries(session, queue)
    answers = _dequeue(session, queue, entries, reason or "the queue is cleared") if entries else []
    done = tuple(entry.task for entry, answer in zip(entries, answers, strict=True) if answer.verdict.accepted)
    claimed = tuple(answer.entry.task for answer in answers if answer.entry.state in {"claimed", "taken"})
    return Cleared(done, claimed)


def dequeue_task(task_id: str, reason: str) -> None:
    """Take a task out of the queue it waits in.

    Raises:
        NotEnqueuedError: It waits in none, and does not run either.
        TooLateError: An agent has claimed it, or somebody else has changed it meanwhile. Then nothing has happened.

    """
    session = current_session()
    with session.queries() as queries:
        entry = _waiting_entry(queries, task_id, "dequeued")
    (answer,) = _dequeue(session, entry.queue, [entry], reason)
    _require_accepted(answer, "dequeued")


def move_entry(
    task: Any,
    *,
    to_queue: str = "",
    front: bool = False,
    back: bool = False,
    position: int | None = None,
    priority: int | None = None,
    reason: str = "",
) -> str:
    """Move a waiting task to another place of its queue, or to another queue; returns the queue it is in then.

    Args:
        task: The task or its id.
        to_queue: The queue to move it to; its own by default.
        front: Before all others; with a `priority`, before those of that priority.
        back: Behind all others, or those of that priority.
        position: At this place, counted from 1. It gets a neighbour's priority where its own does not fit there.
        priority: Its new priority.
        reason: Why; kept for audit.

    Raises:
        InvalidArgumentError: These arguments name no place, or more than one.
        NotEnqueuedError: The task waits in no queue.
        UnknownQueueError: There is no such queue.
        TooLateError: An agent has claimed it, or somebody else has changed it meanwhile. Then nothing has happened.

    """
    wanted = Wanted(front=front, back=back, position=position, priority=priority)
    session = current_session()
    with session.queries() as queries:
        entry = _waiting_entry(queries, getattr(task, "id", task), "moved")
        target = to_queue or entry.queue
        wanted.check(elsewhere=target != entry.queue)
        known = existing_queues(queries)
        rows = [row for row in queries.entries(target) if row.id != entry.id]
    if target != entry.queue:
        require_queue(session, target, known)
    _require_accepted(_move(session, entry, target, rows, wanted, reason), "moved")
    return target


def require_queue(session: Session, queue: str, existing: Collection[str]) -> None:
    """Make sure the queue is there and its topic can be used; one that is always there is created on first use."""
    if queue not in existing and queue not in ALWAYS_THERE:
        raise UnknownQueueError(queue, {*existing, *ALWAYS_THERE})
    with session.open_log() as log:
        log.create_topics([*TOPICS, queue_spec(queue)])
    if queue not in existing:
        session.emit(QueueCreated(meta=session.stamp(), queue=queue))


@dataclass(frozen=True)
class Wanted:
    """Where an entry is to go within a queue."""

    front: bool = False
    back: bool = False
    position: int | None = None
    priority: int | None = None

    def check(self, *, elsewhere: bool) -> None:
        """Raise `InvalidArgumentError` unless this is one place."""
        places = [self.front, self.back, self.position is not None]
        if not any([*places, elsewhere, self.priority is not None]):
            raise InvalidArgumentError("say where to move it: front, back, a position, another queue, or a priority.")
        if sum(places) > 1:
            raise InvalidArgumentError("front, back and position exclude each other: give one of them.")
        if self.position is not None and (self.position < 1 or self.priority is not None):
            raise InvalidArgumentError("a position counts from 1, and says by itself which priority is needed.")

    def index(self, rows: Sequence[EntryRow]) -> int | None:
        """Index among the other entries; None for wherever rank and priority lead."""
        if self.position is not None:
            return min(self.position - 1, len(rows))
        if self.front:
            return front(rows, self.priority)
        return back(rows, self.priority) if self.back else None

    def spots(self, rows: Sequence[EntryRow], own: Spot) -> list[Spot]:
        """What orders an entry that has `own` now, and what orders the entries at its place that give way."""
        own = own if self.priority is None else own._replace(priority=self.priority)
        index = self.index(rows)
        return [own] if index is None else spots(rows, index, own)


ANYWHERE: Final = Wanted()


def _move(
    session: Session, entry: EntryRow, target: str, rows: Sequence[EntryRow], wanted: Wanted, reason: str
) -> Answer:
    elsewhere = target != entry.queue
    spot, *given_way = wanted.spots(rows, Spot(entry.priority, None if elsewhere else entry.rank))
    with session.open_log() as log:
        if given_way:
            index = wanted.index(rows) or 0
            _make_room(session, log, target, rows[index : index + len(given_way)], given_way)
        with desk(session, log, entry.queue, [entry]) as at:
            to_queue = target if elsewhere else ""
            return at.move(entry, rank=spot.rank, priority=spot.priority, to_queue=to_queue, reason=reason)


def _make_room(session: Session, log: Log, queue: str, rows: Sequence[EntryRow], given: Sequence[Spot]) -> None:
    """Move entries on, the last one first, so that they keep their order whatever stops this."""
    with desk(session, log, queue, rows) as at:
        for row, spot in reversed(list(zip(rows, given, strict=True))):
            at.move(row, rank=spot.rank, priority=spot.priority, reason="gives way")


def _dequeue(session: Session, queue: str, entries: Sequence[EntryRow], reason: str) -> list[Answer]:
    with session.open_log() as log, desk(session, log, queue, entries) as at:
        return at.dequeue(entries, reason)


def _require_accepted(answer: Answer, change: str) -> None:
    if not answer.verdict.accepted:
        raise _too_late(answer.entry, change)


def _too_late(entry: Entry, change: str) -> TooLateError:
    if entry.state == "dequeued":
        return TooLateError(entry.task, change, "somebody else has dequeued it")
    if entry.state == "moved":
        return TooLateError(entry.task, change, f"somebody else has moved it to queue {entry.moved_to!r}")
    worker = entry.worker or "an agent"
    return TooLateError(entry.task, change, f"{worker} has claimed it", worker)


def _waiting_entry(queries: Queries, task_id: str, change: str) -> EntryRow:
    """The entry of the task that waits, or is claimed and not taken."""
    entries = queries.task_entries(task_id)
    if waiting := [entry for entry in entries if entry.state in _WAITING]:
        return waiting[-1]
    last = entries[-1] if entries else None
    if last is not None and last.state == "moved":
        raise TooLateError(task_id, change, f"it is on its way to queue {last.moved_to!r}; try again in a moment")
    if last is not None and last.state == "taken" and _runs(queries.task(task_id)):
        raise TooLateError(task_id, change, f"{last.worker} has taken it", last.worker)
    raise NotEnqueuedError(task_id, change)


def _runs(task: TaskRow | None) -> bool:
    return task is not None and task.status in {Status.queued, Status.in_progress}


def existing_queues(queries: Queries) -> list[str]:
    """Names of the queues that are not deleted."""
    return [row.name for row in queries.queues() if not row.deleted]


def _existing(session: Session) -> list[str]:
    with session.queries() as queries:
        return existing_queues(queries)


def _require_known(session: Session, queue: str) -> None:
    """Raise `UnknownQueueError` unless there is such a queue, be it a deleted one in which something waits."""
    with session.queries() as queries:
        known = [row.name for row in queries.queues()]
    if queue not in known:
        raise UnknownQueueError(queue, known)


def _entries(session: Session, queue: str) -> list[EntryRow]:
    with session.queries() as queries:
        return queries.entries(queue)


def _say(session: Session, event: QueueEvent) -> None:
    with session.open_log() as log:
        log.create_topics([*TOPICS, queue_spec(event.queue)])
        deliver(log, session.codec, [event])
