"""Avro schemas made from the event models: they are the contract for readers in other languages.

`python -m tasktape.events.schema write|check|release VERSION` keeps the committed files in `events/schemas/`, and
`docs/events.md`, true.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from .base import AvroType, Part
from .catalogue import EVENT_TYPES
from .compatibility import incompatibilities

NAMESPACE: Final = "tasktape.events"
SCHEMAS: Final = Path(__file__).parent / "schemas"
FINGERPRINTS: Final = "fingerprints.json"

_PRIMITIVES: Final[dict[object, Any]] = {
    str: "string",
    int: "long",
    float: "double",
    bool: "boolean",
    bytes: "bytes",
    datetime: {"type": "long", "logicalType": "timestamp-micros"},
}


def schema_of(model: type[Part]) -> dict[str, Any]:
    """Avro record schema of a model, complete in itself: each nested record is defined where it first occurs.

    Raises `TypeError` for an annotation that has no Avro type.
    """
    schema = _record(model, set())
    assert isinstance(schema, dict)  # noqa: S101  the first record of a schema is always a definition
    return {"type": "record", "name": schema["name"], "namespace": NAMESPACE, **schema}


def _record(model: type[Part], defined: set[str]) -> dict[str, Any] | str:
    if model.__name__ in defined:
        return model.__name__
    defined.add(model.__name__)
    fields = [_field(name, info, defined) for name, info in model.model_fields.items()]
    return {"type": "record", "name": model.__name__, "doc": _doc(model), "fields": fields}


def _doc(model: type[Part]) -> str:
    return " ".join((inspect.getdoc(model) or "").split())


def _field(name: str, info: FieldInfo, defined: set[str]) -> dict[str, Any]:
    annotation = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    field = {"name": name, "type": _type(annotation, defined)}
    if get_origin(annotation) is Literal:
        field["values"] = list(get_args(annotation))
    if not info.is_required():
        field["default"] = _default(info.get_default(call_default_factory=True))
    elif isinstance(field["type"], list):
        field["default"] = None
    return field


def _type(annotation: Any, defined: set[str]) -> Any:
    if annotation in _PRIMITIVES:
        return _PRIMITIVES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return _record(annotation, defined)
    return _compound(annotation, get_origin(annotation), get_args(annotation), defined)


def _compound(annotation: Any, origin: Any, arguments: tuple[Any, ...], defined: set[str]) -> Any:
    if origin is Annotated:
        return next((m.name for m in arguments[1:] if isinstance(m, AvroType)), None) or _type(arguments[0], defined)
    if origin is Literal:
        return "string"
    if origin is list:
        return {"type": "array", "items": _type(arguments[0], defined)}
    if origin is dict and arguments[0] is str:
        return {"type": "map", "values": _type(arguments[1], defined)}
    if origin in {Union, UnionType} and len(arguments) == 2 and NoneType in arguments:  # noqa: PLR2004  T or None
        return ["null", _type(next(a for a in arguments if a is not NoneType), defined)]
    raise TypeError(
        f"{annotation!r} has no Avro type: use str, int, float, bool, bytes, datetime, list, dict or a Part"
    )


def _default(value: object) -> Any:
    """A default as Avro's JSON writes it."""
    if isinstance(value, Part):
        return {name: _default(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, list):
        return [_default(item) for item in value]
    if isinstance(value, dict):
        return {name: _default(item) for name, item in value.items()}
    return value.decode("latin-1") if isinstance(value, bytes) else value


def fingerprint(schema: dict[str, Any]) -> str:
    """CRC-64-AVRO of the schema's parsing canonical form, in hex, in the byte order of the wire (little-endian).

    Source: Avro specification, "Schema Fingerprints" and "Single-object encoding".
    """
    from fastavro.schema import fingerprint as crc  # noqa: PLC0415  heavy
    from fastavro.schema import to_parsing_canonical_form  # noqa: PLC0415  heavy

    return crc(to_parsing_canonical_form(schema), "CRC-64-AVRO")


def generated() -> dict[str, str]:
    """Every file that belongs into the schema folder, by name, with its text."""
    schemas = {name: schema_of(kind) for name, kind in sorted(EVENT_TYPES.items())}
    files = {f"{name}.avsc": _text(schema) for name, schema in schemas.items()}
    files[FINGERPRINTS] = _text({name: fingerprint(schema) for name, schema in schemas.items()})
    return files


def _text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def committed(folder: Path = SCHEMAS) -> dict[str, str]:
    """The files a schema folder holds, by name, with their text."""
    files = [*folder.glob("*.avsc"), *folder.glob(FINGERPRINTS)]
    return {path.name: path.read_text(encoding="utf-8") for path in files}


def write(folder: Path = SCHEMAS) -> None:
    """Write all schema files and remove those whose event type is gone."""
    wanted = generated()
    for name in committed(folder).keys() - wanted.keys():
        (folder / name).unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def drift(folder: Path = SCHEMAS) -> list[str]:
    """Names of the files that are not what the models say."""
    wanted, found = generated(), committed(folder)
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def releases(folder: Path = SCHEMAS) -> list[Path]:
    """Folders of the released sets, oldest first."""
    return sorted((folder / "released").glob("*/"), key=lambda path: [int(part) for part in path.name.split(".")])


def breaks(released: dict[str, Any], current: dict[str, Any]) -> Iterator[str]:
    """What in `current` (schemas by event name) would keep old and new readers from each other's records."""
    for name, old in released.items():
        new = current.get(name)
        if new is None:
            yield f"{name}: released, but gone: its records are still on logs and must stay readable"
            continue
        yield from (f"new readers, old records: {problem}" for problem in incompatibilities(writer=old, reader=new))
        yield from (f"old readers, new records: {problem}" for problem in incompatibilities(writer=new, reader=old))


def load_schemas(folder: Path) -> dict[str, Any]:
    """Schemas of a folder by event name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.avsc"))}


def check(folder: Path = SCHEMAS) -> list[str]:
    """Everything wrong with the committed schemas: drift from the models, and breaks with the last release."""
    problems = [f"{name}: not what the models say; run `make schemas`" for name in drift(folder)]
    for last in releases(folder)[-1:]:
        problems += breaks(load_schemas(last), {name: schema_of(kind) for name, kind in EVENT_TYPES.items()})
    return problems


def release(version: str, folder: Path = SCHEMAS) -> None:
    """Copy the current set to `released/VERSION`. What is released never changes: an existing folder is an error."""
    target = folder / "released" / version
    target.mkdir(parents=True)
    for name, text in committed(folder).items():
        (target / name).write_text(text, encoding="utf-8")


def write_document() -> None:
    """Write `docs/events.md`, the same contract for people."""
    from .catalogue_doc import DOCUMENT, document  # noqa: PLC0415  it imports this module

    DOCUMENT.write_text(document(), encoding="utf-8")


def document_drift() -> list[str]:
    """What is wrong with `docs/events.md`."""
    from .catalogue_doc import DOCUMENT, document  # noqa: PLC0415  it imports this module

    same = DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == document()
    return [] if same else [f"{DOCUMENT.name}: not what the models say; run `make schemas`"]


def main(arguments: list[str]) -> int:
    """Command line of this module; returns the exit code."""
    match arguments:
        case ["write"]:
            write()
            write_document()
        case ["release", version]:
            release(version)
        case ["check"]:
            problems = check() + document_drift()
            sys.stdout.write("".join(f"{problem}\n" for problem in problems))
            return 1 if problems else 0
        case _:
            sys.stderr.write("usage: python -m tasktape.events.schema write|check|release VERSION\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
