"""`tasktape dashboard`: serves the dashboard on this machine and opens it in a browser."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..dashboard.theme import OPTIONS
from ..events.errors import SettingsError
from .output import note

Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")]


def dashboard(port: Port = 8501, *, browser: Browser = True) -> None:
    """Look at projects, tasks, queues and workers in the browser, live; for this machine only (127.0.0.1).

    Examples:
    $ tasktape dashboard
    $ tasktape dashboard --port 8600 --no-browser
    """
    if importlib.util.find_spec("streamlit") is None:
        raise SettingsError("the dashboard needs Streamlit: pip install 'tasktape[dashboard]'.")
    from ..events.settings import load_settings  # noqa: PLC0415  see `reading`

    load_settings()
    chosen = port or free_port()
    note(f"The dashboard is at http://127.0.0.1:{chosen}. Ctrl-C stops it.")
    sys.stdout.flush()
    os.execv(sys.executable, command(chosen, browser=browser))  # noqa: S606  this process becomes the server


def command(port: int, *, browser: bool) -> list[str]:
    """Arguments that serve the app on a port of 127.0.0.1."""
    script = Path(__file__).resolve().parent.parent / "dashboard" / "app.py"
    options = {**OPTIONS, "server.port": port, "server.headless": str(not browser or not sys.stdin.isatty()).lower()}
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(script), *flags]


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    import socket  # noqa: PLC0415  used here alone

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
