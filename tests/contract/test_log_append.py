"""The port's guarantees about appending, offsets and times, on each log."""

from __future__ import annotations

import itertools
import sqlite3
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from tasktape.events.errors import AppendError, RecordRefusedError, UnknownTopicError
from tasktape.events.log import MAX_RECORD_BYTES, Delivery, Log, TopicPartition, open_log, partition_of
from tasktape.events.log.kafka import KafkaLog
from tasktape.events.log.memory import MemoryLog
from tasktape.events.log.sqlite import SqliteLog
from tasktape.events.topics import TopicSpec
from tasktape.testing import append_all, records_on
from tasktape.tests.contract.promises import elsewhere, kafka_servers, promise, promised, sentences
from tasktape.tests.kafka.broker import Broker

TYPES: dict[str, type[Log]] = {"memory": MemoryLog, "sqlite": SqliteLog, "kafka": KafkaLog}


@pytest.fixture
def log(any_log: Log, log_kind: str, topic: str) -> Log:
    """A log of each kind with a topic of four partitions."""
    assert type(any_log) is TYPES[log_kind]
    any_log.create_topics([TopicSpec(topic, 4)])
    return any_log


def test_each_sentence_of_the_ports_guarantees_has_a_test() -> None:
    assert promised(Path(__file__).parent) == sentences()


@promise(
    "`append` returns at once; the record is delivered in the background and its delivery report tells where it lies."
)
def test_a_delivery_report_tells_where_the_record_lies(log: Log, topic: str) -> None:
    [delivery] = append_all(log, topic, [("k", b"v")])
    [record] = records_on(log, [topic])
    assert delivery == Delivery(record.topic, record.partition, record.offset, record.timestamp)


@promise(
    "`append` returns at once; the record is delivered in the background and its delivery report tells where it lies."
)
def test_append_does_not_wait_for_its_delivery_report(log: Log, topic: str) -> None:
    lock, reported = threading.Lock(), threading.Event()

    def report(_: Delivery) -> None:
        with lock:
            reported.set()

    with lock:
        log.append(topic, "k", b"v", on_delivery=report)
    assert reported.wait(30)


@promise("Records of one key, appended by one log object, keep their order.")
def test_records_of_one_key_keep_their_order(log: Log, topic: str) -> None:
    for number in range(500):
        log.append(topic, f"key {number % 3}", b"%d" % number)
    log.flush()
    values = defaultdict(list)
    for record in records_on(log, [topic]):
        values[record.key].append(int(record.value or b""))
    assert values == {f"key {rest}": list(range(rest, 500, 3)) for rest in range(3)}


@promise("Equal keys go to equal partitions, and every log puts a key into the same partition (`partition_of`).")
def test_a_key_decides_the_partition_as_kafkas_own_producer_has_it(log: Log, topic: str) -> None:
    keys = [*(f"{number:032x}" for number in range(50)), "", "a", "ü", "\N{PERSONAL COMPUTER}", "x" * 1000, None]
    append_all(log, topic, [(key, b"") for key in keys] * 2)
    found = {(record.key, record.partition) for record in records_on(log, [topic])}
    assert found == {(key, partition_of(key, 4)) for key in keys}


@promise("A named partition wins over the key's.")
def test_a_named_partition_wins_over_the_keys(log: Log, topic: str) -> None:
    for partition in range(4):
        log.append(topic, "same key", b"", partition=partition)
    log.flush()
    assert [record.partition for record in records_on(log, [topic])] == [0, 1, 2, 3]


