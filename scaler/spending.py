"""Hours of machines within a sliding period, kept as machines come and go rather than summed up over all there were."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Moments:
    """Moments within the period, their sum, and how many there were before it."""

    recent: deque[float] = field(default_factory=deque)
    total: float = 0.0
    before: int = 0

    def add(self, at: float) -> None:
        self.recent.append(max(at, self.recent[-1]) if self.recent else at)
        self.total += self.recent[-1]

    def until(self, now: float, period: float) -> float:
        """Seconds that have passed since each moment, at most the period each."""
        while self.recent and self.recent[0] <= now - period:
            self.total -= self.recent.popleft()
            self.before += 1
        return self.before * period + len(self.recent) * now - self.total


class Spending:
    """Each machine counts from when it began to when it was over. Told in the log's order, in seconds."""

    def __init__(self, period_hours: float) -> None:
        self._period = 3600.0 * period_hours
        self._begun = _Moments()
        self._over = _Moments()

    def begin(self, at: float) -> None:
        """A machine was asked for, or adopted."""
        self._begun.add(at)

    def end(self, at: float) -> None:
        """A machine is over."""
        self._over.add(at)

    def hours(self, now: float) -> float:
        """Hours of all machines within the period before this moment."""
        return max(0.0, self._begun.until(now, self._period) - self._over.until(now, self._period)) / 3600.0
