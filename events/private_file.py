"""Files that may hold secrets: settings as TOML, readable by their owner alone from the first byte on."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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


def toml_lines(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Lines of a table of numbers, texts and tables; what is None is left out."""
    for name, value in table.items():
        if value is not None and not isinstance(value, Mapping):
            yield f"{quoted(name)} = {value if isinstance(value, int | float) else quoted(str(value))}"
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield f"[{'.'.join(map(quoted, (*path, name)))}]"
            yield from toml_lines(value, (*path, name))
