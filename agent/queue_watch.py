"""Membership in consumer groups, such as those of queues: what this process owns, and what it commits as owner.

One thread looks after all of them: each thread that wakes up costs an idle agent more than what it does.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Final

from ..events.errors import LogClosedError, TasktapeError
from ..events.groups import agents_group
from ..events.log.pace import BRISK, Pace, until_next
from ..events.log.port import Log, Member, Positions
from ..events.queue_events import queue_topic

LOGGER = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 1.0
_RESTS_AFTER: Final = 5.0
"""Seconds after the last change to what is owned from which on groups count as settled."""


class Membership:
    """One membership, held while the agent lives, busy or not. `changed` wakes the thread that looks after it.

    `beginning` is, for each of the topic's partitions, what was committed when it joined, else the partition's start.
    """

    def __init__(self, member: Member, topic: str, changed: threading.Condition, starts: Positions) -> None:
        self.beginning = starts | member.committed(starts)
        self._member = member
        self._topic = topic
        self._changed = changed
        self._owned: frozenset[int] = frozenset()
        self._trouble = ""
        self.changed_at = time.monotonic()
        self.news: Positions = {}

    def owned(self) -> frozenset[int]:
        """Return the partitions this agent owned a moment ago: that decides who claims first, never who wins."""
        return self._owned

    def commit(self, positions: Positions) -> None:
        """Commit positions soon; later ones replace those that wait."""
        with self._changed:
            if not self.news:
                self._changed.notify_all()
            self.news |= positions

    def attend(self) -> None:
        """Commit what waits, and look what is owned."""
        with self._changed:
            news, self.news = self.news, {}
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
            self._owned, self.changed_at = owned, time.monotonic()

    def _warn(self, trouble: str) -> None:
        """Say what is wrong with the group, unless that was the last thing said."""
        if trouble != self._trouble:
            LOGGER.warning(
                "group of %s: %s", self._topic, trouble, extra={"action": "group_failed", "topic": self._topic}
            )
        self._trouble = trouble

    def leave(self) -> None:
        """Leave the group."""
        with contextlib.suppress(TasktapeError):
            self._member.close()


class Memberships:
    """All memberships of a process, used by a thread of its own once started."""

    def __init__(self, log: Log, pace: Pace = BRISK) -> None:
        self._log = log
        self._pace = pace
        self._all: list[Membership] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="tasktape-groups", daemon=True)

    def join(self, group: str, topic: str) -> Membership:
        """Join a group for a topic. Raises `NotAllowedError` where the access rules keep us out."""
        with contextlib.ExitStack() as stack:
            member = stack.enter_context(contextlib.closing(self._log.join(group, [topic])))
            membership = Membership(member, topic, self._changed, self._log.start_positions([topic]))
            stack.pop_all()
        self._all.append(membership)
        return membership

    def join_queue(self, queue: str) -> Membership:
        """Join the agents of a queue."""
        return self.join(agents_group(queue), queue_topic(queue))

    def start(self) -> None:
        """Begin to look after them."""
        self._thread.start()

    def close(self) -> None:
        """Commit what waits and leave the groups."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()
        for membership in self._all:
            membership.leave()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._wait()
            for membership in self._all:
                membership.attend()

    def _wait(self) -> bool:
        """Wait for a moment, or until closed; whether that is so.

        Where something is to be committed, more of it gathers for a moment.
        """
        with self._changed:
            if self._changed.wait_for(lambda: self._closing or self._has_news(), self._pause()):
                self._changed.wait_for(lambda: self._closing, _LOOK_SECONDS)
            return self._closing

    def _has_news(self) -> bool:
        return any(membership.news for membership in self._all)

    def _pause(self) -> float:
        """Seconds until the next look at what is owned: few while partitions are being shared out."""
        changed_at = max((membership.changed_at for membership in self._all), default=0.0)
        is_settled = time.monotonic() - changed_at > _RESTS_AFTER
        return until_next(self._pace.look) if is_settled else _LOOK_SECONDS
