"""How a process's records reach the log: straight where the log is on this machine, else by way of the spool.

Straight: a record is on the log when `send` returns. When the log does not take it (busy, full, read-only, away), the
process turns to its spool, and a thread brings that to the log as soon as it answers; once the spool is empty, records
go straight again. Records of one key keep their order through all of it. A record in doubt is sent again as it was:
readers tell such repeats by its event's session and seq.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..events.errors import LogUnavailableError, RecordRefusedError
from .forward import Forwarder, open_forwarder
from .spool import Receipt, Spool
from .warn import LOGGER, forget, warn_once

if TYPE_CHECKING:
    from ..events.settings import Settings
    from .spool_file import Record

STRAIGHT_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 3.0
PATIENCE_SECONDS: Final = 1.5
"""How long a log may be silent before a process that ends waits for it no longer."""

LAST_CHANCE_SECONDS: Final = 0.3
"""How long it waits all the same: the silence may be ours, when the program has kept all threads from running."""

CLOSE_SECONDS: Final = 1.0
_PAUSES: Final = (0.25, 0.5, 1.0, 2.0, 5.0)
_LOOK_AROUND: Final = 0.2


class Sender:
    """Sends the records of one process, in the order of the calls. Thread-safe; not to be shared with a forked child.

    `refused` is the folder for what the log refuses for good. Who holds `in_order` has the next calls for itself.
    """

    def __init__(self, settings: Settings, spool: Spool, refused: Path) -> None:
        self._settings = settings
        self._spool = spool
        self._refused = refused
        self._is_local = not settings.log.startswith("kafka://") and not settings.schema_registry
        self._straight = self._is_local
        self.in_order = threading.RLock()
        self._guard = threading.RLock()  # taken by itself, as in `Journal`
        self._changed = threading.Condition(self._guard)
        self._opening = threading.Lock()
        self._forwarder: Forwarder | None = None
        self._thread: threading.Thread | None = None
        self._is_away = False
        self._asked_at = self._awaited_at = math.inf
        self._stopped = False

    def send(self, record: Record) -> Receipt | None:
        """Take a record; None where there is no room for it at all. Waits a second for a local log, never for another.

        The receipt is safe when the record is on the log or in a file of the spool.
        """
        with self.in_order:
            if self._straight and self._append(record):
                return Receipt(safe=True)
            self._straight = False
            receipt = self._spool.append(record)
            self._asked_at = min(self._asked_at, time.monotonic())
        self._wake()
        return receipt

    def _append(self, record: Record) -> bool:
        try:
            self._open().append(record, STRAIGHT_SECONDS)
        except Exception as error:  # noqa: BLE001  whatever keeps the log from taking it, the spool takes it
            self._note_away(error)
            return False
        return True

    def _open(self) -> Forwarder:
        """The way to the log, opened on first use. Raises whatever keeps it from opening."""
        with self._opening:
            if self._forwarder is None:
                self._forwarder = open_forwarder(self._settings, self._refused, self._note_answer)
            return self._forwarder

    def _wake(self) -> None:
        with self._guard:
            if self._thread is None and not self._stopped:
                thread = threading.Thread(target=self._run, name="tasktape-forwarder", daemon=True)
                with contextlib.suppress(RuntimeError):  # the interpreter is going down: the spool keeps it
                    thread.start()
                    self._thread = thread
            self._changed.notify_all()

    def _run(self) -> None:
        failures = 0
        while not self._stopped:
            try:
                failures = 0 if self._forward() else failures
            except Exception as error:  # noqa: BLE001  whatever it is, the spool keeps the records, and it is tried again
                if self._stopped:
                    return
                self._note_away(error)
                self._pause(_PAUSES[min(failures, len(_PAUSES) - 1)])
                self._spool.settle()
                failures += 1

    def _forward(self) -> bool:
        """Bring a batch to the log, or wait for one."""
        if self._has_nothing():
            with self._guard:
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopped or self._spool)
            return False
        delivered = self._open().forward(self._spool, self._gives_up)
        if delivered:
            self._note_answer()
        return bool(delivered)

    def _has_nothing(self) -> bool:
        """Whether the spool is empty; then a local log is appended to straight again."""
        with self.in_order:
            empty = not self._spool
            self._straight = self._is_local and empty
            if empty:
                self._asked_at = self._awaited_at = math.inf
            return empty

    def _gives_up(self, silence: float) -> bool:
        self._asked_at = time.monotonic() - silence
        if silence > SILENCE_SECONDS:
            self._note_away(LogUnavailableError(self._settings.log, f"nothing heard for {SILENCE_SECONDS:g} s"))
        return self._stopped

    def _pause(self, seconds: float) -> None:
        with self._guard:
            self._changed.wait_for(lambda: self._stopped, seconds)

    def _note_away(self, reason: Exception) -> None:
        self._is_away = True
        keeps = f"Work goes on: what is reported waits in {self._refused.parent}, and goes to the log by itself later."
        warn_once("log_away", f"{str(reason) or type(reason).__name__} {keeps}")

    def _note_answer(self) -> None:
        self._asked_at, self._awaited_at = time.monotonic(), math.inf
        if self._is_away:
            LOGGER.info("the log %s answers again.", self._settings.log, extra={"action": "log_answers"})
            forget("log_away")
        self._is_away = False
        with self._guard:
            self._changed.notify_all()

    @property
    def refusal(self) -> RecordRefusedError | None:
        """Why the log refused a record for good, if it did."""
        return None if self._forwarder is None else self._forwarder.refusal

    def settled(self) -> bool:
        """Whether everything is on the log or in a file."""
        return self._spool.settle() or not self._spool

    def synced(self, timeout: float, *, insists: bool = True) -> bool:
        """Wait until everything is on the log; False when it is not within `timeout` seconds.

        Who does not insist waits no longer than the log seems to be there: it has been silent for `PATIENCE_SECONDS`.
        """
        deadline = time.monotonic() + timeout
        with self._guard:
            while self._spool and (left := min(deadline, self._until(insists)) - time.monotonic()) > 0:
                self._changed.wait(min(left, _LOOK_AROUND))
            return not self._spool

    def _until(self, insists: bool) -> float:
        """Until when, on the monotonic clock, it makes sense to wait for the log, as things are now."""
        if insists:
            return math.inf
        self._awaited_at = min(self._awaited_at, time.monotonic())
        return max(self._asked_at + PATIENCE_SECONDS, self._awaited_at + LAST_CHANCE_SECONDS)

    def finish(self, timeout: float) -> bool:
        """Bring to the log what `timeout` seconds and its silence allow, and stop; whether everything is there."""
        reached = self.synced(timeout, insists=False)
        with self._guard:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS if reached else 2 * _LOOK_AROUND)
        if self._forwarder is not None:
            self._forwarder.close(CLOSE_SECONDS if reached else 0.0)
        return not self._spool
