"""`tasktape serve`: holds the projection, follows the log, and answers queries over Arrow Flight."""

from __future__ import annotations

import signal
import threading

from .output import note, shows_progress
from .reading import follow_progress


def serve() -> None:
    """Hold the projection and serve it to commands, scripts and dashboards of this machine, until Ctrl-C.

    Where nobody serves, each command catches up by itself; with a server they answer at once.

    Examples:
    $ tasktape serve
    """
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`
    from ..projections import serving  # noqa: PLC0415  the same

    settings = load_settings()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with serving(settings) as server:
        note(f"Serving the projection of {settings.log} at {server.address}. Ctrl-C stops it.")
        if shows_progress():
            follow_progress(settings, stopped)
        stopped.wait()
