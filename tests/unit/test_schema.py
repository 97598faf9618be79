"""Schemas made from models, and the checks that keep the committed ones true."""

from __future__ import annotations

import json
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import fastavro
import pytest
from pydantic import Field

from tasktape import events
from tasktape.events import codec, schema
from tasktape.events.base import Event, Float32, Meta, Part
from tasktape.events.catalogue import EVENT_TYPES
from tasktape.events.catalogue_doc import DOCUMENT
from tasktape.events.topics import TOPICS


class Inner(Part):
    """Within."""

    at: datetime
    count: int = 3


class Outer(Part):
    """Has one field of each kind,
    and a docstring of two lines.
    """

    text: str
    data: bytes = b"\xff"
    fine: float
    coarse: list[Float32] = Field(default_factory=list)
    inner: Inner
    again: Inner | None
    maybe: str | None = None
    by_name: dict[str, Inner] = Field(default_factory=dict)
    kind: Literal["a", "b"] = "a"
    flag: bool = False


def fields(of: dict[str, Any]) -> dict[str, Any]:
    return {field["name"]: field for field in of["fields"]}


def test_each_python_type_has_its_avro_type_and_default() -> None:
    outer = schema.schema_of(Outer)
    assert (outer["name"], outer["namespace"]) == ("Outer", "tasktape.events")
    assert outer["doc"] == "Has one field of each kind, and a docstring of two lines."
    moment = {"type": "long", "logicalType": "timestamp-micros"}
    inner_fields = [{"name": "at", "type": moment}, {"name": "count", "type": "long", "default": 3}]
    assert fields(outer) == {
        "text": {"name": "text", "type": "string"},
        "data": {"name": "data", "type": "bytes", "default": "\xff"},
        "fine": {"name": "fine", "type": "double"},
        "coarse": {"name": "coarse", "type": {"type": "array", "items": "float"}, "default": []},
        "inner": {
            "name": "inner",
            "type": {"type": "record", "name": "Inner", "doc": "Within.", "fields": inner_fields},
        },
        "again": {"name": "again", "type": ["null", "Inner"], "default": None},
        "maybe": {"name": "maybe", "type": ["null", "string"], "default": None},
        "by_name": {"name": "by_name", "type": {"type": "map", "values": "Inner"}, "default": {}},
        "kind": {"name": "kind", "type": "string", "values": ["a", "b"], "default": "a"},
        "flag": {"name": "flag", "type": "boolean", "default": False},
    }


def test_an_annotation_without_avro_type_is_refused_by_name() -> None:
    class Strange(Part):
        either: int | str

    with pytest.raises(TypeError, match=r"int \| str"):
        schema.schema_of(Strange)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_event_schema_is_valid_avro(name: str) -> None:
    parsed: Any = fastavro.parse_schema(schema.schema_of(EVENT_TYPES[name]))
    assert parsed["name"] == f"tasktape.events.{name}"


def test_the_committed_schemas_are_what_the_models_say_and_compatible_with_the_last_release() -> None:
    assert schema.check() == []


def test_the_event_catalogue_for_people_is_what_the_models_say() -> None:
    assert schema.document_drift() == []
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in EVENT_TYPES if f"### {name}\n" not in text] == []
    assert [spec.name for spec in TOPICS if f"## `{spec.name}`\n" not in text] == []


def test_a_model_that_changed_is_found_as_drift(tmp_path: Path) -> None:
    schema.write(tmp_path)
    assert schema.drift(tmp_path) == []
    (tmp_path / "TaskCreated.avsc").write_text("{}")
    (tmp_path / "RunLost.avsc").unlink()
    (tmp_path / "Gone.avsc").write_text("{}")
    assert schema.drift(tmp_path) == ["Gone.avsc", "RunLost.avsc", "TaskCreated.avsc"]
    schema.write(tmp_path)
    assert schema.drift(tmp_path) == []
    assert not (tmp_path / "Gone.avsc").exists()


def test_the_catalogue_has_every_event_type_there_is() -> None:
    modules = [
        import_module(f"tasktape.events.{path.stem}") for path in Path(events.__file__).parent.glob("*_events.py")
    ]
    kinds = [
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Event) and not kind.__subclasses__()
    ]
    assert set(kinds) == set(EVENT_TYPES.values())
    assert all(EVENT_TYPES[name].__name__ == name for name in EVENT_TYPES)
    assert len(EVENT_TYPES) == len(set(kinds))


def test_fingerprints_are_those_of_the_schemas_beside_them() -> None:
    listed = codec.fingerprints()
    assert listed.keys() == EVENT_TYPES.keys()
    for name, fingerprint in listed.items():
        assert schema.fingerprint(json.loads(codec.schema_text(name))) == fingerprint


def test_a_release_is_a_copy_that_is_never_overwritten(tmp_path: Path) -> None:
    schema.write(tmp_path)
    schema.release("0.9.0", tmp_path)
    schema.release("0.10.0", tmp_path)
    assert [path.name for path in schema.releases(tmp_path)] == ["0.9.0", "0.10.0"]
    assert schema.committed(tmp_path / "released" / "0.9.0") == schema.committed(tmp_path)
    with pytest.raises(FileExistsError):
        schema.release("0.9.0", tmp_path)


def test_check_names_what_a_change_breaks_in_both_directions(tmp_path: Path) -> None:
    schema.write(tmp_path)
    released = schema.load_schemas(tmp_path)
    current = json.loads(json.dumps(released))
    current["RunProgressed"]["fields"] = [f for f in current["RunProgressed"]["fields"] if f["name"] != "progress"]
    current["RunProgressed"]["fields"].append({"name": "percent", "type": "double"})
    del current["RunLost"]
    assert list(schema.breaks(released, current)) == [
        "RunLost: released, but gone: its records are still on logs and must stay readable",
        "new readers, old records: RunProgressed.percent: not written, and the reader has no default",
        "old readers, new records: RunProgressed.progress: not written, and the reader has no default",
    ]


def test_the_command_line_checks_and_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert schema.main(["check"]) == 0
    assert schema.main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_meta_is_the_first_field_of_every_event() -> None:
    for kind in EVENT_TYPES.values():
        first = schema.schema_of(kind)["fields"][0]
        assert (first["name"], first["type"]["name"]) == ("meta", Meta.__name__)
