"""Events of concurrency limits, on `tasktape.queues`: its one partition puts all of them into one order.

A scope is `queue:NAME`, `user:NAME` or `tag:NAME`. Where a scope is limited, a run needs a permit before it is claimed.
"""

from __future__ import annotations

from typing import ClassVar

from .base import Event, TaskEvent
from .queue_events import QueueEvent


class LimitSet(Event):
    """At most `running` runs of the scope may be under way at once, whichever agents run them; None lifts the limit."""

    topic: ClassVar[str] = QueueEvent.topic

    scope: str
    running: int | None = None
    reason: str = ""

    @property
    def key(self) -> str:
        """The scope."""
        return self.scope


class PermitEvent(TaskEvent):
    """An event about the permit of one run."""

    topic: ClassVar[str] = QueueEvent.topic

    run: int
    worker: str


class PermitClaimed(PermitEvent):
    """A worker wants to claim the entry; valid while each limited scope has room or counts the run already.

    The event's id is the permit's. `scopes` are all the run belongs to, limited or not.
    """

    entry: str
    scopes: list[str]


class PermitReleased(PermitEvent):
    """The permit (id of the event that claimed it) is free: its run is over or never began, or its worker is gone."""

    permit: str
    reason: str = ""
