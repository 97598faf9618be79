"""A log in the memory of one process: for tests, users' own and ours, and for trying things out."""

from __future__ import annotations

import threading
import time
import uuid
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from ..base import now_us
from ..errors import TasktapeError, TopicMismatchError, UnknownTopicError
from ..topics import TopicSpec
from .groups import Owners, assign
from .lifetime import Lifetime, PartLifetime
from .port import (
    Delivery,
    Headers,
    Log,
    LogRecord,
    Member,
    OnDelivery,
    Positions,
    Reader,
    TopicPartition,
    check_record,
    place,
)
from .reports import Reports


@dataclass
class _Partition:
    records: list[LogRecord] = field(default_factory=list)
    end: int = 0


@dataclass
class _Group:
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    owners: Owners = field(default_factory=dict)
    committed: Positions = field(default_factory=dict)


class _Store:
    """What all log objects of one name share. `changed` guards everything and tells readers of news."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.changed = threading.Condition()
        self.clock = clock
        self.topics: dict[str, TopicSpec] = {}
        self.partitions: dict[TopicPartition, _Partition] = {}
        self.groups: dict[str, _Group] = {}
        self.last_timestamp = 0

    def now(self) -> int:
        self.last_timestamp = max(self.last_timestamp, self.clock())
        return self.last_timestamp

    def partitions_of(self, topics: Iterable[str]) -> Iterator[TopicPartition]:
        for topic in topics:
            if topic not in self.topics:
                raise UnknownTopicError(topic)
            yield from (TopicPartition(topic, number) for number in range(self.topics[topic].partitions))

    def create(self, spec: TopicSpec) -> None:
        existing = self.topics.setdefault(spec.name, spec)
        if existing.partitions != spec.partitions:
            raise TopicMismatchError(spec.name, existing.partitions, spec.partitions)
        for source in self.partitions_of([spec.name]):
            self.partitions.setdefault(source, _Partition())

    def settle(self, group: _Group) -> None:
        topics = {topic for joined in group.members.values() for topic in joined}
        group.owners = assign(group.members, self.partitions_of(topics), group.owners)


class MemoryLog(Log):
    """A log of this process alone; log objects of one name see the same records.

    `clock` gives the append times in µs since 1970.
    """

    _stores: ClassVar[dict[str, _Store]] = {}

    def __init__(self, name: str = "", *, clock: Callable[[], int] = now_us) -> None:
        self.url = f"memory://{name}"
        self._store = _Store(clock)
        self._life = Lifetime(self.url)
        self._reports = Reports()
        self._members: list[_MemoryMember] = []

    @classmethod
    def named(cls, name: str) -> Self:
        """Open the log of this name: the same records for every call with it."""
        log = cls(name)
        log._store = cls._stores.setdefault(name, log._store)
        return log

    @classmethod
    def forget(cls, name: str) -> None:
        """Drop all records of the log of this name; log objects already open keep theirs."""
        cls._stores.pop(name, None)

    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Create topics that do not exist yet."""
        self._life.check()
        with self._store.changed:
            for spec in specs:
                self._store.create(spec)

    def topics(self) -> dict[str, TopicSpec]:
        """Return all topics by name."""
        self._life.check()
        with self._store.changed:
            return dict(self._store.topics)

    def append(
        self,
        topic: str,
        key: str | None,
        value: bytes | None,
        *,
        headers: Headers = (),
        partition: int | None = None,
        on_delivery: OnDelivery | None = None,
    ) -> None:
        """Append a record; it can be read at once, its delivery report follows from a thread."""
        self._life.check()
        try:
            delivery = self._write(topic, key, value, tuple(headers), partition)
        except TasktapeError as error:
            delivery = Delivery(topic, -1 if partition is None else partition, -1, -1, error)
        if on_delivery is not None:
            self._reports.put(on_delivery, delivery)

    def _write(
        self, topic: str, key: str | None, value: bytes | None, headers: Headers, wanted: int | None
    ) -> Delivery:
        check_record(topic, key, value, headers)
        store = self._store
        with store.changed:
            if topic not in store.topics:
                raise UnknownTopicError(topic)
            source = TopicPartition(topic, place(topic, key, store.topics[topic].partitions, wanted))
            held = store.partitions[source]
            record = LogRecord(*source, held.end, store.now(), key, value, headers)
            held.records.append(record)
            held.end += 1
            store.changed.notify_all()
        return Delivery(*source, record.offset, record.timestamp)

    def flush(self, timeout: float | None = None) -> int:
        """Wait until all delivery reports are out; return how many are not."""
        self._life.check()
        return self._reports.wait(timeout)

    def end_positions(self, topics: Iterable[str]) -> Positions:
        """Return the end of every partition of these topics."""
        self._life.check()
        with self._store.changed:
            return {source: self._store.partitions[source].end for source in self._store.partitions_of(topics)}

    def read(self, positions: Mapping[TopicPartition, int]) -> Reader:
        """Open a reader at these positions."""
        self._life.check()
        return _MemoryReader(self._store, self._life, positions)

    def join(self, group: str, topics: Sequence[str]) -> Member:
        """Join a consumer group for these topics."""
        self._life.check()
        member = _MemoryMember(self._store, self._life, group, topics)
        self._members.append(member)
        return member

    def committed(self, group: str) -> Positions:
        """Return all positions that a group has committed."""
        self._life.check()
        with self._store.changed:
            return dict(self._store.groups[group].committed) if group in self._store.groups else {}

    def delete_before(self, positions: Mapping[TopicPartition, int]) -> None:
        """Delete the records before these positions, as retention does on the other logs."""
        self._life.check()
        with self._store.changed:
            for source, offset in positions.items():
                records = self._store.partitions[source].records
                del records[: bisect_left(records, offset, key=lambda record: record.offset)]

    def close(self, timeout: float = 10.0) -> None:
        """Hand out open delivery reports, then close."""
        if not self._life.closed and not self._life.forked:
            self._reports.wait(timeout)
            for member in self._members:
                member.close()
        self._life.end()
        with self._store.changed:
            self._store.changed.notify_all()


