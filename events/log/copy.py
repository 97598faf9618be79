"""Copying from one log to another: to an archive and from one, to a Kafka of one's own, offline work to the log."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol, Self, runtime_checkable

from ..errors import DecodeError, TasktapeError
from ..topics import TopicSpec
from .port import Delivery, Log, LogRecord, Positions, TopicPartition

BATCH: Final = 1000
_WAIT: Final = 1.0

OnProgress = Callable[[Positions, int], None]
"""Told after each batch from where on to copy next, and how many records have been copied in all."""

Reframe = Callable[[bytes, str], bytes]
"""Makes the value of a record for a topic from another framing of it; raises `DecodeError` for what it can't read."""


class Follower(Protocol):
    """What is left of a `Reader` when nothing is added to it."""

    def poll(self, timeout: float = 0.0, limit: int = 1000) -> Sequence[LogRecord]:
        """Return the next records."""

    def positions(self) -> Positions:
        """Return, for each partition read, the offset of the next record."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class Source(Protocol):
    """What can be copied from: any `Log`, or an archive."""

    def topics(self) -> dict[str, TopicSpec]:
        """Return all topics by name."""

    def end_positions(self, topics: Iterable[str]) -> Positions:
        """Return the end of every partition of these topics."""

    def read(self, positions: Mapping[TopicPartition, int]) -> Follower:
        """Open a reader at these positions."""


@runtime_checkable
class Archive(Protocol):
    """What keeps records as they are, offsets and append times too."""

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Note topics."""

    def keep(self, records: Sequence[LogRecord]) -> None:
        """Keep records; returns when they are written."""


def copy(
    source: Source,
    target: Log | Archive,
    topics: Iterable[str] | None = None,
    *,
    positions: Mapping[TopicPartition, int] | None = None,
    until: Mapping[TopicPartition, int] | None = None,
    on_progress: OnProgress | None = None,
    reframe: Reframe | None = None,
) -> Positions:
    """Append the records of `source` to `target`: keys, values, headers and the order within partitions stay.

    Topics that `target` lacks are created as they are in `source`. Records keep their partition where both have equally
    many, else their key decides. Offsets and append times are new, except in an archive.

    Args:
        source: Where to read.
        target: Where to append.
        topics: Which topics (default: all).
        positions: Where to start (default: at the beginning).
        until: Where to end, at most where the source ends now (the default); partitions not named are left out.
        on_progress: Told after each batch that `target` has acknowledged.
        reframe: Gives values the target's framing, as `Codec.reframe` does; those that are no events stay as they are.

    Returns:
        The positions that were reached: a later call continues there. A batch that was cut off is copied again then;
        events bear ids by which readers know such copies.

    Raises:
        AppendError: a record could not be appended; `on_progress` was told what was.
    """
    specs = source.topics()
    names = list(specs if topics is None else topics)
    ends = source.end_positions(names)
    if until is not None:
        ends = {place: min(until[place], end) for place, end in ends.items() if place in until}
    reached = {place: (positions or {}).get(place, 0) for place in ends}
    put = _putter(target, [specs[name] for name in names if name in specs], reframe)
    copied = 0
    with source.read(reached) as reader:
        while any(reached[place] < end for place, end in ends.items()):
            records = [record for record in reader.poll(_WAIT, BATCH) if record.offset < ends[record.source]]
            put(records)
            copied += len(records)
            reached = {place: min(position, ends[place]) for place, position in reader.positions().items()}
            if on_progress is not None:
                on_progress(dict(reached), copied)
    return reached


def _putter(
    target: Log | Archive, specs: Sequence[TopicSpec], reframe: Reframe | None
) -> Callable[[Sequence[LogRecord]], None]:
    """Prepare the target's topics and return what puts a batch there."""
    if isinstance(target, Archive):
        target.create_topics(specs)
        return target.keep
    existing = target.topics()
    target.create_topics([spec for spec in specs if spec.name not in existing])
    alike = {spec.name for spec in specs if existing.get(spec.name, spec).partitions == spec.partitions}
    return lambda records: _append(target, records if reframe is None else _reframed(records, reframe), alike)


def _reframed(records: Iterable[LogRecord], reframe: Reframe) -> Iterator[LogRecord]:
    for record in records:
        value = record.value
        with contextlib.suppress(DecodeError):
            value = None if value is None else reframe(value, record.topic)
        yield record._replace(value=value)


def _append(target: Log, records: Iterable[LogRecord], alike: set[str]) -> None:
    """Append a batch and wait for it; raise the first error."""
    errors: list[TasktapeError] = []

    def report(delivery: Delivery) -> None:
        if delivery.error is not None:
            errors.append(delivery.error)

    for record in records:
        target.append(
            record.topic,
            record.key,
            record.value,
            headers=record.headers,
            partition=record.partition if record.topic in alike else None,
            on_delivery=report,
        )
    target.flush()
    if errors:
        raise errors[0]
