"""How many transactions a follower makes of what it follows: each costs milliseconds, however little is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from tasktape.events.codec import Codec
from tasktape.events.log.memory import MemoryLog
from tasktape.events.log.port import LogRecord, Positions, Reader, TopicPartition
from tasktape.events.topics import TOPICS
from tasktape.projections.database import Database
from tasktape.projections.projector import BATCH_RECORDS, Projector

SECONDS_BETWEEN = 0.01


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Trickle(Reader):
    """Whoever waits finds one more record; time passes only then."""

    def __init__(self, log: MemoryLog, reader: Reader, clock: Clock, records: int) -> None:
        self._log = log
        self._reader = reader
        self._clock = clock
        self.left = records

    def poll(self, timeout: float = 0.0, limit: int = 1000) -> Sequence[LogRecord]:
        if timeout > 0 and self.left:
            self.left -= 1
            self._clock.now += SECONDS_BETWEEN
            self._log.append("tasktape.workers", "w", None)
            self._log.flush()
        return self._reader.poll(0, limit)

    def wake(self) -> None:
        self._reader.wake()

    def positions(self) -> Positions:
        return self._reader.positions()

    def is_at_end(self) -> bool:
        return self._reader.is_at_end()

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        self._reader.add(positions)

    def close(self) -> None:
        self._reader.close()


@pytest.fixture
def log() -> Iterator[MemoryLog]:
    with MemoryLog("batches") as made:
        made.create_topics(TOPICS)
        yield made


def batches(log: MemoryLog, records: int, gather: float, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches in which a projector writes records that come one by one."""
    clock = Clock()
    read = log.read
    made: list[Trickle] = []

    def trickle(positions: Mapping[TopicPartition, int]) -> Trickle:
        made.append(Trickle(log, read(positions), clock, records))
        return made[-1]

    monkeypatch.setattr(log, "read", trickle)
    database = Database.in_memory("")
    projector = Projector(log, database, Codec(), clock=clock)
    sizes = [projector.step(1.0, gather)]
    while made[0].left:
        sizes.append(projector.step(1.0, gather))
    projector.close()
    database.close()
    return sizes


def test_a_first_record_is_written_at_once_and_a_stream_of_them_some_times_a_second(
    log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = batches(log, 100, 0.05, monkeypatch)
    assert first == 1
    assert {5, 6} >= set(others[:-1])
    assert first + sum(others) == 100


def test_without_gathering_nothing_waits(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> None:
    assert batches(log, 10, 0.0, monkeypatch) == [1] * 10


def test_a_full_batch_waits_for_no_more(log: MemoryLog) -> None:
    clock = Clock()
    for _ in range(2 * BATCH_RECORDS):
        log.append("tasktape.workers", "w", None)
    log.flush()
    database = Database.in_memory("")
    projector = Projector(log, database, Codec(), clock=clock)
    taken = [projector.step(0.0, gather=10.0) for _ in range(2)]
    projector.close()
    database.close()
    assert min(taken) >= BATCH_RECORDS
