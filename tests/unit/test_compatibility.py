"""The checker agrees with the Avro specification, case by case, and with fastavro, on schemas made at random."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest
from fastavro.utils import generate_one
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.events.compatibility import incompatibilities


def record(*fields: dict[str, Any], name: str = "R", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


MICROS = {"type": "long", "logicalType": "timestamp-micros"}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
TREE = record(field("next", ["null", "R"], default=None))
COLOURS = {"type": "enum", "name": "E", "symbols": ["RED", "BLUE"]}


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        ("int", "long"),
        ("int", "double"),
        ("long", "float"),
        ("float", "double"),
        ("string", "bytes"),
        ("string", ["null", "string"]),
        ("int", ["null", "long"]),
        (["null", "string"], ["null", "string", "long"]),
        (["string"], "string"),
        ({"type": "array", "items": "int"}, {"type": "array", "items": "long"}),
        ({"type": "map", "values": "int"}, {"type": "map", "values": "long"}),
        (record(), record(field("added", "string", default=""))),
        (record(field("dropped", "string")), record()),
        (record(field("old", "string")), record(field("new", "string", aliases=["old"]))),
        (record(namespace="a"), record(namespace="b")),
        (record(name="Old"), record(name="New", aliases=["Old"])),
        (TREE, TREE),
        ({"type": "enum", "name": "E", "symbols": ["RED"]}, COLOURS),
        (COLOURS, {"type": "enum", "name": "E", "symbols": ["RED"], "default": "RED"}),
        ({"type": "fixed", "name": "F", "size": 4}, {"type": "fixed", "name": "F", "size": 4}),
        (MICROS, MICROS),
    ],
)
def test_what_the_specification_resolves_is_compatible(writer: Any, reader: Any) -> None:
    assert incompatibilities(writer, reader) == []


@pytest.mark.parametrize(
    ("writer", "reader", "problem"),
    [
        ("long", "int", ": long can't be read as int"),
        ("double", "float", ": double can't be read as float"),
        ("string", "long", ": string can't be read as long"),
        ("bytes", "string", ": bytes can't be read as string"),
        ("null", "string", ": null can't be read as string"),
        (["null", "string"], "string", ": null can't be read as string"),
        ("string", ["null", "long"], ": the reader has no branch for string"),
        (["null", "bytes"], ["null", "long"], ": the reader has no branch for bytes"),
        ({"type": "array", "items": "string"}, {"type": "array", "items": "long"}, "[]: string can't be read as long"),
        ({"type": "map", "values": "string"}, {"type": "map", "values": "long"}, "{}: string can't be read as long"),
        (record(), record(name="S"), "S: record R can't be read as S"),
        (
            record(field("a", record(field("b", "string"), name="Inner"))),
            record(field("a", record(field("b", "string"), field("c", "long"), name="Inner"))),
            "R.a.c: not written, and the reader has no default",
        ),
        (
            record(field("a", record(field("b", "string"), name="Inner")), field("z", ["null", "Inner"])),
            record(field("a", record(name="Inner")), field("z", ["null", "string"])),
            "R.z: the reader has no branch for record",
        ),
        (COLOURS, {"type": "enum", "name": "E", "symbols": ["RED"]}, "E: the reader does not know the symbol BLUE"),
        (
            {"type": "fixed", "name": "F", "size": 4},
            {"type": "fixed", "name": "F", "size": 8},
            "F: fixed of 4 bytes can't be read as one of 8",
        ),
        (MICROS, MILLIS, ": logical type timestamp-micros can't be read as timestamp-millis"),
        (
            record(field("cause", "string", values=["a"])),
            record(field("cause", "string", values=["a", "b"])),
            "R.cause: written values ['a'] are not the reader's ['a', 'b']",
        ),
    ],
)
def test_what_the_specification_does_not_resolve_is_named(writer: Any, reader: Any, problem: str) -> None:
    assert incompatibilities(writer, reader) == [problem]


PRIMITIVES = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "string"])
TYPES = st.recursive(
    PRIMITIVES | st.lists(PRIMITIVES, min_size=1, max_size=3, unique=True),
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda values: {"type": "map", "values": values}, inner),
    ),
    max_leaves=3,
)
FIELDS = st.dictionaries(st.sampled_from("abc"), TYPES, max_size=3)


def as_record(fields: dict[str, Any]) -> dict[str, Any]:
    return record(*(field(name, kind) for name, kind in fields.items()))


@settings(max_examples=300)
@given(FIELDS, FIELDS, st.sets(st.sampled_from("abc")))
def test_what_the_checker_allows_fastavro_reads(written: dict[str, Any], other: dict[str, Any], kept: set[str]) -> None:
    writer = as_record(written)
    reader = as_record({**other, **{name: written[name] for name in kept & written.keys()}})
    if incompatibilities(writer, reader):
        return
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, writer, generate_one(writer))
    buffer.seek(0)
    assert isinstance(fastavro.schemaless_reader(buffer, writer, reader), dict)
