"""Each log against a plain-Python one, under random sequences of everything the port offers."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tasktape.events.errors import TopicMismatchError
from tasktape.events.log import Delivery, Headers, Log, Positions, Reader, TopicPartition, open_log, partition_of
from tasktape.events.topics import TopicSpec
from tasktape.tests.contract.promises import forget_before

PARTITIONS = 3
KEYS = st.sampled_from([None, "", "a", "b", "c", "ü"])
VALUES = st.one_of(st.none(), st.binary(max_size=20))
HEADERS = st.lists(st.tuples(st.sampled_from(["h", "type"]), st.binary(max_size=3)), max_size=2).map(tuple)
NUMBERS = st.integers(0, PARTITIONS - 1)


class Entry(NamedTuple):
    """A record as the plain-Python log keeps it; its offset is its index."""

    key: str | None
    value: bytes | None
    headers: Headers


class Following(NamedTuple):
    """A reader beside what it should see."""

    reader: Reader
    positions: Positions


class LogMachine(RuleBasedStateMachine):
    """Does the same to a real log and to lists of entries."""

    url: str

    readers = Bundle("readers")

    @initialize()
    def begin(self) -> None:
        self.topic = f"test-{uuid.uuid4().hex[:16]}"
        self.log: Log = open_log(self.url)
        self.log.create_topics([TopicSpec(self.topic, PARTITIONS)])
        self.entries: list[list[Entry]] = [[] for _ in range(PARTITIONS)]
        self.kept_from = [0] * PARTITIONS
        self.committed: Positions = {}
        self.opened: list[Following] = []

    def at(self, number: int) -> TopicPartition:
        return TopicPartition(self.topic, number)

    def ends(self) -> Positions:
        return {self.at(number): len(entries) for number, entries in enumerate(self.entries)}

    @rule(records=st.lists(st.tuples(KEYS, VALUES, HEADERS, st.none() | NUMBERS), min_size=1, max_size=8))
    def append(self, records: list[tuple[str | None, bytes | None, Headers, int | None]]) -> None:
        deliveries: list[Delivery] = []
        expected: list[tuple[int, int]] = []
        for key, value, headers, wanted in records:
            number = partition_of(key, PARTITIONS) if wanted is None else wanted
            expected.append((number, len(self.entries[number])))
            self.entries[number].append(Entry(key, value, headers))
            self.log.append(self.topic, key, value, headers=headers, partition=wanted, on_delivery=deliveries.append)
        assert self.log.flush(30) == 0
        assert [delivery.error for delivery in deliveries if delivery.error] == []
        assert sorted((delivery.partition, delivery.offset) for delivery in deliveries) == sorted(expected)

    @rule(target=readers, starts=st.dictionaries(NUMBERS, st.floats(0, 1)))
    def read(self, starts: dict[int, float]) -> Following:
        positions = {self.at(number): round(share * len(self.entries[number])) for number, share in starts.items()}
        following = Following(self.log.read(positions), dict(positions))
        self.opened.append(following)
        return following

    @rule(following=readers, number=NUMBERS, share=st.floats(0, 1))
    def add(self, following: Following, number: int, share: float) -> None:
        position = round(share * len(self.entries[number]))
        following.reader.add({self.at(number): position})
        following.positions.setdefault(self.at(number), position)

    @rule(following=readers, limit=st.integers(1, 10))
    def poll(self, following: Following, limit: int) -> None:
        before = len(self.unseen(following))
        found = following.reader.poll(30 if before else 0, limit)
        assert len(found) <= limit
        assert bool(found) == bool(before)
        for record in found:
            place = record.source
            expected = max(following.positions[place], self.kept_from[record.partition])
            assert record.offset == expected
            assert Entry(record.key, record.value, record.headers) == self.entries[record.partition][expected]
            following.positions[place] = expected + 1

    def unseen(self, following: Following) -> list[tuple[int, int]]:
        return [
            (place.partition, offset)
            for place, position in following.positions.items()
            for offset in range(max(position, self.kept_from[place.partition]), len(self.entries[place.partition]))
        ]

    @rule(following=readers)
    def catch_up(self, following: Following) -> None:
        while any(
            following.reader.positions()[place] < len(self.entries[place.partition]) for place in following.positions
        ):
            for record in following.reader.poll(1):
                following.positions[record.source] = record.offset + 1
        for place in following.positions:
            following.positions[place] = len(self.entries[place.partition])

    @rule(positions=st.dictionaries(NUMBERS, st.integers(0, 100), min_size=1))
    def commit(self, positions: dict[int, int]) -> None:
        wanted = {self.at(number): position for number, position in positions.items()}
        with self.log.join(self.topic, [self.topic]) as member:
            member.commit(wanted)
        self.committed |= wanted

    @rule()
    def look_up_commits(self) -> None:
        with self.log.join(self.topic, [self.topic]) as member:
            assert member.committed(self.ends()) == self.committed

    @rule(number=NUMBERS, share=st.floats(0, 1))
    def forget(self, number: int, share: float) -> None:
        kept_from = max(self.kept_from[number], round(share * len(self.entries[number])))
        if kept_from > self.kept_from[number]:
            for following in self.opened:
                self.catch_up(following)
            forget_before(self.log, {self.at(number): kept_from})
            self.kept_from[number] = kept_from

    @rule(partitions=st.integers(1, 5))
    def create_again(self, partitions: int) -> None:
        specs = [TopicSpec(self.topic, partitions)]
        if partitions == PARTITIONS:
            self.log.create_topics(specs)
        else:
            with pytest.raises(TopicMismatchError):
                self.log.create_topics(specs)

    @invariant()
    def ends_agree(self) -> None:
        if hasattr(self, "log"):
            assert self.log.end_positions([self.topic]) == self.ends()

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()


EXAMPLES = {"memory": 40, "sqlite": 30, "kafka": 5}


def test_a_log_does_what_a_plain_one_does(log_kind: str, any_log_url: str, tmp_path: Path) -> None:
    new: dict[str, Callable[[], str]] = {
        "memory": lambda: f"memory://{uuid.uuid4().hex}",
        "sqlite": lambda: f"sqlite://{tmp_path}/{uuid.uuid4().hex}.db",
        "kafka": lambda: any_log_url,
    }

    class Machine(LogMachine):
        def __init__(self) -> None:
            super().__init__()
            self.url = new[log_kind]()

    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    examples = settings(
        max_examples=EXAMPLES[log_kind], stateful_step_count=25, deadline=None, suppress_health_check=checks
    )
    run_state_machine_as_test(Machine, settings=examples)
