"""The port both message logs implement. Each sentence under *Guarantees* has a test in the contract suite.

Guarantees
==========

Append
    `append` returns at once; the record is delivered in the background and its delivery report tells where it lies.
    Records of one key, appended by one log object, keep their order.
    Equal keys go to equal partitions, and every log puts a key into the same partition (`partition_of`).
    A named partition wins over the key's.
    A record is never written twice by a retry, however often its delivery was in doubt.
    `flush` returns the number of records whose delivery is still open: 0 when everything is on the log.
    A record that can't be written is reported with an `AppendError`; it is never dropped in silence.
    A record of more than `MAX_RECORD_BYTES` can't be written, on any log.
    What no retry would get onto the log is reported with a `RecordRefusedError`, which is an `AppendError`.
    Appending to a topic that was never created is reported with an `UnknownTopicError`.
    What was delivered survives the death of the process that appended it.
    Key, value and headers come back byte for byte; a value of None (a tombstone) comes back as None.

Offsets and times
    Offsets of a partition start at 0 and grow; a later record has a larger offset. Gaps may occur.
    The log stamps each record with the time of its append in µs since 1970.
    Within a partition these times never decrease; on Kafka that is so as far as its brokers' clocks agree.

Read
    A reader starts exactly at the positions given and sees every record from there on, in each partition in order.
    A position before the first kept record starts at that record.
    A reader follows: records appended later, by any process, arrive without reopening.
    `poll` returns as soon as there is something, at most `limit` records, and nothing after `timeout`.
    `wake`, which any thread may call, ends the `poll` that waits, else the next one, within a second.
    `positions` says, for each partition, the offset of the next record to be returned.
    It reaches the partition's end even where the last records are gone.
    `is_at_end` says whether all is returned that was there at the opening, and all it has heard of since.
    A reader of a topic that was never created raises `UnknownTopicError`, at the latest when it is polled.
    Partitions can be added to a reader while it reads; those it reads already go on where they are.
    Readers do not disturb each other.

Positions
    `end_positions` gives for each partition the offset that the next record will get at the least, so a reader whose
    positions have reached it has seen everything that was delivered before the call.

Groups
    Every partition of the topics joined is owned by exactly one live member, once membership has settled.
    When a member leaves or dies its partitions go to the others; when one joins, partitions are shared anew.
    Committed positions belong to the group, outlive its members, and are read back as they were committed.
    They can be read without a membership, which disturbs no owner.
    Groups do not disturb each other.

Topics
    Creating a topic that exists is no error; with another number of partitions it raises `TopicMismatchError`.
    `topics` lists what exists, with its partitions.

Threads and processes
    All methods may be called from any thread; a reader or member is used by one thread at a time.
    Any number of processes use one log at once. A log object is not shared with a forked child.
    After `close` every method raises `LogClosedError`; `close` delivers what is open first, within its timeout.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Self

from ..errors import RecordRefusedError, TasktapeError
from ..topics import TopicSpec

MAX_RECORD_BYTES: Final = 8 * 1024 * 1024
"""What a record may weigh: key, value and headers together. Larger payloads belong in the blob store."""

Headers = tuple[tuple[str, bytes], ...]


class TopicPartition(NamedTuple):
    """One partition of a topic."""

    topic: str
    partition: int


class LogRecord(NamedTuple):
    """A record as it lies on the log; `timestamp` is the log's append time in µs since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: str | None
    value: bytes | None
    headers: Headers = ()

    @property
    def source(self) -> TopicPartition:
        """The partition it lies in."""
        return TopicPartition(self.topic, self.partition)


class Delivery(NamedTuple):
    """Delivery report of one append: where the record lies, or (with `error`) why it does not."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    error: TasktapeError | None = None


OnDelivery = Callable[[Delivery], None]
Positions = dict[TopicPartition, int]


def check_record(topic: str, key: str | None, value: bytes | None, headers: Headers) -> None:
    """Raise `RecordRefusedError` for a record over `MAX_RECORD_BYTES`, or whose key is no Unicode text."""
    try:
        names = sum(len(name.encode()) + len(content) for name, content in headers)
        size = len((key or "").encode()) + len(value or b"") + names
    except UnicodeEncodeError as error:
        raise RecordRefusedError(f"a record for {topic!r} has a key that is no Unicode text: {error}.") from error
    if size > MAX_RECORD_BYTES:
        limit = f"over the {MAX_RECORD_BYTES:,} a log takes: put it in the blob store"
        raise RecordRefusedError(f"a record of {size:,} bytes for {topic!r} is {limit}.")


def place(topic: str, key: str | None, partitions: int, wanted: int | None) -> int:
    """Partition of a record: the wanted one, else its key's; `RecordRefusedError` where the topic does not have it."""
    if wanted is None:
        return partition_of(key, partitions)
    if not 0 <= wanted < partitions:
        raise RecordRefusedError(f"topic {topic!r} has no partition {wanted}: it has {partitions}.")
    return wanted


