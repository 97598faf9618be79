"""Can a reader with one Avro schema read what a writer with another wrote? fastavro resolves, but can't tell ahead.

Source: Avro specification, "Schema Resolution". Stricter in three points, because these changes would give readers
values they misunderstand or fail on: logical types must be equal, and so must the allowed values of a string (`values`
of a field); bytes are not read as a string, for not all bytes are UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

_PROMOTIONS: Final[dict[str, set[str]]] = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
}
_NAMED: Final = {"record", "enum", "fixed", "error"}
_Seen = frozenset[tuple[str, str]]


def incompatibilities(writer: Any, reader: Any) -> list[str]:
    """Why `reader` (a schema as JSON) can't read what `writer` wrote, one line for each reason; empty if it can."""
    return list(_Comparison(writer, reader).problems(writer, reader, _name(reader), frozenset()))


class _Comparison:
    """Walks two schemas side by side, with the named types of each."""

    def __init__(self, writer: Any, reader: Any) -> None:
        self._writer_names = dict(_definitions(writer))
        self._reader_names = dict(_definitions(reader))

    def problems(self, writer: Any, reader: Any, path: str, seen: _Seen) -> Iterator[str]:
        writer = self._writer_names.get(writer, writer) if isinstance(writer, str) else writer
        reader = self._reader_names.get(reader, reader) if isinstance(reader, str) else reader
        if isinstance(writer, list):
            for branch in writer:
                yield from self.problems(branch, reader, path, seen)
        elif isinstance(reader, list):
            if all(any(self.problems(writer, branch, path, seen)) for branch in reader):
                yield f"{path}: the reader has no branch for {_kind(writer)}"
        else:
            yield from self._plain(writer, reader, path, seen)

    def _plain(self, writer: Any, reader: Any, path: str, seen: _Seen) -> Iterator[str]:
        written, read = _kind(writer), _kind(reader)
        if written != read:
            if read not in _PROMOTIONS.get(written, set()):
                yield f"{path}: {written} can't be read as {read}"
        elif _logical(writer) != _logical(reader):
            yield f"{path}: logical type {_logical(writer)} can't be read as {_logical(reader)}"
        elif written == "array":
            yield from self.problems(writer["items"], reader["items"], f"{path}[]", seen)
        elif written == "map":
            yield from self.problems(writer["values"], reader["values"], f"{path}{{}}", seen)
        elif written in _NAMED:
            yield from self._named(writer, reader, path, seen)

    def _named(self, writer: Any, reader: Any, path: str, seen: _Seen) -> Iterator[str]:
        names = {_name(reader), *(alias.rpartition(".")[2] for alias in reader.get("aliases", []))}
        pair = (_name(writer), _name(reader))
        if pair[0] not in names:
            yield f"{path}: {writer['type']} {pair[0]} can't be read as {pair[1]}"
        elif pair not in seen:
            yield from self._contents(writer, reader, path, seen | {pair})

    def _contents(self, writer: Any, reader: Any, path: str, seen: _Seen) -> Iterator[str]:
        if writer["type"] == "fixed" and writer["size"] != reader["size"]:
            yield f"{path}: fixed of {writer['size']} bytes can't be read as one of {reader['size']}"
        elif writer["type"] == "enum" and "default" not in reader:
            unknown = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
            yield from (f"{path}: the reader does not know the symbol {symbol}" for symbol in unknown)
        elif writer["type"] == "record":
            for field in reader["fields"]:
                yield from self._field(writer, field, f"{path}.{field['name']}", seen)

    def _field(self, writer: Any, field: Any, path: str, seen: _Seen) -> Iterator[str]:
        names = {field["name"], *field.get("aliases", [])}
        written = next((candidate for candidate in writer["fields"] if candidate["name"] in names), None)
        if written is None:
            if "default" not in field:
                yield f"{path}: not written, and the reader has no default"
            return
        yield from self.problems(written["type"], field["type"], path, seen)
        if written.get("values") != field.get("values"):
            yield f"{path}: written values {written.get('values')} are not the reader's {field.get('values')}"


def _definitions(schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, list):
        for branch in schema:
            yield from _definitions(branch)
    elif isinstance(schema, dict):
        if schema["type"] in _NAMED:
            yield from ((name, schema) for name in _spellings(schema))
        inner = [schema.get("items"), schema.get("values"), *(field["type"] for field in schema.get("fields", []))]
        yield from _definitions([part for part in inner if isinstance(part, (dict, list))])


def _spellings(schema: Any) -> set[str]:
    namespace = schema.get("namespace", "")
    return {schema["name"], _name(schema), f"{namespace}.{schema['name']}"}


def _kind(schema: Any) -> str:
    return str(schema["type"] if isinstance(schema, dict) else schema)


def _name(schema: Any) -> str:
    return str(schema["name"]).rpartition(".")[2] if isinstance(schema, dict) and "name" in schema else ""


def _logical(schema: Any) -> str | None:
    return schema.get("logicalType") if isinstance(schema, dict) else None