class LostAnswer:
    """A connection whose first COMMIT happens, but seems to have failed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.lost = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        cursor = self._connection.execute(statement, *values)
        if statement == "COMMIT" and not self.lost:
            self.lost += 1
            raise sqlite3.OperationalError("disk I/O error")
        return cursor


@promise("A record is never written twice by a retry, however often its delivery was in doubt.")
def test_a_commit_whose_answer_is_lost_counts_once(tmp_path: Path) -> None:
    with SqliteLog(tmp_path / "log.db") as log:
        log.create_topics([TopicSpec("t", 1)])
        log._writer._connection = lossy = LostAnswer(log._writer._connection)  # type: ignore[assignment]
        deliveries = append_all(log, "t", [("k", b"first")]) + append_all(log, "t", [("k", b"second")])
        assert lossy.lost == 1
        assert [(delivery.offset, delivery.error) for delivery in deliveries] == [(0, None), (1, None)]
        assert [record.value for record in records_on(log, ["t"])] == [b"first", b"second"]


@pytest.mark.kafka
@promise("A record is never written twice by a retry, however often its delivery was in doubt.")
def test_records_sent_again_to_a_broker_that_froze_are_there_once(broker: Broker, topic: str) -> None:
    settings = {"request.timeout.ms": "500", "socket.timeout.ms": "1000"}
    with KafkaLog(broker.address, settings) as log:
        log.create_topics([TopicSpec(topic, 1)])
        append_all(log, topic, [("k", b"0")])
        broker.freeze()
        for number in range(1, 50):
            log.append(topic, "k", b"%d" % number)
        assert log.flush(3) == 49
        broker.resume()
        assert log.flush(60) == 0
        assert [int(record.value or b"") for record in records_on(log, [topic])] == list(range(50))


@promise("`flush` returns the number of records whose delivery is still open: 0 when everything is on the log.")
def test_after_flush_everything_is_on_the_log_and_reported(log: Log, topic: str) -> None:
    deliveries = append_all(log, topic, [(f"{number}", b"") for number in range(1000)])
    assert len(deliveries) == 1000
    assert log.flush() == 0
    assert sum(log.end_positions([topic]).values()) == 1000


@promise("`flush` returns the number of records whose delivery is still open: 0 when everything is on the log.")
def test_flush_tells_how_many_records_wait_for_a_lock_that_another_process_holds(tmp_path: Path) -> None:
    with SqliteLog(tmp_path / "log.db") as log, sqlite3.connect(tmp_path / "log.db") as other:
        log.create_topics([TopicSpec("t", 1)])
        other.execute("BEGIN IMMEDIATE")
        log.append("t", "k", b"1")
        log.append("t", "k", b"2")
        assert log.flush(0.05) == 2
        other.rollback()
        assert log.flush(30) == 0
        assert [record.value for record in records_on(log, ["t"])] == [b"1", b"2"]
    other.close()


@promise("`flush` returns the number of records whose delivery is still open: 0 when everything is on the log.")
def test_flush_tells_how_many_records_wait_for_a_broker_that_is_away() -> None:
    with KafkaLog("127.0.0.1:1") as log:
        log.append("t", "k", b"1")
        log.append("t", "k", b"2")
        assert log.flush(0.05) == 2
        log.close(0)


@promise("What no retry would get onto the log is reported with a `RecordRefusedError`, which is an `AppendError`.")
@pytest.mark.parametrize(("key", "partition"), [("half a pair: \ud83d", None), ("k", 4), ("k", -1)])
def test_what_no_log_can_take_is_reported(log: Log, topic: str, key: str, partition: int | None) -> None:
    deliveries: list[Delivery] = []
    log.append(topic, key, b"bad", partition=partition, on_delivery=deliveries.append)
    log.append(topic, "good", b"good", on_delivery=deliveries.append)
    assert log.flush() == 0
    errors = [delivery.error for delivery in deliveries]
    assert [type(error) for error in errors if error] == [RecordRefusedError]
    assert [record.value for record in records_on(log, [topic])] == [b"good"]


@promise("A record that can't be written is reported with an `AppendError`; it is never dropped in silence.")
def test_what_a_closed_log_could_not_deliver_is_reported() -> None:
    deliveries: list[Delivery] = []
    log = KafkaLog("127.0.0.1:1")
    log.append("t", "k", b"v", on_delivery=deliveries.append)
    log.close(0)
    [delivery] = deliveries
    assert type(delivery.error) is AppendError


@promise("A record of more than `MAX_RECORD_BYTES` can't be written, on any log.")
def test_a_record_may_weigh_so_much_and_no_more(log: Log, topic: str) -> None:
    most = MAX_RECORD_BYTES - len("k") - len("h") - len("x")
    deliveries: list[Delivery] = []
    for size in (most, most + 1):
        log.append(topic, "k", bytes(size), headers=(("h", b"x"),), on_delivery=deliveries.append)
    log.flush()
    errors = {type(delivery.error) for delivery in deliveries}
    assert errors == {type(None), RecordRefusedError}
    assert [len(record.value or b"") for record in records_on(log, [topic])] == [most]


@promise("Appending to a topic that was never created is reported with an `UnknownTopicError`.")
def test_appending_to_an_unknown_topic_is_reported(log: Log, topic: str) -> None:
    [delivery] = append_all(log, f"{topic}-never-created", [("k", b"v")])
    assert isinstance(delivery.error, UnknownTopicError)
    assert delivery.error.topic == f"{topic}-never-created"


@promise("What was delivered survives the death of the process that appended it.")
def test_what_was_delivered_survives_its_process(log: Log, log_kind: str, topic: str) -> None:
    if log_kind == "memory":
        pytest.skip("a log in memory ends with its process")
    code = f"""
        import os, signal
        log.append({topic!r}, "k", b"delivered")
        assert log.flush() == 0
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert elsewhere(log.url, code).returncode == -9
    assert [record.value for record in records_on(log, [topic])] == [b"delivered"]


