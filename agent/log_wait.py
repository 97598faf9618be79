"""An agent's patience with a log that is away while it starts: machines start agents while a cluster restarts, too.

What the agent cannot begin without is asked for again, after pauses that grow. What waiting does not mend (settings,
rights) ends the agent at once, and an absence that is longer than any restart does in the end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, TypeVar

from ..events.errors import LogSettingsError, LogUnavailableError, NotAllowedError

LOGGER = logging.getLogger(__name__)
LIMIT_SECONDS: Final = 300.0
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 15.0
_LASTING: Final = (LogSettingsError, NotAllowedError)
T = TypeVar("T")


class LogWait:
    """Asks the log until it answers: for `limit` seconds from now on in all, however often it is called."""

    def __init__(
        self,
        limit: float = LIMIT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._until = clock() + limit

    def __call__(self, ask: Callable[[], T]) -> T:
        """Return the log's answer. Raises what `ask` raises where waiting does not help, or has not helped."""
        pause = FIRST_PAUSE
        while True:
            try:
                return ask()
            except LogUnavailableError as error:
                left = self._until - self._clock()
                if isinstance(error, _LASTING) or left <= 0:
                    raise
                LOGGER.warning("asking again, for up to %.0f s: %s", left, error, extra={"action": "wait_for_log"})
            self._sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)
