"""What processes that died on this machine have left: an agent brings it on, as the next task would.

A machine may have agents and no other task for a long time. Nothing here holds up the agent itself.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from ..events.errors import TasktapeError
from ..events.log.pace import until_next
from ..producers.sync import sync
from ..producers.warn import forget, warn_once

if TYPE_CHECKING:
    from ..events.settings import Settings

LOGGER = logging.getLogger(__name__)
PERIOD: Final = 60.0


class Leftovers:
    """Looks now and then, in a thread, while it can have `recovery`: what a run left comes before its end."""

    def __init__(self, settings: Settings, recovery: threading.Lock) -> None:
        self._settings = settings
        self._recovery = recovery
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="tasktape-leftovers", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._recovery:
                    brought = sync(self._settings, stop=self._stopping.is_set, offer_refused=False)
            except (TasktapeError, OSError) as error:
                warn_once("leftovers_wait", f"what processes that died left here waits: {error}")
            else:
                forget("leftovers_wait")
                if brought.has_brought:
                    LOGGER.info("left by others: %s", brought, extra={"action": "leftovers_brought"})
            self._stopping.wait(until_next(PERIOD))
