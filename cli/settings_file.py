"""The settings file `tasktape init` writes: TOML with a comment for each setting, readable by its owner alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..events.private_file import quoted


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
        f"log = {quoted(choices.log)}",
    ]
    if choices.blobs:
        lines += ["", "# Where artifacts, models and images go: a folder, or s3://bucket/prefix"]
        lines += [f"blobs = {quoted(choices.blobs)}"]
    if choices.schema_registry:
        lines += ["", "# Confluent-compatible Schema Registry", f"schema_registry = {quoted(choices.schema_registry)}"]
    if choices.kafka:
        lines += ["", "# Any property of librdkafka", "[kafka]"]
        lines += [f"{quoted(name)} = {quoted(value)}" for name, value in choices.kafka.items()]
    return "\n".join(lines) + "\n"
