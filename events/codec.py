"""Events to bytes and back: Avro single-object encoding, or Confluent's framing where a schema registry is given.

A reader accepts both. What was written with another schema (older or newer) is resolved against this version's.
"""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from pydantic import ValidationError

from .base import Event
from .catalogue import EVENT_TYPES
from .errors import DecodeError, EncodeError, UnknownSchemaError
from .log.fork_gate import gate
from .log.port import Headers

SINGLE_OBJECT: Final = b"\xc3\x01"
CONFLUENT: Final = b"\x00"
TYPE_HEADER: Final = "type"
_SCHEMAS: Final = Path(__file__).parent / "schemas"
_FINGERPRINT_END: Final = 10
_ID_END: Final = 5


class Registry(Protocol):
    """What the codec needs of a schema registry."""

    def id_of(self, topic: str, name: str, schema: str) -> int:
        """Return the id of the schema of event `name` on `topic`; register it where it is new."""

    def schema_of(self, schema_id: int) -> str:
        """Return the schema with this id, as JSON text; raise `UnknownSchemaError` where there is none."""


class Body(NamedTuple):
    """A record's Avro body, and what it is: `writer` is the parsed schema it was written with.

    `writer` is None where that is this version's own schema of event `name`.
    """

    name: str
    data: bytes
    writer: Any = None


class Codec:
    """Encodes with single-object framing, or with Confluent's when `registry` is given; decodes both.

    Thread-safe. Without a registry a record in Confluent's framing raises `UnknownSchemaError`.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        self._registry = registry

    @property
    def has_registry(self) -> bool:
        """Whether events are framed for a schema registry, which may have to be asked over the network."""
        return self._registry is not None

    def encode(self, event: Event) -> bytes:
        """Bytes of an event. Raises `EncodeError` where a field has no room in its schema."""
        return self.frame(type(event).__name__, encode_body(event), event.topic_name)

    def decode(self, value: bytes) -> Event:
        """Event of a record's bytes. Raises `UnknownSchemaError`, or `DecodeError` where the bytes are damaged."""
        return decode_body(self.unframe(value))

    def frame(self, name: str, body: bytes, topic: str) -> bytes:
        """Put the framing before the Avro body of an event called `name` that goes to `topic`."""
        if self._registry is None:
            return SINGLE_OBJECT + bytes.fromhex(fingerprints()[name]) + body
        schema_id = self._registry.id_of(topic, name, schema_text(name))
        return CONFLUENT + schema_id.to_bytes(4) + body

    def reframe(self, value: bytes, topic: str) -> bytes:
        """The same record as tools read it on a log with this codec's registry; without a registry as it is.

        What an older version wrote is written anew: its schema, registered last, would be the registry's latest.
        Raises `DecodeError` where it can't be read here, as one that a newer version wrote.
        """
        if self._registry is None or value[:1] == CONFLUENT:
            return value
        body = self.unframe(value)
        data = body.data if body.writer is None else encode_body(decode_body(body))
        return self.frame(body.name, data, topic)

    def unframe(self, value: bytes) -> Body:
        """Split a record's bytes. Raises `UnknownSchemaError`, or `DecodeError` for any other framing."""
        if value[:2] == SINGLE_OBJECT and len(value) >= _FINGERPRINT_END:
            return _known(value[2:_FINGERPRINT_END].hex(), value[_FINGERPRINT_END:])
        if value[:1] == CONFLUENT and len(value) >= _ID_END:
            return self._registered(int.from_bytes(value[1:_ID_END]), value[_ID_END:])
        raise DecodeError(f"{len(value)} bytes that begin with {value[:10].hex(' ') or 'nothing'} are no event")

    def _registered(self, schema_id: int, data: bytes) -> Body:
        if self._registry is None:
            raise UnknownSchemaError(f"id {schema_id} of a schema registry; set TASKTAPE_SCHEMA_REGISTRY")
        name, writer = _writer(self._registry.schema_of(schema_id))
        return Body(name, data, writer)


def header(event: Event) -> Headers:
    """Headers of an event's record: its type, so that readers can choose without decoding."""
    return ((TYPE_HEADER, type(event).__name__.encode()),)


def encode_body(event: Event) -> bytes:
    """Avro body of an event, without framing."""
    buffer = io.BytesIO()
    try:
        _avro().schemaless_writer(buffer, _schema(type(event).__name__), event.model_dump())
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise EncodeError(f"{type(event).__name__} can't be written: {error}") from error
    return buffer.getvalue()


def decode_body(body: Body) -> Event:
    """Event of an Avro body. Raises `DecodeError` where it is truncated, corrupt or followed by other bytes."""
    buffer = io.BytesIO(body.data)
    fields = _fields(buffer, body)
    if trailing := len(body.data) - buffer.tell():
        raise DecodeError(f"{body.name}: {trailing} bytes too many")
    try:
        return EVENT_TYPES[body.name].model_validate(fields)
    except ValidationError as error:
        raise DecodeError(f"{body.name}: {error}") from error


def _fields(buffer: io.BytesIO, body: Body) -> Any:
    reader = _schema(body.name)
    try:
        return _avro().schemaless_reader(buffer, body.writer or reader, reader if body.writer else None)
    except Exception as error:  # damaged bytes lead the reader into whatever Python can raise
        raise DecodeError(f"{body.name}: {error!r}") from error


@cache
def fingerprints() -> dict[str, str]:
    """Fingerprint of each event's current schema, by event name, in hex as on the wire."""
    found: dict[str, str] = json.loads((_SCHEMAS / "fingerprints.json").read_bytes())
    return found


@cache
def schema_text(name: str) -> str:
    """The current Avro schema of an event, as JSON text."""
    return (_SCHEMAS / f"{name}.avsc").read_text(encoding="utf-8")


@cache
def _schema(name: str) -> Any:
    return _parse(schema_text(name))


def _parse(text: str) -> Any:
    return _avro().parse_schema(json.loads(text))


@cache
def _avro() -> Any:
    """fastavro, imported by whichever thread is the first to need it."""
    with gate:
        import fastavro  # noqa: PLC0415  heavy

    return fastavro


@cache
def _current_names() -> dict[str, str]:
    return {fingerprint: name for name, fingerprint in fingerprints().items()}


@cache
def _released() -> dict[str, Path]:
    """Schema file of each fingerprint that was ever released."""
    return {
        fingerprint: listing.parent / f"{name}.avsc"
        for listing in _SCHEMAS.glob("released/*/fingerprints.json")
        for name, fingerprint in json.loads(listing.read_bytes()).items()
    }


def _known(fingerprint: str, data: bytes) -> Body:
    if name := _current_names().get(fingerprint):
        return Body(name, data)
    if path := _released().get(fingerprint):
        name, writer = _writer(path.read_text(encoding="utf-8"))
        return Body(name, data, writer)
    raise UnknownSchemaError(f"fingerprint {fingerprint}")


@cache
def _writer(text: str) -> tuple[str, Any]:
    """Event name and parsed schema of a schema's text; None for the schema where it is this version's own."""
    from .schema import fingerprint  # noqa: PLC0415  heavy

    schema = _parse(text)
    name = str(schema["name"]).rpartition(".")[2]
    if name not in EVENT_TYPES:
        raise UnknownSchemaError(f"the type {name!r}")
    return name, None if fingerprint(schema) == fingerprints()[name] else schema


_default = Codec()
encode = _default.encode
decode = _default.decode
