"""Events to bytes and back, in both framings, undamaged and damaged."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import fastavro
import pytest
from annotated_types import Ge
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasktape.events import codec
from tasktape.events.base import AvroType, Event, Meta, Part, from_us
from tasktape.events.catalogue import EVENT_TYPES
from tasktape.events.codec import Codec
from tasktape.events.errors import DecodeError, EncodeError, RegistryUnavailableError, UnknownSchemaError
from tasktape.events.log.memory import MemoryLog
from tasktape.events.report_events import SingleValueReported
from tasktape.events.schema import fingerprint
from tasktape.events.task_events import RunFailed, RunProgressed, TaskArchived
from tasktape.events.topics import TOPICS
from tasktape.events.wire import append_event, read_event

META = Meta(event_id="e", occurred_at=from_us(1_700_000_000_000_001), actor="ann@host", session="s", seq=3)
SCALARS: dict[object, st.SearchStrategy[Any]] = {
    str: st.text(max_size=20),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=20),
    datetime: st.datetimes(timezones=st.just(UTC)),
}
AMOUNTS: dict[object, st.SearchStrategy[Any]] = {
    int: st.integers(0, 2**63 - 1),
    float: st.floats(0, allow_nan=False, allow_infinity=False),
}


def strategy(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of a field, from its annotation."""
    if annotation in SCALARS:
        return SCALARS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return st.deferred(lambda: parts(annotation))
    return compound(get_origin(annotation), get_args(annotation))


def compound(origin: Any, arguments: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """Values of a generic type."""
    if origin is Annotated and Ge(0) in arguments:
        return AMOUNTS[arguments[0]]
    if origin is Annotated:
        return st.floats(width=32, allow_nan=False) if AvroType("float") in arguments else strategy(arguments[0])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(strategy(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(strategy(arguments[0]), strategy(arguments[1]), max_size=3)
    assert origin is UnionType
    return st.one_of([st.none() if a is type(None) else strategy(a) for a in arguments])


def parts(kind: type[Part]) -> st.SearchStrategy[Part]:
    """Instances of a model."""
    return st.builds(kind, **{name: strategy(info.rebuild_annotation()) for name, info in kind.model_fields.items()})


def any_event() -> st.SearchStrategy[Any]:
    """Instances of every event type."""
    return st.sampled_from(sorted(EVENT_TYPES)).flatmap(lambda name: parts(EVENT_TYPES[name]))


class FakeRegistry:
    """Holds schemas in memory, with one id for each subject's schema."""

    def __init__(self) -> None:
        self.schemas: list[str] = []
        self.subjects: list[tuple[str, str]] = []

    def id_of(self, topic: str, name: str, schema: str) -> int:
        self.subjects.append((topic, name))
        if schema not in self.schemas:
            self.schemas.append(schema)
        return self.schemas.index(schema)

    def schema_of(self, schema_id: int) -> str:
        if schema_id >= len(self.schemas):
            raise UnknownSchemaError(f"id {schema_id}")
        return self.schemas[schema_id]


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_event_type_comes_back_as_it_was_encoded(name: str) -> None:
    @settings(max_examples=25)
    @given(parts(EVENT_TYPES[name]))
    def comes_back(event: Event) -> None:
        assert codec.decode(codec.encode(event)) == event

    comes_back()


@given(any_event())
def test_a_codec_with_a_registry_writes_confluent_framing_that_comes_back(event: Event) -> None:
    registry = FakeRegistry()
    with_registry = Codec(registry)
    value = with_registry.encode(event)
    assert value[:5] == b"\x00\x00\x00\x00\x00"
    assert registry.subjects == [(event.topic_name, type(event).__name__)]
    assert with_registry.decode(value) == event


@given(any_event())
def test_a_codec_with_a_registry_reads_single_object_framing_too(event: Event) -> None:
    assert Codec(FakeRegistry()).decode(codec.encode(event)) == event


@given(any_event())
def test_reframing_for_a_registry_changes_the_framing_alone(event: Event) -> None:
    spooled, with_registry = codec.encode(event), Codec(FakeRegistry())
    reframed = with_registry.reframe(spooled, event.topic_name)
    assert reframed == with_registry.encode(event)
    assert Codec().reframe(spooled, event.topic_name) == spooled


@given(any_event(), st.data())
def test_a_truncated_record_is_a_decode_error(event: Event, data: st.DataObject) -> None:
    value = codec.encode(event)
    length = data.draw(st.integers(0, len(value) - 1))
    with pytest.raises(DecodeError):
        codec.decode(value[:length])


@given(any_event(), st.binary(min_size=1, max_size=20))
def test_bytes_after_the_body_are_a_decode_error(event: Event, rest: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.decode(codec.encode(event) + rest)


@given(any_event(), st.data())
def test_a_corrupt_record_is_an_event_or_a_decode_error_and_nothing_else(event: Event, data: st.DataObject) -> None:
    value = bytearray(codec.encode(event))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DecodeError):
        assert isinstance(codec.decode(bytes(value)), Event)


@given(st.binary(max_size=200), st.sampled_from([b"", codec.CONFLUENT, codec.SINGLE_OBJECT]))
@example(b"", b"")
def test_bytes_of_any_other_kind_are_a_decode_error(noise: bytes, start: bytes) -> None:
    for reader in (Codec(), Codec(FakeRegistry())):
        with pytest.raises(DecodeError):
            reader.decode(start + noise)


@given(st.sampled_from(sorted(EVENT_TYPES)), st.binary(max_size=300))
def test_noise_behind_a_known_fingerprint_is_an_event_or_a_decode_error(name: str, noise: bytes) -> None:
    with suppress(DecodeError):
        codec.decode(Codec().frame(name, noise, ""))


def test_a_fingerprint_nobody_knows_is_named_in_the_error() -> None:
    with pytest.raises(UnknownSchemaError, match="0102030405060708"):
        codec.decode(codec.SINGLE_OBJECT + bytes(range(1, 9)) + b"body")


def test_confluent_framing_without_a_registry_says_which_setting_is_missing() -> None:
    with pytest.raises(UnknownSchemaError, match="TASKTAPE_SCHEMA_REGISTRY"):
        codec.decode(b"\x00\x00\x00\x00\x07body")


def test_single_object_framing_is_the_marker_and_the_little_endian_fingerprint() -> None:
    value = codec.encode(TaskArchived(meta=META, task="t"))
    schema = fastavro.parse_schema(json.loads(codec.schema_text("TaskArchived")))
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    assert value[:2] == b"\xc3\x01"
    assert value[2:10].hex() == fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")


def test_the_fingerprint_is_the_one_of_the_avro_specification() -> None:
    # Avro's share/test/data/schema-tests.txt gives 7195948357588979594 for "null"
    assert (7195948357588979594).to_bytes(8, "little").hex() == fastavro.schema.fingerprint('"null"', "CRC-64-AVRO")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324])
def test_every_double_survives(value: float) -> None:
    event = SingleValueReported(meta=META, task="t", run=1, name="loss", value=value)
    read = codec.decode(codec.encode(event))
    assert isinstance(read, SingleValueReported)
    assert repr(read.value) == repr(value)


def test_an_integer_beyond_64_bits_is_an_encode_error() -> None:
    with pytest.raises(EncodeError, match="RunProgressed"):
        codec.encode(RunProgressed(meta=META, task="t", run=1, progress=2**63))


def test_a_value_outside_a_literal_is_a_decode_error() -> None:
    event = RunFailed(meta=META, task="t", run=1, reason="r")
    with pytest.raises(DecodeError, match="cause"):
        codec.decode(codec.encode(event).replace(b"\x08task", b"\x08cats"))


def older(name: str, without: str) -> str:
    """The current schema as it was before a field was added."""
    schema = json.loads(codec.schema_text(name))
    schema["fields"] = [field for field in schema["fields"] if field["name"] != without]
    return json.dumps(schema)


def newer(name: str) -> str:
    """The current schema as it will be when a field has been added."""
    schema = json.loads(codec.schema_text(name))
    schema["fields"].insert(1, {"name": "added", "type": "string", "default": ""})
    return json.dumps(schema)


@pytest.mark.parametrize("schema", [older("RunFailed", "exit_code"), newer("RunFailed")], ids=["older", "newer"])
def test_a_record_of_another_version_is_read_as_this_versions(schema: str) -> None:
    event = RunFailed(meta=META, task="t", run=1, reason="r", message="m")
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, json.loads(schema), event.model_dump() | {"added": "unknown to us"})
    registry = FakeRegistry()
    registry.schemas = [schema]
    value = b"\x00\x00\x00\x00\x00" + buffer.getvalue()
    assert Codec(registry).decode(value) == event
    assert Codec(registry).reframe(value, "t") == value
    assert Codec().reframe(value, "t") == value


