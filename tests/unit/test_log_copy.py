"""Copying between logs, and archives: nothing lost, nothing changed, and every batch can be continued."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasktape.events.errors import DecodeError, RecordRefusedError, UnknownTopicError
from tasktape.events.log import Headers, LogRecord, Positions, TopicPartition, open_log
from tasktape.events.log.archive import ArchiveReader, ArchiveWriter
from tasktape.events.log.copy import copy
from tasktape.events.log.memory import MemoryLog
from tasktape.events.topics import TopicSpec
from tasktape.testing import append_all, memory_log, records_on

SPECS = [TopicSpec("a", 3), TopicSpec("b", 1, retention_ms=5), TopicSpec("c", 2, compact_after_ms=7)]
HEADERS = st.lists(st.tuples(st.text(max_size=3), st.binary(max_size=3)), max_size=2).map(tuple)
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]), st.none() | st.text(max_size=5), st.none() | st.binary(max_size=9), HEADERS
    ),
    max_size=30,
)


def filled(records: list[tuple[str, str | None, bytes | None, Headers]]) -> MemoryLog:
    log = MemoryLog(clock=iter(range(1, 10_000)).__next__)
    log.create_topics(SPECS)
    for topic, key, value, headers in records:
        log.append(topic, key, value, headers=headers)
    return log


def timeless(records: list[LogRecord]) -> list[LogRecord]:
    return [record._replace(timestamp=0) for record in records]


@given(records=RECORDS)
@settings(deadline=None, max_examples=50)
def test_a_copy_holds_the_same_records_in_the_same_places(
    records: list[tuple[str, str | None, bytes | None, Headers]],
) -> None:
    source = filled(records)
    with memory_log() as target:
        reached = copy(source, target)
        assert timeless(records_on(target)) == timeless(records_on(source))
        assert target.topics() == source.topics()
        assert reached == source.end_positions(["a", "b", "c"])


def test_a_copy_gives_events_the_targets_framing_and_leaves_what_is_none() -> None:
    def reframe(value: bytes, topic: str) -> bytes:
        if value == b"no event":
            raise DecodeError("no event")
        return topic.encode() + b":" + value

    source = filled([("b", "k", value, ()) for value in (b"event", b"no event", None)])
    with memory_log() as target:
        copy(source, target, reframe=reframe)
        assert [record.value for record in records_on(target)] == [b"b:event", b"no event", None]


@given(records=RECORDS)
@settings(deadline=None, max_examples=50)
def test_an_archive_gives_back_what_was_kept_offsets_and_times_too(
    records: list[tuple[str, str | None, bytes | None, Headers]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    source, path = filled(records), tmp_path_factory.mktemp("archive") / "log.avro"
    with ArchiveWriter(path) as archive:
        copy(source, archive)
    archived = ArchiveReader(path)
    assert archived.topics() == source.topics()
    assert archived.end_positions(["a", "b"]) == source.end_positions(["a", "b"])
    with archived.read(source.start_positions(["a", "b", "c"])) as follower:
        assert sorted(follower.poll()) == records_on(source)
    with memory_log() as target:
        copy(archived, target)
        assert timeless(records_on(target)) == timeless(records_on(source))


def test_a_copy_can_be_cut_off_and_continued(tmp_path: Path) -> None:
    source = filled([("a", f"{number}", b"%d" % number, ()) for number in range(2500)])
    told: list[tuple[Positions, int]] = []

    def stop_after_a_batch(positions: Positions, copied: int) -> None:
        told.append((positions, copied))
        raise KeyboardInterrupt

    with open_log(f"sqlite://{tmp_path}/log.db") as target:
        with pytest.raises(KeyboardInterrupt):
            copy(source, target, on_progress=stop_after_a_batch)
        [(positions, copied)] = told
        assert 0 < copied < 2500
        assert len(records_on(target)) == copied
        copy(source, target, positions=positions)
        assert timeless(records_on(target)) == timeless(records_on(source))


def test_a_copy_may_end_early_and_take_some_topics_only() -> None:
    source = filled([(topic, None, b"%d" % number, ()) for number in range(10) for topic in ("a", "b", "c")])
    with memory_log() as target:
        reached = copy(source, target, ["a"], until={TopicPartition("a", 0): 4, TopicPartition("b", 0): 4})
        assert [record.value for record in records_on(target)] == [b"0", b"1", b"2", b"3"]
        assert set(target.topics()) == {"a"}
        assert reached == {TopicPartition("a", 0): 4}
    with memory_log() as target, pytest.raises(UnknownTopicError):
        copy(source, target, ["never created"])


def test_keys_decide_where_the_target_has_other_partitions() -> None:
    source = filled([("a", f"{number % 7}", b"%d" % number, ()) for number in range(50)])
    with memory_log() as target, memory_log() as expected:
        for log in (target, expected):
            log.create_topics([TopicSpec("a", 5)])
        append_all(expected, "a", [(f"{number % 7}", b"%d" % number) for number in range(50)])
        copy(source, target, ["a"])
        assert {(r.key, r.partition, r.value) for r in records_on(target)} == {
            (r.key, r.partition, r.value) for r in records_on(expected)
        }


def test_a_record_the_target_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    source = filled([("b", None, b"x" * 100, ())])
    monkeypatch.setattr("tasktape.events.log.port.MAX_RECORD_BYTES", 99)
    with memory_log() as target, pytest.raises(RecordRefusedError):
        copy(source, target)


def test_an_archive_that_was_cut_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "log.avro"
    with ArchiveWriter(path) as archive:
        copy(filled([("a", f"{number}", bytes(1000), ()) for number in range(50)]), archive)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DecodeError, match=r"log\.avro is no whole archive"):
        ArchiveReader(path)
    path.write_bytes(b"something else")
    with pytest.raises(DecodeError):
        ArchiveReader(path)


def write_half_an_archive(path: Path) -> None:
    with ArchiveWriter(path) as archive:
        archive.create_topics(SPECS)
        raise KeyboardInterrupt


def test_an_export_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_half_an_archive(tmp_path / "log.avro")
    assert list(tmp_path.glob("*.avro*")) == []
