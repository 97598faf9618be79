"""The one way by which a process says things: events and scalars go in, and reach the log, now or later.

What was said is on the log or in the spool when `emit` returns, and in the journal when `report_scalar` returns:
SIGKILL loses neither. Only where the disk has no room do events wait in memory (64 MiB), and only when that is full as
well are they dropped, with a warning. A forked child says things through parts of its own, made on first use.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..events.log import lifetime as _  # noqa: F401  its exit handler closes logs: registered before ours, it runs after
from ..events.report_events import ConsoleLine, ConsoleWritten
from .console_batch import ConsoleBatcher
from .parts import Parts
from .scalar_writer import ScalarWriter
from .sync import recover
from .warn import warn_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..events.base import Event, Stamper
    from ..events.errors import RecordRefusedError
    from ..events.settings import Settings
    from .journal import Journal, Sizes

_POLL: Final = 0.02
CHILDREN_SECONDS: Final = 5.0


class Outbox:
    """Takes what a process says. No method raises or waits for a network, unless it has a timeout. Thread-safe.

    `stamp` stamps the batches of console lines. Its events, and each ring's scalars, get sessions of the outbox's, in
    which their numbers are in the order in which they are sent.
    """

    def __init__(self, settings: Settings, stamp: Stamper, sizes: Sizes | None = None) -> None:
        self._settings = settings
        self._stamp = stamp
        self._sizes = sizes
        self._lock = threading.RLock()
        self._parts: Parts | None = None
        self.is_hasty = False
        self._inherited: list[Parts] = []
        self._has_forked = False
        self._writers: dict[tuple[str, int], ScalarWriter] = {}
        self._consoles: dict[tuple[str, int], ConsoleBatcher] = {}
        self._last_steps: dict[str, int] = {}
        self._closing: int | None = None
        self._afterwards: list[Callable[[], object]] = []
        _outboxes.add(self)

    def emit(self, event: Event) -> None:
        """Say an event: it is on the log or in the spool when this returns."""
        try:
            receipt = self._open().say(event, is_ours=event.meta.session == self._stamp.session)
        except Exception as error:  # noqa: BLE001  nothing we do may break training
            warn_once(f"emit_{type(event).__name__}", f"a {type(event).__name__} could not be reported: {error!r}")
            return
        if receipt is None:
            warn_once(
                "events_dropped",
                "events are being dropped: the log does not answer, and neither disk nor memory has room for more. "
                "Free some disk space, or set TASKTAPE_HOME to another disk.",
            )

    def report_scalar(self, task: str, run: int, title: str, series: str, value: Any, step: Any = None) -> None:
        """Report a point: it is in the journal when this returns. Who reports many holds on to `scalars`."""
        self.scalars(task, run).report(title, series, value, step)

    def scalars(self, task: str, run: int) -> ScalarWriter:
        """The writer of a run's scalars: always the same one."""
        writer = self._writers.get((task, run))
        if writer is None:
            with self._lock:
                writer = self._writers.setdefault((task, run), ScalarWriter(task, run, self._journal))
        return writer

    def console(self, task: str, run: int) -> ConsoleBatcher:
        """The batcher of a run's console lines: always the same one."""
        with self._lock:
            if (task, run) not in self._consoles:
                self._consoles[task, run] = ConsoleBatcher(partial(self._emit_lines, task, run))
                self._open().drain.start()
            return self._consoles[task, run]

    def _emit_lines(self, task: str, run: int, lines: list[ConsoleLine]) -> None:
        self.emit(ConsoleWritten(meta=self._stamp(), task=task, run=run, lines=lines))

    def hasten(self) -> None:
        """Bring scalars to the log as soon as they are reported, a moment apart: somebody decides by them."""
        with self._lock:
            self.is_hasty = True
            if self._parts is not None:
                self._parts.hasten()

    def last_step(self, task: str) -> int:
        """The largest iteration of the task's scalars that has left the journal; 0 where there is none.

        Without the curves of the machine, whose titles begin with `:monitor:`.
        """
        steps = self._parts.drain.last_steps if self._parts is not None else {}
        return max(self._last_steps.get(task, 0), steps.get(task, 0))

    def drained_step(self, task: str) -> int:
        """The largest iteration of all scalars of the task that were reported here before the call."""
        if self._parts is not None:
            self._parts.drain.drain()
        return self.last_step(task)

    def _journal(self) -> Journal:
        return self._open().journal()

    def _open(self) -> Parts:
        with self._lock:
            if self._parts is None:
                self._parts = Parts(self._settings, self._stamp.actor, self._tick, self._sizes)
                if self.is_hasty:
                    self._parts.hasten()
                _close_at_end_of_worker(self)
            return self._parts

    def _tick(self) -> None:
        for console in list(self._consoles.values()):
            console.tick()

    def flush(self, timeout: float = 10.0) -> bool:
        """Bring what was said before the call to the log or into the spool; whether all of it is there in time."""
        for console in list(self._consoles.values()):
            console.flush()
        return self._wait(lambda parts: parts.flush(), timeout)

    def synced(self, timeout: float = 10.0, *, insists: bool = True) -> bool:
        """Bring what was said before the call to the log, so that every reader sees it; whether that came to pass.

        Who does not insist waits no longer than the log seems to be there.
        """
        began = time.monotonic()
        if not self.flush(timeout):
            return False
        left = max(0.0, began + timeout - time.monotonic())
        return self._parts is None or self._parts.sender.synced(left, insists=insists)

    @property
    def refusal(self) -> RecordRefusedError | None:
        """Why the log refused for good something that was said since the outbox was opened, if it did."""
        return None if self._parts is None else self._parts.sender.refusal

    def _wait(self, done: Callable[[Parts], bool], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while (parts := self._parts) is not None and not done(parts):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)
        return True

    def close(self, timeout: float | None = None) -> None:
        """Bring to the log what `timeout` seconds allow (None: as set), and leave the rest in the spool.

        What is said afterwards opens the outbox anew.
        """
        self._closing = threading.get_ident()
        try:
            self._close(self._settings.close_timeout if timeout is None else timeout)
        finally:
            self._closing = None
            while self._afterwards:
                self._afterwards.pop()()

    def after_close(self, work: Callable[[], object]) -> bool:
        """Do something once the close is over that a signal has interrupted; False where it interrupted none.

        A signal's handler must not wait for what the thread holds that it runs in.
        """
        if self._closing != threading.get_ident():
            return False
        self._afterwards.append(work)
        return True

    def _close(self, timeout: float) -> None:
        for console in list(self._consoles.values()):
            console.flush()
        with self._lock:
            parts, self._parts = self._parts, None
            self._unbind()
        if parts is not None:
            self._last_steps |= parts.drain.last_steps
            is_all_there = parts.close(timeout)
            if self._has_forked and is_all_there:
                self._look_after_children()

    def _unbind(self) -> None:
        for writer in self._writers.values():
            writer.unbind()

    def _look_after_children(self) -> None:
        """Bring to the log what forked children left that ended without ceremony, as workers of a pool do."""
        deadline = time.monotonic() + CHILDREN_SECONDS
        with contextlib.suppress(Exception):  # the log is away: it was said, and the next process tries again
            recover(self._settings, stop=lambda: time.monotonic() > deadline)

    def forked(self, *, child: bool) -> None:
        """Take note of a fork. In the child, start afresh: locks may be held there by threads that don't exist."""
        if not child:
            self._has_forked = True
            return
        self._lock = threading.RLock()
        self._consoles = {}
        self._unbind()
        if self._parts is not None:
            self._parts.abandon()
            self._inherited.append(self._parts)
            self._parts = None


_outboxes: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _forked(*, child: bool) -> None:
    for outbox in list(_outboxes):
        outbox.forked(child=child)


os.register_at_fork(after_in_parent=partial(_forked, child=False), after_in_child=partial(_forked, child=True))


@atexit.register
def _close_all() -> None:
    for outbox in list(_outboxes):
        outbox.close()


def _close_at_end_of_worker(outbox: Outbox) -> None:
    """Close with a process of `multiprocessing`, which ends without the interpreter's own last steps."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize  # noqa: PLC0415  only in such a process, where it is loaded

        Finalize(None, outbox.close, exitpriority=0)