def test_a_record_of_a_released_version_is_read_by_its_fingerprint_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = RunFailed(meta=META, task="t", run=1, reason="r", message="m")
    old = older("RunFailed", "exit_code")
    released = tmp_path / "released" / "0.0.1"
    released.mkdir(parents=True)
    (released / "RunFailed.avsc").write_text(old)
    (released / "fingerprints.json").write_text(json.dumps({"RunFailed": fingerprint(json.loads(old))}))
    monkeypatch.setattr(codec, "_SCHEMAS", tmp_path)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, json.loads(old), event.model_dump())
    codec._released.cache_clear()
    try:
        value = codec.SINGLE_OBJECT + bytes.fromhex(fingerprint(json.loads(old))) + buffer.getvalue()
        assert codec.decode(value) == event
        with_registry = Codec(FakeRegistry())
        assert with_registry.reframe(value, event.topic_name) == with_registry.encode(event)
    finally:
        codec._released.cache_clear()


def test_an_event_type_from_the_future_is_an_unknown_schema() -> None:
    registry = FakeRegistry()
    registry.schemas = ['{"type": "record", "name": "TaskDreamt", "namespace": "tasktape.events", "fields": []}']
    with pytest.raises(UnknownSchemaError, match="TaskDreamt"):
        Codec(registry).decode(b"\x00\x00\x00\x00\x00")


def test_a_registry_that_does_not_answer_is_no_damage_of_the_record() -> None:
    class Away(FakeRegistry):
        def schema_of(self, schema_id: int) -> str:
            raise RegistryUnavailableError("http://registry", f"no answer for {schema_id}")

    with pytest.raises(RegistryUnavailableError) as raised:
        Codec(Away()).decode(b"\x00\x00\x00\x00\x00body")
    assert not isinstance(raised.value, DecodeError)


def test_an_event_goes_to_its_topic_under_its_key_and_is_read_back() -> None:
    event = TaskArchived(meta=META, task="task-1")
    with MemoryLog() as log:
        log.create_topics(TOPICS)
        append_event(log, event, codec=Codec())
        log.flush()
        with log.read(log.start_positions(["tasktape.tasks"])) as reader:
            (record,) = reader.poll(timeout=5)
    assert (record.topic, record.key) == ("tasktape.tasks", "task-1")
    assert record.headers == (("type", b"TaskArchived"),)
    assert read_event(record, codec=Codec()) == event
    with pytest.raises(DecodeError, match="tombstone"):
        read_event(record._replace(value=None), codec=Codec())
