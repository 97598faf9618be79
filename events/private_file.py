"""Files that may hold secrets: settings as TOML, readable by their owner alone from the first byte on."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from .errors import SettingsError


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, mode 0600 from its first byte on. Raises `SettingsError` where that fails."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SettingsError(f"{path} can't be written: {error.strerror or error}.") from error


def quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are a subset of TOML's (TOML 1.0, "String")."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
