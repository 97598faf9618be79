"""Writes the golden records of a version: `python tests/golden/make.py 0.1.0`, run once when the version is released.

`VERSION/events.json` holds for each event type one with every field filled, as JSON and as the bytes on the wire.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge

from tasktape.events import codec
from tasktape.events.base import Event, Part, from_us
from tasktape.events.catalogue import EVENT_TYPES

HERE = Path(__file__).parent
VALUES: dict[Any, Any] = {int: -7, float: 0.1, bool: True, bytes: b"\x00\xff", datetime: from_us(1_700_000_000_123_456)}


def sample(annotation: Any, name: str) -> Any:
    """A value of a field: always the same one, and never its default where there is another."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return filled(annotation)
    if annotation is str:
        return f"{name} ü😀"
    return VALUES[annotation] if annotation in VALUES else compound(get_origin(annotation), get_args(annotation), name)


def compound(origin: Any, arguments: tuple[Any, ...], name: str) -> Any:
    """A value of a generic type."""
    if origin is Annotated and Ge(0) in arguments:
        return abs(VALUES[arguments[0]])
    if origin is Annotated:
        return 0.25  # single precision holds it
    if origin is Literal:
        return arguments[-1]
    if origin is list:
        return [sample(arguments[0], name)] * 2
    if origin is dict:
        return {"key": sample(arguments[1], name)}
    assert origin is UnionType
    return sample(next(a for a in arguments if a is not NoneType), name)


def filled(kind: type[Part]) -> Any:
    """An instance with every field filled."""
    return kind(**{name: sample(info.rebuild_annotation(), name) for name, info in kind.model_fields.items()})


def samples() -> list[Event]:
    """One event of each type."""
    return [filled(kind) for _, kind in sorted(EVENT_TYPES.items())]


def make(version: str) -> None:
    """Write the golden records of a version."""
    (HERE / version).mkdir(exist_ok=True)
    records = {
        type(event).__name__: {"event": event.model_dump(mode="json"), "bytes": codec.encode(event).hex()}
        for event in samples()
    }
    text = json.dumps(records, indent=1, ensure_ascii=False) + "\n"
    (HERE / version / "events.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    make(sys.argv[1])
