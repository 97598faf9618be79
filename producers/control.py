"""Requests to a run that is under way: follows `tasktape.control` and stops the process when somebody asks for it.

First the user's own abort callback, then SIGINT, so that the script leaves as by Ctrl-C; if it is still there after a
while, it is ended from here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ..events.errors import DecodeError, TasktapeError
from ..events.log.port import LogRecord, TopicPartition, partition_of
from ..events.queue_events import AbortRequested
from ..events.topics import TOPICS
from ..events.wire import read_event
from .warn import LOGGER

if TYPE_CHECKING:
    from .last_tasks import Horizon
    from .session import Session

TOPIC: Final = AbortRequested.topic
POLL_SECONDS: Final = 0.2
RETRY_SECONDS: Final = 5.0
GRACE_SECONDS: Final = 30.0

OnAbort = Callable[[str], None]


class AbortWatcher:
    """Follows the requests to one run in a thread of its own; calls `on_abort` with the reason of the first.

    It hears all that lie beyond `horizon`, which was seen before the run began. One for run 0 is for the run that is
    under way, so it is none of ours where it was said before ours began.
    """

    def __init__(self, session: Session, task: str, run: int, on_abort: OnAbort, horizon: Horizon) -> None:
        self._session = session
        self._task = task
        self._run = run
        self._on_abort = on_abort
        self._horizon = horizon
        self._began_at = datetime.now(UTC)
        self._position: int | None = None
        self._end = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="tasktape-control", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join(2 * POLL_SECONDS)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                return self._follow()
            except TasktapeError as error:
                LOGGER.debug(
                    "abort requests can't be heard until the log answers: %s", error, extra={"action": "wait_for_log"}
                )
                self._stopping.wait(RETRY_SECONDS)
        return None

    def _follow(self) -> None:
        with self._session.open_log() as log:
            log.create_topics(TOPICS)
            ends = log.end_positions([TOPIC])
            source = TopicPartition(TOPIC, partition_of(self._task, len(ends)))
            with log.read({source: self._start(source, ends[source])}) as reader:
                while not self._stopping.is_set():
                    for record in reader.poll(POLL_SECONDS):
                        if (request := self._request(record)) is not None:
                            return self._on_abort(request.reason)
                    self._position = reader.positions()[source]
        return None

    def _start(self, source: TopicPartition, end: int) -> int:
        """Where to read on, or to begin; a horizon beyond the end was another log's."""
        if self._position is None:
            seen = self._horizon.end(source)
            self._position, self._end = seen if seen <= end else 0, end
        return self._position

    def _request(self, record: LogRecord) -> AbortRequested | None:
        """The request to this run that a record is, if it is one."""
        if record.key != self._task:
            return None
        with contextlib.suppress(DecodeError):
            event = read_event(record, codec=self._session.codec)
            if isinstance(event, AbortRequested):
                is_new = record.offset >= self._end or event.meta.occurred_at >= self._began_at
                return event if event.run == self._run or (event.run == 0 and is_new) else None
        return None


class AbortCallback:
    """The user's own clean-up before a run is stopped: called in a thread, waited for no longer than `timeout` s."""

    def __init__(self, function: Callable[[], object], timeout: float) -> None:
        self._function = function
        self._timeout = timeout

    def __call__(self) -> None:
        """Call it and wait."""
        thread = threading.Thread(target=self._call, name="tasktape-abort", daemon=True)
        thread.start()
        thread.join(self._timeout)
        if thread.is_alive():
            LOGGER.warning(
                "the abort callback did not return within %g s: the run is stopped.",
                self._timeout,
                extra={"action": "abort_callback_late"},
            )

    def _call(self) -> None:
        try:
            self._function()
        except Exception:  # noqa: BLE001  the user's own code may raise anything
            LOGGER.exception(
                "the abort callback failed: the run is stopped.", extra={"action": "abort_callback_failed"}
            )


def interrupt(end: Callable[[], None], ended: threading.Event, grace: float = GRACE_SECONDS) -> None:
    """Leave this process as by Ctrl-C; if `ended` is not set within `grace` seconds, call `end` and kill it all."""
    os.kill(os.getpid(), signal.SIGINT)
    if not ended.wait(grace):
        end()
        kill_children()
        os._exit(128 + signal.SIGINT)


def kill_children() -> None:
    """Kill all processes that this one started."""
    import psutil  # noqa: PLC0415  only when a run has to be ended by force

    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.Error:
            continue