@promise("Key, value and headers come back byte for byte; a value of None (a tombstone) comes back as None.")
def test_records_come_back_byte_for_byte(log: Log, topic: str) -> None:
    keys = [None, "", "plain", "nul \0 inside", "ünïcödé \N{PILE OF POO}", "line\nbreak", "x" * 10_000]
    values = [None, b"", b"\0", bytes(range(256)), "ß".encode(), bytes(1_000_000)]
    headers = [(), (("a", b""),), (("a", b"1"), ("a", b"2"), ("", bytes(range(256))), ("ü", b"\0"))]
    written = list(itertools.product(keys, values, headers))
    for key, value, header in written:
        log.append(topic, key, value, headers=header, partition=0)
    log.flush()
    assert [(record.key, record.value, record.headers) for record in records_on(log, [topic])] == written


@promise("Offsets of a partition start at 0 and grow; a later record has a larger offset.")
def test_offsets_start_at_0_and_grow(log: Log, topic: str) -> None:
    deliveries = append_all(log, topic, [("k", b"%d" % number) for number in range(100)])
    offsets = [record.offset for record in records_on(log, [topic])]
    assert offsets[0] == 0
    assert offsets == sorted(set(offsets)) == [delivery.offset for delivery in deliveries]


@promise("The log stamps each record with the time of its append in µs since 1970.")
def test_records_bear_the_time_of_their_append(log: Log, topic: str) -> None:
    before = time.time_ns() // 1_000_000 * 1000
    append_all(log, topic, [("k", b"1")])
    append_all(log, topic, [("k", b"2")])
    first, second = (record.timestamp for record in records_on(log, [topic]))
    assert before <= first <= second <= time.time_ns() // 1000


@pytest.mark.kafka
@promise("The log stamps each record with the time of its append in µs since 1970.")
def test_kafka_stamps_records_itself_whatever_the_producers_clock_says(kafka_log: Log, topic: str) -> None:
    kafka_log.create_topics([TopicSpec(topic, 1)])
    before = time.time_ns() // 1_000_000 * 1000
    producer = Producer(kafka_servers(kafka_log))
    producer.produce(topic, b"from 1970", timestamp=1)
    producer.flush()
    [record] = records_on(kafka_log, [topic])
    assert record.timestamp >= before


@promise("Within a partition these times never decrease; on Kafka that is so as far as its brokers' clocks agree.")
def test_a_clock_set_back_does_not_turn_append_times_back() -> None:
    wall = iter([1_000, 5_000, 2_000, 5_001])
    log = MemoryLog(clock=lambda: next(wall))
    log.create_topics([TopicSpec("t", 1)])
    for _ in range(4):
        log.append("t", "k", b"")
    assert [record.timestamp for record in records_on(log, ["t"])] == [1_000, 5_000, 5_000, 5_001]


@promise("Within a partition these times never decrease; on Kafka that is so as far as its brokers' clocks agree.")
def test_the_embedded_logs_time_goes_on_while_the_machines_is_behind_it(tmp_path: Path) -> None:
    wall, uptime = [1_000_000], [10]
    with SqliteLog(tmp_path / "log.db", now=lambda: wall[0], uptime=lambda: uptime[0]) as log:
        log.create_topics([TopicSpec("t", 1)])
        for wall[0], uptime[0] in [(9_000_000, 20), (2_000_000, 30), (2_000_010, 40), (9_000_100, 50), (9_000_200, 5)]:
            append_all(log, "t", [("k", b"")])
        stamps = [record.timestamp for record in records_on(log, ["t"])]
    assert stamps == [9_000_000, 9_000_010, 9_000_020, 9_000_100, 9_000_200]


def test_every_record_appended_before_the_program_ends_in_order_is_delivered(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/log.db"
    with open_log(url) as log:
        log.create_topics([TopicSpec("t", 1)])
    program = 'import sys\nfor number in range(100): log.append("t", "k", b"")\nsys.exit(7)'
    assert elsewhere(url, program).returncode == 7
    with open_log(url) as log:
        assert log.end_positions(["t"]) == {TopicPartition("t", 0): 100}
