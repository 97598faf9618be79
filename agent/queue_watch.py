"""Membership in the consumer groups of queues and of workers: what this agent owns, and what it commits as owner."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Final

from ..events.errors import LogClosedError, NotAllowedError, TasktapeError
from ..events.groups import WATCHERS, agents_group
from ..events.log.port import Log, Positions
from ..events.queue_events import queue_topic
from ..events.worker_events import WorkerEvent

LOGGER = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 1.0
_LOOK_AT_REST_SECONDS: Final = 2.0
_RESTS_AFTER: Final = 5.0
"""Seconds after the last change to what is owned from which on the group counts as settled."""


class Membership:
    """One membership, held for as long as the agent lives, busy or not; used by a thread of its own once started."""

    def __init__(self, log: Log, group: str, topic: str) -> None:
        self._topic = topic
        self._member = log.join(group, [topic])
        self._owned: frozenset[int] = frozenset()
        self._changed = threading.Condition()
        self._news: Positions = {}
        self._closing = False
        self._changed_at = time.monotonic()
        self._trouble = ""
        self._thread = threading.Thread(target=self._run, name=f"tasktape-group-{group}", daemon=True)

    def committed(self, sources: Positions) -> Positions:
        """Return, for each of these partitions, the committed position, else the one given. Before the start only."""
        return sources | self._member.committed(sources)

    def start(self) -> None:
        """Begin to look after the membership."""
        self._thread.start()

    def owned(self) -> frozenset[int]:
        """Return the partitions this agent owned a moment ago: that decides who claims first, never who wins."""
        return self._owned

    def commit(self, positions: Positions) -> None:
        """Commit positions soon; later ones replace those that wait."""
        with self._changed:
            if not self._news:
                self._changed.notify_all()
            self._news |= positions

    def close(self) -> None:
        """Commit what waits and leave the group."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()
        with contextlib.suppress(TasktapeError):
            self._member.close()

    def _run(self) -> None:
        closing = False
        while not closing:
            news, closing = self._next()
            try:
                if news:
                    self._member.commit(news)
                self._look()
            except LogClosedError:
                return
            except TasktapeError as error:
                self._warn(str(error))

    def _look(self) -> None:
        owned = frozenset(source.partition for source in self._member.owned())
        if owned != self._owned:
            self._owned, self._changed_at = owned, time.monotonic()

    def _warn(self, trouble: str) -> None:
        """Say what is wrong with the group, unless that was the last thing said."""
        if trouble != self._trouble:
            LOGGER.warning(
                "group of %s: %s", self._topic, trouble, extra={"action": "group_failed", "topic": self._topic}
            )
        self._trouble = trouble

    def _pause(self) -> float:
        """Seconds until the next look at what is owned: few while partitions are being shared out."""
        is_settled = time.monotonic() - self._changed_at > _RESTS_AFTER
        return _LOOK_AT_REST_SECONDS if is_settled else _LOOK_SECONDS

    def _next(self) -> tuple[Positions, bool]:
        """Wait for a moment, or until closed; return what is to be committed, and whether that is the last.

        Where something is to be committed, more of it gathers for a moment.
        """
        with self._changed:
            if self._changed.wait_for(lambda: self._closing or self._news, self._pause()):
                self._changed.wait_for(lambda: self._closing, _LOOK_SECONDS)
            news, self._news = self._news, {}
            return news, self._closing


def queue_membership(log: Log, queue: str) -> Membership:
    """Join the agents of a queue."""
    return Membership(log, agents_group(queue), queue_topic(queue))


def watchers_membership(log: Log) -> Membership | None:
    """Join the watchers of all workers; None where the access rules keep this agent to its own queues."""
    with contextlib.ExitStack() as stack:
        membership = stack.enter_context(contextlib.closing(Membership(log, WATCHERS, WorkerEvent.topic)))
        try:
            membership.committed(log.start_positions([WorkerEvent.topic]))
        except NotAllowedError as error:
            LOGGER.warning("this agent watches no other workers: %s", error, extra={"action": "watch_nobody"})
            return None
        stack.pop_all()
    return membership
