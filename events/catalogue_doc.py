"""The event catalogue `docs/events.md`, made from the models so that it can't say anything else than they do."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from .base import Event
from .catalogue import EVENT_TYPES
from .schema import schema_of
from .topics import DAY_MS, TOPICS, TopicSpec

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "events.md"
_HEAD: Final = """\
# Event catalogue

Made from the models in `events/` by `make schemas`; do not edit. Each type's Avro schema lies in
`events/schemas/<Type>.avsc`, and the framing on the wire is told in [architecture](architecture.md). Fields without a
default are required. Every event begins with `meta`, the envelope.
"""


def document() -> str:
    """The whole catalogue as Markdown."""
    return "\n".join([_HEAD, *_topics(), *_records()])


def _records() -> Iterator[str]:
    yield "## Records within events\n"
    seen: dict[str, Any] = {}
    for kind in EVENT_TYPES.values():
        _collect(schema_of(kind)["fields"], seen)
    for name in sorted(seen, key=lambda name: (name != "Meta", name)):
        yield from _section(name, seen[name]["doc"], seen[name]["fields"])


def _collect(schema: Any, seen: dict[str, Any]) -> None:
    """Gather record definitions from anything within a schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "record":
            seen[schema["name"]] = schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            _collect(part, seen)


def _topics() -> Iterator[str]:
    kept = {spec.name: spec for spec in TOPICS}
    for topic, kinds in _by_topic(EVENT_TYPES.values()).items():
        name = topic if topic in kept else f"{topic}<name>"
        yield f"## `{name}`\n\nKey: {_key(kinds[0])}. Kept {_kept(kept.get(topic))}.\n"
        for kind in kinds:
            yield from _section(kind.__name__, _text(kind), schema_of(kind)["fields"][1:])


def _kept(spec: TopicSpec | None) -> str:
    if spec and spec.retention_ms:
        return f"for {spec.retention_ms // DAY_MS} days"
    if spec and spec.compact_after_ms:
        return f"for {spec.compact_after_ms // DAY_MS} days in full, then the last record of each key"
    return "for ever"


def _by_topic(kinds: Iterable[type[Event]]) -> dict[str, list[type[Event]]]:
    found: dict[str, list[type[Event]]] = {}
    for kind in kinds:
        found.setdefault(kind.topic, []).append(kind)
    return found


def _key(kind: type[Event]) -> str:
    text = _text(kind.key).rstrip(".")
    return text[0].lower() + text[1:]


def _text(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split())


def _section(name: str, text: str, fields: list[dict[str, Any]]) -> Iterator[str]:
    yield f"### {name}\n\n{text}\n"
    if fields:
        yield "| field | type | default |\n|---|---|---|"
        yield "\n".join(f"| `{f['name']}` | {_type(f['type'])} | {_default(f)} |" for f in fields) + "\n"


def _type(schema: Any) -> str:
    if isinstance(schema, list):
        return f"{_type(schema[1])} or null"
    if isinstance(schema, str):
        return schema
    inner = {"array": "items", "map": "values"}.get(schema["type"])
    if inner:
        return f"{schema['type']} of {_type(schema[inner])}"
    return str(schema.get("logicalType") or schema["name"])


def _default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return ""
    default = field["default"]
    return "all defaults" if isinstance(default, dict) and default else f"`{json.dumps(default, ensure_ascii=False)}`"
