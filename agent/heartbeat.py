"""Heartbeats: when to send one, and what this worker may conclude from those that were acknowledged.

They never overtake each other: one is in flight at a time. The lease counts from the *sending* of the last one that was
acknowledged, because that is the earliest moment from which a watcher may count silence. Each says how long it stands
for: a worker that holds no run has little to tell, and each of its heartbeats wakes all other agents.
"""

from __future__ import annotations

from math import inf
from typing import Final

from ..events.log.pace import seconds_to_next

STOP_AFTER_INTERVALS: Final = 2
LOST_AFTER_INTERVALS: Final = 3
REST_INTERVALS: Final = 6
"""For how many intervals the heartbeat of a worker stands that holds no run."""
FORGET_AFTER: Final = 0.2
"""Seconds after a heartbeat before another one goes out only because a run is over: the next claim's often says so."""
_RETRIES_PER_INTERVAL: Final = 10


class Heartbeats:
    """One worker's heartbeats. All times are seconds of a clock that goes on while the machine sleeps.

    What they name are attempts: an entry may be claimed anew while a heartbeat for an earlier claim is in flight. Those
    that name none are sent at moments that lie whole intervals behind `phase`.
    """

    def __init__(self, interval: float, phase: float = 0.0) -> None:
        self.interval = interval
        self._phase = phase
        self._due = -inf
        self._in_flight: tuple[str, frozenset[str], float] | None = None
        self._sent_named: frozenset[str] = frozenset()
        self._sent_at = -inf
        self._acknowledged: frozenset[str] = frozenset()
        self._lease_from = inf
        self._lapses_at = inf

    def interval_with(self, attempts: frozenset[str]) -> float:
        """Seconds until the next heartbeat after one that names these attempts."""
        return self.interval if attempts else REST_INTERVALS * self.interval

    def wanted(self, attempts: frozenset[str], now: float) -> bool:
        """Whether a heartbeat is to be sent now: one is due, or there are attempts that the last one did not name.

        One that names too many is followed by another one soon.
        """
        if self._in_flight is not None:
            return False
        if attempts != self._sent_named:
            self._due = min(self._due, self._sent_at + FORGET_AFTER)
        return now >= self._due or not attempts <= self._sent_named

    def next_due(self) -> float:
        """Moment of the next heartbeat if nothing happens before; infinite while one is in flight."""
        return inf if self._in_flight is not None else self._due

    def sent(self, key: str, attempts: frozenset[str], now: float) -> None:
        """Learn that a heartbeat was sent that names the runs of these attempts.

        It may count although it is never acknowledged, so from now on the lease is no longer than it says.
        """
        interval = self.interval_with(attempts)
        self._in_flight = (key, attempts, now)
        self._sent_named, self._sent_at = attempts, now
        self._due = now + (interval if attempts else seconds_to_next(interval, now, self._phase))
        if self._lapses_at < inf:
            self._lapses_at = min(self._lapses_at, now + STOP_AFTER_INTERVALS * interval)

    def delivered(self, key: str) -> None:
        """Learn that a heartbeat was acknowledged."""
        if self._in_flight is not None and self._in_flight[0] == key:
            _, self._acknowledged, self._lease_from = self._in_flight
            self._lapses_at = self._lease_from + STOP_AFTER_INTERVALS * self.interval_with(self._acknowledged)
            self._in_flight = None

    def failed(self, key: str, now: float) -> None:
        """Learn that a heartbeat's delivery failed: a fresh one follows soon, as the old one says nothing new."""
        if self._in_flight is not None and self._in_flight[0] == key:
            self._in_flight = None
            self._due = now + self.interval / _RETRIES_PER_INTERVAL

    def acknowledged(self, attempt: str) -> bool:
        """Whether the last acknowledged heartbeat names the run of this attempt at an entry."""
        return attempt in self._acknowledged

    def age(self, now: float) -> float:
        """Seconds since the last acknowledged heartbeat was sent; infinite before the first acknowledgement."""
        return now - self._lease_from if self._lease_from < inf else inf

    def lapses_at(self) -> float:
        """Moment from which this worker must not run anything; infinite before the first acknowledgement."""
        return self._lapses_at

    def heard(self, now: float) -> bool:
        """Whether others know of this worker, and will for a while: a heartbeat was acknowledged not long ago."""
        return now <= self.lapses_at() < inf

    def lapsed(self, now: float) -> bool:
        """Whether others may soon declare this worker lost, so that what it runs has to stop."""
        return now > self.lapses_at()
