"""What pages draw that is heavy: made anew when what it shows has changed, and then not all the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")
_COST: Final = 10
"""What is heavy is made anew for a tenth of the time at most."""


class Latest(Generic[T]):
    """The last thing made, and of what; one that `is_heavy` stays for a while. For any thread."""

    def __init__(self, is_heavy: Callable[[T], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._is_heavy = is_heavy
        self._clock = clock
        self._lock = threading.Lock()
        self._of: object = None
        self._made: T | None = None
        self._again_at = 0.0

    def get(self, of: object, make: Callable[[], T]) -> T:
        """Return what was made of this, or of what came before where that was a moment ago."""
        with self._lock:
            if self._made is None or (of != self._of and self._clock() >= self._again_at):
                began = self._clock()
                self._made, self._of = make(), of
                now = self._clock()
                self._again_at = now + _COST * (now - began) if self._is_heavy(self._made) else now
            return self._made