class _MemoryReader(Reader):
    def __init__(self, store: _Store, life: Lifetime, positions: Mapping[TopicPartition, int]) -> None:
        self._store = store
        self._life = PartLifetime(life)
        self._positions: Positions = {}
        self._woken = False
        self.add(positions)

    def poll(self, timeout: float = 0.0, limit: int = 1000) -> Sequence[LogRecord]:
        deadline = time.monotonic() + timeout
        with self._store.changed:
            self._life.check()
            while not (found := self._take(limit)) and not self._woken and (left := deadline - time.monotonic()) > 0:
                self._store.changed.wait(left)
                self._life.check()
            self._woken = False
        return found

    def wake(self) -> None:
        with self._store.changed:
            self._woken = True
            self._store.changed.notify_all()

    def _take(self, limit: int) -> list[LogRecord]:
        found: list[LogRecord] = []
        for source, offset in list(self._positions.items()):
            held = self._store.partitions[source]
            first = bisect_left(held.records, offset, key=lambda record: record.offset)
            taken = held.records[first : first + limit - len(found)]
            found += taken
            whole = first + len(taken) == len(held.records)
            self._positions[source] = max(offset, held.end if whole else taken[-1].offset + 1 if taken else offset)
        return found

    def positions(self) -> Positions:
        self._life.check()
        return dict(self._positions)

    def is_at_end(self) -> bool:
        with self._store.changed:
            self._life.check()
            return all(offset >= self._store.partitions[source].end for source, offset in self._positions.items())

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        with self._store.changed:
            self._life.check()
            for source in positions:
                if source not in self._store.partitions:
                    raise UnknownTopicError(source.topic)
            self._positions = {**positions, **self._positions}

    def close(self) -> None:
        self._life.end()
        with self._store.changed:
            self._store.changed.notify_all()


class _MemoryMember(Member):
    def __init__(self, store: _Store, life: Lifetime, group: str, topics: Sequence[str]) -> None:
        self._store = store
        self._life = PartLifetime(life)
        self._id = uuid.uuid4().hex
        with store.changed:
            list(store.partitions_of(topics))
            self._group = store.groups.setdefault(group, _Group())
            self._group.members[self._id] = tuple(topics)
            store.settle(self._group)

    def owned(self) -> frozenset[TopicPartition]:
        self._life.check()
        with self._store.changed:
            return frozenset(source for source, owner in self._group.owners.items() if owner == self._id)

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        self._life.check()
        with self._store.changed:
            self._group.committed.update(positions)

    def committed(self, partitions: Iterable[TopicPartition]) -> Positions:
        self._life.check()
        with self._store.changed:
            return {source: self._group.committed[source] for source in partitions if source in self._group.committed}

    def close(self) -> None:
        if self._life.end():
            with self._store.changed:
                self._group.members.pop(self._id, None)
                self._store.settle(self._group)
