from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.events import codec, scalars
from tasktape.events.base import Meta, from_us
from tasktape.events.codec import Codec
from tasktape.events.errors import DecodeError
from tasktape.events.report_events import ScalarsReported
from tasktape.events.scalars import ScalarColumns, decode_columns, encode_columns, event_of, read_columns
from tasktape.events.task_events import TaskArchived

SCHEMA = fastavro.parse_schema(json.loads(codec.schema_text("ScalarsReported")))
META = Meta(event_id="e", occurred_at=from_us(1_700_000_000_000_001), actor="ann@host", session="s", seq=3)

int64s = st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200)
doubles = (
    st.floats(width=64)
    | st.floats(width=32)
    | st.integers(0, 2**64 - 1).map(
        lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0],
    )
)
points = st.tuples(st.integers(0, 2), int64s, int64s, doubles)


@st.composite
def columns(draw: st.DrawFn) -> ScalarColumns:
    rows = draw(st.lists(points, max_size=40))
    return ScalarColumns(
        meta=META,
        task=draw(st.text(max_size=5)),
        run=draw(int64s),
        series=(("loss", "train"), (draw(st.text()), 'é/"<b>\n'), ("", "")),
        index=np.array([row[0] for row in rows], np.int64),
        steps=np.array([row[1] for row in rows], np.int64),
        times=np.array([row[2] for row in rows], np.int64),
        values=np.array([row[3] for row in rows], np.float64),
    )


def assert_same(left: ScalarColumns, right: ScalarColumns) -> None:
    assert (left.meta, left.task, left.run, left.series) == (right.meta, right.task, right.run, right.series)
    for name in ("index", "steps", "times"):
        assert np.array_equal(getattr(left, name), getattr(right, name)), name
    assert np.array_equal(left.values.view(np.uint64), right.values.view(np.uint64))


def wrapped(number: int) -> int:
    return (number + 2**63) % 2**64 - 2**63


def plain_record(batch: ScalarColumns) -> dict[str, Any]:
    """The Avro record of a batch, made without the code under test."""

    def differences(numbers: list[int]) -> list[int]:
        return [wrapped(after - before) for before, after in zip([0, *numbers], numbers, strict=False)]

    values = batch.values.tolist()
    single = all(_survives_single(value) for value in values)
    return {
        "meta": batch.meta.model_dump(),
        "task": batch.task,
        "run": batch.run,
        "series": [{"title": title, "series": series} for title, series in batch.series],
        "index": batch.index.tolist(),
        "steps": differences(batch.steps.tolist()),
        "times": differences(batch.times.tolist()),
        "values32": values if single else [],
        "values64": [] if single else values,
    }


def _survives_single(value: float) -> bool:
    with np.errstate(all="ignore"):
        return struct.pack("<d", float(np.float64(np.float32(value)))) == struct.pack("<d", value)


@settings(deadline=None)
@given(columns())
def test_the_bytes_are_those_that_fastavro_writes(batch: ScalarColumns) -> None:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, SCHEMA, plain_record(batch))
    assert encode_columns(batch) == buffer.getvalue()


@settings(deadline=None)
@given(columns())
def test_columns_come_back_bit_for_bit(batch: ScalarColumns) -> None:
    assert_same(decode_columns(encode_columns(batch)), batch)


@settings(deadline=None)
@given(columns())
def test_an_event_and_its_columns_say_the_same(batch: ScalarColumns) -> None:
    event = event_of(batch)
    assert isinstance(event, ScalarsReported)
    assert codec.encode_body(event) == encode_columns(batch)
    assert_same(scalars.columns_of(event), batch)


@settings(deadline=None)
@given(columns(), st.integers(1, 7))
def test_arrays_in_several_blocks_with_sizes_are_read(batch: ScalarColumns, block: int) -> None:
    def array(items: list[bytes]) -> bytes:
        cut = [items[i : i + block] for i in range(0, len(items), block)]
        return b"".join(long(-len(part)) + long(len(b"".join(part))) + b"".join(part) for part in cut) + b"\0"

    record = plain_record(batch)
    assert_same(decode_columns(_in_blocks(batch, record, array)), batch)


def long(number: int) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, {"type": "long"}, number)
    return buffer.getvalue()


def _in_blocks(batch: ScalarColumns, record: dict[str, Any], array: Callable[[list[bytes]], bytes]) -> bytes:
    empty = encode_columns(ScalarColumns(batch.meta, batch.task, batch.run, (), *_no_points()))
    head = empty[: -len(b"\0" * 6)]
    texts = [codec_text(title) + codec_text(series) for title, series in batch.series]
    parts = [array(texts)]
    parts += [array([long(number) for number in record[name]]) for name in ("index", "steps", "times")]
    parts.append(array([np.float64(value).astype("<f4").tobytes() for value in record["values32"]]))
    parts.append(array([struct.pack("<d", value) for value in record["values64"]]))
    return head + b"".join(parts)


def _no_points() -> tuple[Any, Any, Any, Any]:
    none = np.empty(0, np.int64)
    return none, none, none, np.empty(0, np.float64)


def codec_text(text: str) -> bytes:
    return long(len(text.encode())) + text.encode()


@settings(deadline=None)
@given(columns(), st.data())
def test_damaged_bytes_are_a_decode_error_or_another_batch_never_anything_else(
    batch: ScalarColumns,
    data: st.DataObject,
) -> None:
    body = bytearray(encode_columns(batch))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    for damaged in (bytes(body), bytes(body[:cut]), bytes(body) + b"\1"):
        try:
            decode_columns(damaged)
        except DecodeError:
            continue


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_truncated_body_is_a_decode_error(cut: int) -> None:
    batch = ScalarColumns(META, "t", 1, (("a", "b"),), *(np.zeros(9, np.int64),) * 3, np.zeros(9))
    with pytest.raises(DecodeError):
        decode_columns(encode_columns(batch)[:-cut])


def test_a_point_of_an_unknown_series_is_a_decode_error() -> None:
    one = np.ones(1, np.int64)
    with pytest.raises(DecodeError, match="not among its 1"):
        decode_columns(encode_columns(ScalarColumns(META, "t", 1, (("a", "b"),), one, one, one, np.ones(1))))


def test_values_take_four_bytes_where_that_loses_nothing_and_eight_elsewhere() -> None:
    many = np.zeros(1000, np.int64)
    short = ScalarColumns(META, "t", 1, (("a", "b"),), many, many, many, np.full(1000, 0.5))
    exact = ScalarColumns(META, "t", 1, (("a", "b"),), many, many, many, np.full(1000, 0.1))
    assert len(encode_columns(exact)) - len(encode_columns(short)) == 4000


def test_a_record_is_read_with_the_schema_it_was_written_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    batch = ScalarColumns(META, "t", 1, (("a", "b"),), *(np.arange(3) * 0,) * 3, np.array([1.5, 2.5, 0.1]))
    older = json.loads(codec.schema_text("ScalarsReported"))
    older["fields"].append({"name": "extra", "type": "string", "default": ""})
    path = tmp_path / "ScalarsReported.avsc"
    path.write_text(json.dumps(older))
    monkeypatch.setattr(codec, "_released", lambda: {"0102030405060708": path})
    value = b"\xc3\x01" + bytes.fromhex("0102030405060708") + encode_columns(batch) + codec_text("more")
    assert_same(read_columns(value, Codec()), batch)


def test_another_event_is_no_batch_of_scalars() -> None:
    with pytest.raises(DecodeError, match="TaskArchived"):
        read_columns(Codec().encode(TaskArchived(meta=META, task="t")), Codec())
