"""`tasktape dashboard`: serves the dashboard on this machine and opens it in a browser."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import sys
from typing import Annotated

import typer

from ..dashboard.theme import APP, LOOPBACK, flags
from ..events.errors import SettingsError, TasktapeError
from .output import note, shows_progress
from .reading import reading

DEFAULT_PORT = 8501
_TRIED = 20

Port = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="By default 8501, or the next one that is free.")
]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Another address than this machine's own.")]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")]


def dashboard(port: Port = None, host: Host = LOOPBACK, *, browser: Browser = True) -> None:
    """Look at projects, tasks, queues and workers in the browser, live; for this machine only (127.0.0.1).

    There is no login: with --host, who reaches the port sees everything.

    Examples:
    $ tasktape dashboard
    $ tasktape dashboard --port 8600 --no-browser
    """
    if importlib.util.find_spec("streamlit") is None:
        raise SettingsError("the dashboard needs Streamlit: pip install 'tasktape[dashboard]'.")
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`

    load_settings()
    chosen = free_port(host, port)
    if shows_progress():  # the pages would say so too, but to nobody yet
        with contextlib.suppress(TasktapeError), reading():
            pass
    note(f"The dashboard is at http://{host}:{chosen}. Ctrl-C stops it.")
    os.execv(sys.executable, command(host, chosen, browser=browser))  # noqa: S606  this process becomes the server


def command(host: str, port: int, *, browser: bool) -> list[str]:
    """Arguments that serve the app at a port of an address."""
    return [sys.executable, "-m", "streamlit", "run", str(APP), *flags(host, port, headless=not browser)]


def free_port(host: str, wanted: int | None) -> int:
    """The port wanted, or without one the first free one from 8501 on. Raises `SettingsError` where it is taken."""
    for port in [wanted] if wanted else range(DEFAULT_PORT, DEFAULT_PORT + _TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise SettingsError(f"port {wanted or DEFAULT_PORT} of {host} is taken: give another one with --port.")
