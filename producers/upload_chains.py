"""Which upload is to be tried next: uploads with one key in order, one that failed again after a growing pause."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from .upload_spool import Waiting

LONGEST_PAUSE: Final = 60.0


@dataclass
class Chain:
    """Uploads with one key, in order. `due` is when the first may be tried, in seconds of the monotonic clock."""

    uploads: deque[Waiting] = field(default_factory=deque)
    failures: int = 0
    due: float = 0.0
    is_busy: bool = False


class Chains:
    """A queue that any number of threads may fill and empty. `lock` guards what hangs together with it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._chains: dict[str, Chain] = {}
        self._changed = threading.Condition(threading.RLock())
        self.lock = self._changed
        self.is_closed = False

    def __len__(self) -> int:
        return len(self._chains)

    def __contains__(self, key: str) -> bool:
        return key in self._chains

    def __iter__(self) -> Iterator[Waiting]:
        with self._changed:
            return iter([waiting for chain in self._chains.values() for waiting in chain.uploads])

    def add(self, uploads: Iterable[Waiting]) -> None:
        """Queue uploads; a closed queue opens again."""
        with self._changed:
            self.is_closed = False
            for waiting in uploads:
                self._chains.setdefault(waiting.note.key, Chain()).uploads.append(waiting)
            self._changed.notify_all()

    def take(self) -> Chain | None:
        """Wait for a chain whose first upload may be tried, and mark it busy; None once the queue is closed."""
        with self._changed:
            while not self.is_closed:
                chain = min((c for c in self._chains.values() if not c.is_busy), key=lambda c: c.due, default=None)
                pause = None if chain is None else chain.due - self._clock()
                if chain is not None and pause is not None and pause <= 0:
                    chain.is_busy = True
                    return chain
                self._changed.wait(pause)
        return None

    def done(self, chain: Chain) -> None:
        """Note that a chain's first upload is done; the next one may be tried at once."""
        with self._changed:
            chain.is_busy, chain.failures, chain.due = False, 0, 0.0
            key = chain.uploads.popleft().note.key
            if not chain.uploads and self._chains.get(key) is chain:
                del self._chains[key]
            self._changed.notify_all()

    def failed(self, chain: Chain) -> None:
        """Note that a chain's first upload did not go: it is tried after 1, 2, 4 … at most 60 seconds."""
        with self._changed:
            chain.is_busy = False
            chain.due = self._clock() + min(LONGEST_PAUSE, 2.0**chain.failures)
            chain.failures += 1
            self._changed.notify_all()

    def wait(self, timeout: float | None) -> bool:
        """Wait until all is done, or all that is left has failed and is to be tried again; whether all is done."""
        deadline = None if timeout is None else self._clock() + timeout
        with self._changed:
            while any(not chain.failures for chain in self._chains.values()):
                left = None if deadline is None else deadline - self._clock()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
            return not self._chains

    def close(self) -> list[Waiting]:
        """End all `take`s and return what was not done."""
        with self._changed:
            left = list(self)
            self._chains.clear()
            self.is_closed = True
            self._changed.notify_all()
            return left
