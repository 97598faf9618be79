"""Keeps a projection up to date in a thread of its own, and lets others wait until it has reached a position."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .errors import ProjectionBehindError

if TYPE_CHECKING:
    from ..events.log.port import Positions
    from .projector import Projector

LOGGER: Final = logging.getLogger(__name__)
FOLLOW_SECONDS: Final = 0.2
GATHER_SECONDS: Final = 0.05
RETRY_SECONDS: Final = 1.0


class Follower:
    """Follows with a projector of its own; after a failure with a new one, from what is stored."""

    def __init__(self, new_projector: Callable[[], Projector]) -> None:
        self._new_projector = new_projector
        self._stopping = threading.Event()
        self._news = threading.Condition()
        self._reached: Positions = {}
        self._thread = threading.Thread(target=self._run, name="tasktape-projector", daemon=True)
        self._thread.start()

    def wait(self, goal: Positions, timeout: float) -> None:
        """Return when everything before these positions is in the database.

        Raises:
            ProjectionBehindError: That took longer than `timeout` seconds without any news.

        """
        with self._news:
            while not self._has_reached(goal):
                if not self._news.wait(timeout):
                    raise ProjectionBehindError(timeout)

    def stop(self) -> None:
        """Stop following; returns when the last batch is written."""
        self._stopping.set()
        self._thread.join()

    def _has_reached(self, goal: Positions) -> bool:
        return all(self._reached.get(source, 0) >= offset for source, offset in goal.items())

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except Exception as error:  # noqa: BLE001  whatever it was, following goes on from what is stored
                LOGGER.warning("the projection stumbled, and goes on: %s", error, extra={"action": "follow_failed"})
                self._stopping.wait(RETRY_SECONDS)

    def _follow(self) -> None:
        projector = self._new_projector()
        try:
            while not self._stopping.is_set():
                if projector.step(FOLLOW_SECONDS, GATHER_SECONDS) or not self._reached:
                    self._tell(projector.positions())
        finally:
            projector.close()

    def _tell(self, reached: Positions) -> None:
        with self._news:
            self._reached = reached
            self._news.notify_all()