def lag(ends: Positions, positions: Positions) -> int:
    """How far positions are behind ends, in offsets; where there is none, all is still to come."""
    return sum(max(0, end - positions.get(source, 0)) for source, end in ends.items())


def partition_of(key: str | None, partitions: int) -> int:
    """Partition of a key: murmur2 as Apache Kafka's own producer has it (`Utils.murmur2`), 0 for no key."""
    return (_murmur2(key.encode()) & 0x7FFFFFFF) % partitions if key is not None else 0


def _murmur2(data: bytes) -> int:
    """Hash of Kafka's default partitioner: MurmurHash2, 32 bit, seed 0x9747b28c."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    length = len(data)
    h = 0x9747B28C ^ length
    body = length & ~3
    for start in range(0, body, 4):
        k = int.from_bytes(data[start : start + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if rest := data[body:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


class Reader(ABC):
    """Follows partitions from given positions."""

    @abstractmethod
    def poll(self, timeout: float = 0.0, limit: int = 1000) -> Sequence[LogRecord]:
        """Return the next records; wait up to `timeout` seconds for the first."""

    @abstractmethod
    def wake(self) -> None:
        """Have a `poll` that waits in another thread return soon, with what there is; else the next one."""

    @abstractmethod
    def positions(self) -> Positions:
        """Return, for each partition read, the offset of the next record."""

    @abstractmethod
    def is_at_end(self) -> bool:
        """Return whether there is nothing more, as far as the log has said; never while it has not said anything."""

    @abstractmethod
    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions too, from these positions; those read already go on where they are."""

    @abstractmethod
    def close(self) -> None:
        """Stop reading and let go of all resources."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Member(ABC):
    """One member of a consumer group. Membership is kept alive in the background; no records pass through it."""

    @abstractmethod
    def owned(self) -> frozenset[TopicPartition]:
        """Return the partitions this member owns now."""

    @abstractmethod
    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit positions for the group; returns when they are stored."""

    @abstractmethod
    def committed(self, partitions: Iterable[TopicPartition]) -> Positions:
        """Return the group's committed positions; partitions without one are left out."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group at once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Log(ABC):
    """A message log."""

    url: str

    @abstractmethod
    def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Create topics that do not exist yet; returns when they can be used."""

    @abstractmethod
    def topics(self) -> dict[str, TopicSpec]:
        """Return all topics by name."""

    @abstractmethod
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
        """Append a record in the background.

        `on_delivery` is called once, never within `append`: from a thread of the log's, or from one that is in `flush`
        or `close`, so hold no lock there that it takes.
        """

    @abstractmethod
    def flush(self, timeout: float | None = None) -> int:
        """Wait until all appended records are delivered or failed; return how many are still open."""

    @abstractmethod
    def end_positions(self, topics: Iterable[str]) -> Positions:
        """Return the end of every partition of these topics; unknown topics raise `UnknownTopicError`."""

    @abstractmethod
    def read(self, positions: Mapping[TopicPartition, int]) -> Reader:
        """Open a reader at these positions."""

    @abstractmethod
    def join(self, group: str, topics: Sequence[str]) -> Member:
        """Join a consumer group for these topics; unknown ones raise `UnknownTopicError`."""

    @abstractmethod
    def committed(self, group: str) -> Positions:
        """Return all positions that a group has committed; none for a group that there never was."""

    @abstractmethod
    def close(self, timeout: float = 10.0) -> None:
        """Flush within the timeout, then let go of all resources."""

    def start_positions(self, topics: Iterable[str]) -> Positions:
        """Return position 0 of every partition of these topics: reading from there gives all that is kept."""
        return dict.fromkeys(self.end_positions(topics), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
