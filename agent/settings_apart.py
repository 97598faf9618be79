"""Reads the settings in a process of its own: the 16 MB that reading imports would stay with an agent for weeks."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING

from ..events.errors import SettingsError
from ..events.settings import load_settings

if TYPE_CHECKING:
    from ..events.settings import Settings


def settings_apart() -> Settings:
    """Read the settings in a forked child, as long as this process has no threads. Raises what `load_settings` does."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _tell(writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    found = pickle.loads(told)  # noqa: S301  from our own child
    if isinstance(found, Exception):
        raise found
    settings: Settings = found
    return settings


def _tell(writing: int) -> None:
    """Write the settings, or what is wrong with them, and end this process."""
    try:
        found: Settings | SettingsError = load_settings()
    except SettingsError as error:
        found = error
    with os.fdopen(writing, "wb") as pipe:
        pickle.dump(found, pipe)
    os._exit(0)
