"""Handing out delivery reports: from a thread of their own, and without letting a callback break anything."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import Final

from .port import Delivery, OnDelivery

_IDLE: Final = 1.0

_logger = logging.getLogger("tasktape.log")


def call(on_delivery: OnDelivery, delivery: Delivery) -> None:
    """Hand out a delivery report; what the callback raises is logged, since nobody else could catch it."""
    try:
        on_delivery(delivery)
    except Exception:
        _logger.exception("A delivery callback failed", extra={"action": "delivery_callback_failed"})


class Reports:
    """Hands out delivery reports in order. Its thread lives while there are any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[OnDelivery, Delivery]] = deque()
        self._open = 0
        self._thread: threading.Thread | None = None

    def put(self, on_delivery: OnDelivery, delivery: Delivery) -> None:
        """Have this report handed out soon."""
        with self._changed:
            self._waiting.append((on_delivery, delivery))
            self._open += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tasktape-log-reports", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self, timeout: float | None) -> int:
        """Wait until all reports are out; return how many are not."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open, timeout)
            return self._open

    def _run(self) -> None:
        while (waiting := self._next()) is not None:
            call(*waiting)
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    def _next(self) -> tuple[OnDelivery, Delivery] | None:
        with self._changed:
            if self._changed.wait_for(lambda: self._waiting, _IDLE):
                return self._waiting.popleft()
            self._thread = None
            return None
