"""Keeps the script of a task in a notebook up to date: the task begins in one cell, and others follow."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from ..ending import Uninstall
from .patches import safely

EVENT: Final = "post_run_cell"
PAUSE_SECONDS: Final = 60.0


def follow_notebook(describe: Callable[[], object]) -> Uninstall | None:
    """Call `describe` after cells, once a minute at most, and at the end; None outside IPython."""
    shell: Any = getattr(sys.modules.get("__main__"), "get_ipython", lambda: None)()
    if shell is None:
        return None
    described = [time.monotonic()]

    def cell_has_run(*_: Any) -> None:
        if time.monotonic() - described[0] >= PAUSE_SECONDS:
            described[0] = time.monotonic()
            threading.Thread(target=safely, args=("notebook", describe), daemon=True).start()

    def stop() -> None:
        shell.events.unregister(EVENT, cell_has_run)
        safely("notebook", describe)

    shell.events.register(EVENT, cell_has_run)
    return stop
