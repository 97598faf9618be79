"""From the rings to the log: a thread that turns what was reported into events, and frees it once it is safe elsewhere.

The thread looks five times a second, and at once when a quarter of a ring is full; in haste, a moment after the first
point, so that what belongs together goes together. A look at an idle ring costs a microsecond; NumPy is imported, in
this thread, when there is much to drain. No fork sees it half imported.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..events.log.fork_gate import gate
from . import ring_events
from .scalar_writer import WRITING
from .warn import warn_once

if TYPE_CHECKING:
    from .journal import Journal
    from .ring import Ring
    from .ring_events import Batch
    from .spool import Receipt
    from .spool_file import Record

INTERVAL: Final = 0.2
MOMENT: Final = 0.02
"""How long, in haste, points are collected: somebody decides by them."""
STOP_SECONDS: Final = 2.0
_THOROUGH: Final = 25

Send = Callable[["Record"], "Receipt | None"]
EndOfBatch = Callable[["Ring"], int]


class RingDrain:
    """Empties one ring after the other through `send`. `end_of_batch` says how far a batch may go.

    A batch's end is noted in the ring before the first of its records is sent, and the ring advances when the last one
    is safe: whoever takes over in between sends the same batch again.
    """

    def __init__(self, send: Send, end_of_batch: EndOfBatch, seen: Callable[[Batch], object] = lambda _: None) -> None:
        self._send = send
        self._end_of_batch = end_of_batch
        self._seen = seen
        self._unsent: deque[Record] = deque()
        self._receipts: list[Receipt] = []
        self._open = False

    def step(self, ring: Ring) -> bool:
        """Bring the next batch of a ring a step further; True when a batch is done, and the ring has advanced."""
        if not self._open and not self._begin(ring):
            return False
        while self._unsent:
            receipt = self._send(self._unsent[0])
            if receipt is None:
                return False
            self._unsent.popleft()
            self._receipts.append(receipt)
        if not all(receipt.safe for receipt in self._receipts):
            return False
        ring.advance()
        self._open = False
        return True

    def _begin(self, ring: Ring) -> bool:
        if ring.state.end == ring.state.tail:
            end = self._end_of_batch(ring)
            if end == ring.state.tail:
                return False
            ring.intend(end)
        for batch in _batches(ring):
            self._seen(batch)
            self._unsent.append(batch.record)
        self._receipts = []
        self._open = True
        return True


class Drain:
    """The thread that empties a journal, now and then and when `wake` is set. `drain` may be called from any thread.

    `tick` is called after each round.
    """

    def __init__(self, journal: Journal, send: Send, wake: threading.Event, tick: Callable[[], object]) -> None:
        self._journal = journal
        self._tick = tick
        self._lock = threading.RLock()
        self._wake = wake
        self._stopped = False
        self._is_hasty = False
        self._thread: threading.Thread | None = None
        self._rings = RingDrain(send, _ready_end, self._note_step)
        self.last_steps: dict[str, int] = {}

    def start(self) -> None:
        """Start the thread, if it doesn't run and may: at the end of the interpreter it may not."""
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(target=self._run, name="tasktape-drain", daemon=True)
            with contextlib.suppress(RuntimeError):
                self._thread.start()

    def hasten(self) -> None:
        """Look a moment after the first point from now on, with all that it takes at hand."""
        self._is_hasty = True
        self._journal.hasten()

    def _run(self) -> None:
        rounds = 0
        while not self._stopped:
            if self._wake.wait(INTERVAL) and self._is_hasty and not self._stopped:
                time.sleep(MOMENT)
            self._wake.clear()
            rounds += 1
            try:
                self.drain(thorough=rounds % _THOROUGH == 0)
                self._tick()
            except Exception as error:  # noqa: BLE001  the thread outlives whatever happens in one round
                warn_once(
                    "drain", f"scalars could not be drained ({error!r}): they stay in the journal, to be tried again."
                )

    def drain(self, *, thorough: bool = True) -> bool:
        """Bring away what was reported before the call; whether all of it is safe now.

        Unless `thorough`, records behind one that is still being written are left to a later round.
        """
        with self._lock:
            return all(self._empty(ring, thorough=thorough) for ring in list(self._journal.rings))

    def _empty(self, ring: Ring, *, thorough: bool) -> bool:
        bound = ring.state.tail + ring.capacity
        while self._drain_ready(ring, bound):
            if ring.state.tail == ring.final:
                self._journal.drained(ring)
                return True
            if ring.state.tail >= bound or (ring.final is None and not (thorough and ring_events.has_more(ring))):
                return True
            if not self._journal.close_hole(ring, ring.state.tail, WRITING):
                return False
        return False

    def _drain_ready(self, ring: Ring, bound: int) -> bool:
        """Drain up to the first record that is not there; False when a batch is not safe yet.

        What was reported before this pass lies before `bound`; without it a busy writer would keep us here for ever.
        """
        while ring.state.tail < bound and ring.state.tail != ring.final and _is_waiting(ring):
            if not self._rings.step(ring):
                return False
            self._journal.drained(ring)
        return True

    def _note_step(self, batch: Batch) -> None:
        """Remember the last iteration of each task, without the machine's own curves."""
        if batch.last_step is not None:
            self.last_steps[batch.task] = max(self.last_steps.get(batch.task, 0), batch.last_step)

    def stop(self) -> None:
        """Drain a last time, and stop the thread. What can't be brought away stays in the rings."""
        self._stopped = True
        self._wake.set()
        if self._thread is not None and self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)
        self.drain()


def _is_waiting(ring: Ring) -> bool:
    return ring.committed(ring.state.tail) or ring.state.end > ring.state.tail


def _ready_end(ring: Ring) -> int:
    end = ring_events.ready_end(ring)
    return int(_arrays().ready_end(ring)) if end is None else end


def _batches(ring: Ring) -> list[Batch]:
    batches = ring_events.batch(ring)
    return list(_arrays().batch(ring)) if batches is None else batches


def _arrays() -> Any:
    with gate:
        from . import ring_arrays  # noqa: PLC0415  NumPy, in the thread that drains

    return ring_arrays
