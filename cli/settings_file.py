"""The settings file `tasktape init` writes: TOML with a comment for each setting, readable by its owner alone."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..events.errors import SettingsError


@dataclass(frozen=True)
class Choices:
    """What goes into a settings file; empty means the default, which is left out."""

    log: str
    kafka: Mapping[str, str] = field(default_factory=dict)
    schema_registry: str = ""
    blobs: str = ""


def render(choices: Choices) -> str:
    """Text of the settings file."""
    lines = [
        "# Settings of tasktape. Environment variables named TASKTAPE_* win over this file.",
        "",
        "# Where events go: sqlite:///path/to/log.db, or kafka://host:9092",
        f"log = {_quoted(choices.log)}",
    ]
    if choices.blobs:
        lines += ["", "# Where artifacts, models and images go: a folder, or s3://bucket/prefix"]
        lines += [f"blobs = {_quoted(choices.blobs)}"]
    if choices.schema_registry:
        lines += ["", "# Confluent-compatible Schema Registry", f"schema_registry = {_quoted(choices.schema_registry)}"]
    if choices.kafka:
        lines += ["", "# Any property of librdkafka", "[kafka]"]
        lines += [f"{_quoted(name)} = {_quoted(value)}" for name, value in choices.kafka.items()]
    return "\n".join(lines) + "\n"


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


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are a subset of TOML's (TOML 1.0, "String")."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
