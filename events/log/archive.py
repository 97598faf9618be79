"""A log in one file, an Avro object container, to keep or to carry elsewhere: offsets and append times stay.

See Apache Avro 1.12, "Object Container Files". The entries are of two kinds: topics, and records.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, cast

import fastavro
import fastavro.write

from ..errors import DecodeError, UnknownTopicError
from ..topics import TopicSpec
from .port import LogRecord, Positions, TopicPartition

_OPTIONAL_LONG: Final = ["null", "long"]
SCHEMA: Final = fastavro.parse_schema(
    [
        {
            "type": "record",
            "name": "tasktape.archive.Topic",
            "fields": [
                {"name": "name", "type": "string"},
                {"name": "partitions", "type": "int"},
                {"name": "retention_ms", "type": _OPTIONAL_LONG},
                {"name": "compact_after_ms", "type": _OPTIONAL_LONG},
            ],
        },
        {
            "type": "record",
            "name": "tasktape.archive.Record",
            "fields": [
                {"name": "topic", "type": "string"},
                {"name": "partition", "type": "int"},
                {"name": "offset", "type": "long"},
                {"name": "timestamp", "type": "long", "doc": "append time, µs since 1970"},
                {"name": "key", "type": ["null", "string"]},
                {"name": "value", "type": ["null", "bytes"]},
                {
                    "name": "headers",
                    "type": {
                        "type": "array",
                        "items": {
                            "type": "record",
                            "name": "tasktape.archive.Header",
                            "fields": [{"name": "name", "type": "string"}, {"name": "content", "type": "bytes"}],
                        },
                    },
                },
            ],
        },
    ]
)


class ArchiveWriter:
    """A new archive at `path`; the file appears when the archive is closed, whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        self._file = self._partial.open("wb")
        self._writer = fastavro.write.Writer(self._file, SCHEMA, codec="deflate")

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Note topics."""
        for spec in specs:
            self._writer.write(_tagged("Topic", spec._asdict()))

    def keep(self, records: Sequence[LogRecord]) -> None:
        """Write records as they are."""
        for record in records:
            headers = [{"name": name, "content": content} for name, content in record.headers]
            self._writer.write(_tagged("Record", record._asdict() | {"headers": headers}))
        self._writer.flush()

    def close(self) -> None:
        """Finish the file and give it its name."""
        self._writer.flush()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()
            self._partial.unlink()


def _tagged(kind: str, entry: dict[str, Any]) -> Any:
    """Return an entry with the name of its type, which is how fastavro is told which of a union's types is meant."""
    return f"tasktape.archive.{kind}", entry


class ArchiveReader:
    """The archive at `path`. Raises `DecodeError` for a file that is none, or is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._specs: dict[str, TopicSpec] = {}
        self._ends: Positions = {}
        for name, entry in entries(path):
            if name.endswith("Topic"):
                spec = TopicSpec(**entry)
                self._specs[spec.name] = spec
                for number in range(spec.partitions):
                    self._ends.setdefault(TopicPartition(spec.name, number), 0)
            else:
                self._ends[TopicPartition(entry["topic"], entry["partition"])] = entry["offset"] + 1

    def topics(self) -> dict[str, TopicSpec]:
        """Return all topics by name."""
        return dict(self._specs)

    def end_positions(self, topics: Iterable[str]) -> Positions:
        """Return the end of every partition of these topics."""
        names = set(topics)
        for name in names - self._specs.keys():
            raise UnknownTopicError(name)
        return {place: end for place, end in self._ends.items() if place.topic in names}

    def read(self, positions: Mapping[TopicPartition, int]) -> ArchiveFollower:
        """Open a reader at these positions; at the end of the file it finds nothing more."""
        return ArchiveFollower(self._path, positions, self._ends)


class ArchiveFollower:
    """Goes through an archive once, from front to back."""

    def __init__(self, path: Path, positions: Mapping[TopicPartition, int], ends: Positions) -> None:
        self._positions = dict(positions)
        self._ends = ends
        self._entries = entries(path)

    def poll(self, timeout: float = 0.0, limit: int = 1000) -> Sequence[LogRecord]:  # noqa: ARG002  nothing to wait for
        """Return the next records."""
        found: list[LogRecord] = []
        for name, entry in self._entries:
            if name.endswith("Record") and (record := _record(entry)).offset >= self._start(record):
                self._positions[record.source] = record.offset + 1
                found.append(record)
                if len(found) == limit:
                    return found
        for place, position in self._positions.items():
            self._positions[place] = max(position, self._ends.get(place, 0))
        return found

    def _start(self, record: LogRecord) -> float:
        return self._positions.get(record.source, float("inf"))

    def positions(self) -> Positions:
        """Return, for each partition read, the offset of the next record."""
        return dict(self._positions)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._entries.close()


def entries(path: Path) -> Any:
    """Give each entry of an archive as its type's name and a dict."""
    with path.open("rb") as file:
        try:
            for entry in fastavro.reader(file, return_record_name=True):
                yield cast("tuple[str, dict[str, Any]]", entry)
        except (ValueError, EOFError, KeyError, IndexError) as error:
            raise DecodeError(f"{path} is no whole archive: {error}.") from error


def _record(entry: dict[str, Any]) -> LogRecord:
    headers = tuple((header["name"], header["content"]) for header in entry["headers"])
    return LogRecord(**(entry | {"headers": headers}))
