"""How Streamlit is set up for the dashboard: quiet, watching no files, calling nobody, looking like `theme.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"
ICON: Final = str(Path(__file__).with_name("icon.png"))
APP: Final = Path(__file__).with_name("app.py")
"""The script that Streamlit runs."""

OPTIONS: Final[dict[str, str]] = {
    "browser.gatherUsageStats": "false",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "client.toolbarMode": "viewer",
    "global.developmentMode": "false",
    "logger.enableRich": "false",
    "logger.hideWelcomeMessage": "true",
    "logger.level": "warning",
    "runner.magicEnabled": "false",
    "runner.postScriptGC": "false",  # each refresh would walk all objects of the process; Python collects by itself
    "server.fileWatcherType": "none",
    "server.runOnSave": "false",
    "server.showEmailPrompt": "false",
    "theme.base": str(Path(__file__).with_name("theme.toml")),
}


def flags(host: str, port: int, *, headless: bool) -> list[str]:
    """Streamlit's flags for serving at host and port; on loopback only requests that name this machine are served."""
    served = {"server.address": host, "server.port": str(port), "server.headless": str(headless).lower()}
    names = [LOOPBACK, "localhost"] if host == LOOPBACK else []
    return [
        *(f"--{name}={value}" for name, value in {**OPTIONS, **served}.items()),
        *(f"--server.allowedHosts={name}" for name in names),
    ]
