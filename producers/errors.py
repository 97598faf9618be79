"""What a script can do wrong with the SDK; each error is also the kind of error that ClearML raises there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ..events.errors import TasktapeError

_LISTED: Final = 5


class UsageError(TasktapeError, RuntimeError):
    """A call that makes no sense at this point of the script."""


class InvalidArgumentError(TasktapeError, ValueError):
    """An argument that can't be used."""


class UnknownTaskError(TasktapeError, ValueError):
    """No task has this id."""

    def __init__(self, task_id: str) -> None:
        super().__init__(
            f"there is no task {task_id!r} on this log: check the id, and whether TASKTAPE_LOG names the right log.",
        )
        self.task_id = task_id


class UnknownQueueError(TasktapeError, ValueError):
    """No queue has this name."""

    def __init__(self, queue: str, existing: Iterable[str]) -> None:
        self.queue = queue
        self.existing = sorted(existing)
        listed = ", ".join(map(repr, self.existing)) or "none yet"
        super().__init__(
            f"there is no queue {queue!r} (queues: {listed}): create it with `tasktape queues create {queue}`.",
        )


class NotEnqueuedError(TasktapeError, ValueError):
    """The task waits in no queue."""

    def __init__(self, task_id: str, change: str) -> None:
        super().__init__(f"task {task_id} waits in no queue, so it can't be {change}: enqueue it first.")
        self.task_id = task_id


class TooLateError(TasktapeError, ValueError):
    """The entry is not there any more as one has seen it. `worker` is set where an agent was faster."""

    def __init__(self, task_id: str, change: str, reason: str, worker: str = "") -> None:
        hint = f" To stop it: `tasktape tasks abort {task_id}`." if worker else ""
        super().__init__(f"task {task_id} can't be {change}: {reason}.{hint}")
        self.task_id = task_id
        self.worker = worker


class QueueExistsError(TasktapeError, ValueError):
    """There is a queue of this name already."""

    def __init__(self, queue: str) -> None:
        super().__init__(f"there is a queue {queue!r} already.")
        self.queue = queue


class QueueNotEmptyError(TasktapeError, ValueError):
    """Something waits in the queue, or is claimed and not started yet."""

    def __init__(self, queue: str, tasks: Sequence[str], *, claimed: bool = False) -> None:
        count = "1 task waits" if len(tasks) == 1 else f"{len(tasks)} tasks wait"
        listed = ", ".join(tasks[:_LISTED]) + (" …" if len(tasks) > _LISTED else "")
        dequeue = "Move them to another queue, or delete it with --force (force=True), which dequeues them."
        hint = "Agents have claimed them: try again in a moment." if claimed else dequeue
        super().__init__(f"{count} in queue {queue!r}: {listed}. {hint}")
        self.queue = queue
        self.tasks = tuple(tasks)


class InvalidTransitionError(TasktapeError, ValueError):
    """The task's present state does not allow the change."""

    def __init__(self, task_id: str, status: str, change: str) -> None:
        super().__init__(f"task {task_id} is {status} and can't be {change}: reset or clone it, or pass force=True.")
        self.task_id = task_id
        self.status = status
        self.change = change


class WaitedForStatusError(TasktapeError, RuntimeError):
    """The task one waited for came to a state one did not want."""

    def __init__(self, task_id: str, status: str) -> None:
        super().__init__(f"task {task_id} has status {status}: see its console and status message for the reason.")
        self.task_id = task_id
        self.status = status
