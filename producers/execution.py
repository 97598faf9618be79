"""One process's part in a run of a task: what it owes the run, what was installed for it, what still goes on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .ending import Ending, Uninstall
from .running import RunFile
from .warn import LOGGER


@dataclass
class Execution:
    """`owner_pid` is the process that the run is in; others are its children and never end it.

    `says_end` tells whether that process says that the run ended (an agent does so itself). `abort` is the ending that
    somebody asked for. `run_file` tells others that the run is under way. `settled` is set once the script is
    described, `tidied` once all the work in the background is done, `ended` once this part is over.
    """

    owner_pid: int = field(default_factory=os.getpid)
    says_end: bool = True
    publishes: bool = False
    abort: Ending | None = None
    run_file: RunFile | None = None
    uninstalls: list[Uninstall] = field(default_factory=list)
    settled: threading.Event = field(default_factory=threading.Event)
    tidied: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def is_owner(self) -> bool:
        """Whether the run is in this very process."""
        return self.owner_pid == os.getpid()

    def in_background(self, describe: Callable[[], None], tidy: Callable[[], None]) -> None:
        """Do what a script need not wait for; trouble in it is logged and stays there."""
        thread = threading.Thread(target=self._work, args=(describe, tidy), name="tasktape-details", daemon=True)
        thread.start()

    def _work(self, describe: Callable[[], None], tidy: Callable[[], None]) -> None:
        for work, done in ((describe, self.settled), (tidy, self.tidied)):
            try:
                work()
            except Exception:  # noqa: BLE001  training must not end over its description
                LOGGER.exception(
                    "what the script runs could not be described in full; the task goes on without.",
                    extra={"action": "description_failed"},
                )
            finally:
                done.set()

    def settle(self, timeout: float) -> bool:
        """Wait until the script is described; returns whether it is. A child process describes nothing."""
        return self.settled.wait(timeout) if self.is_owner else True

    def undo(self) -> None:
        """Undo what was installed, the last first."""
        while self.uninstalls:
            try:
                self.uninstalls.pop()()
            except Exception:  # noqa: BLE001  one that fails must not keep the others
                LOGGER.exception(
                    "something that was installed could not be undone; the run ends all the same.",
                    extra={"action": "capture_not_undone"},
                )
