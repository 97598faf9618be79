"""Brokers that are killed, frozen and restarted while records are appended and read: nothing lost, nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tasktape.events.log import Delivery, LogRecord, TopicPartition
from tasktape.events.log.kafka import KafkaLog
from tasktape.events.topics import TopicSpec
from tasktape.testing import append_all, records_on
from tasktape.tests.kafka.broker import Broker, Cluster

pytestmark = pytest.mark.kafka

Until = Callable[[Callable[[], Any]], Any]


def numbers(records: list[LogRecord]) -> list[int]:
    return [int(record.value or b"") for record in records]


def test_a_broker_that_is_killed_and_comes_back_has_everything_once(broker: Broker, topic: str, until: Until) -> None:
    deliveries: list[Delivery] = []
    with KafkaLog(broker.address) as log:
        log.create_topics([TopicSpec(topic, 1)])
        member = log.join(topic, [topic])
        reader = log.read({TopicPartition(topic, 0): 0})
        until(lambda: len(member.owned()) == 1)
        member.commit({TopicPartition(topic, 0): 7})
        for number in range(600):
            log.append(topic, "k", b"%d" % number, on_delivery=deliveries.append)
            if number == 200:
                until(lambda: len(deliveries) > 100)
                broker.kill()
            if number == 400:
                assert not broker.alive
                assert log.flush(0.2) > 0
        broker.start()
        assert log.flush(60) == 0
        assert [delivery.error for delivery in deliveries if delivery.error] == []
        followed: list[LogRecord] = []
        while len(followed) < 600:
            followed += reader.poll(30)
        assert numbers(followed) == list(range(600))
        assert member.committed([TopicPartition(topic, 0)]) == {TopicPartition(topic, 0): 7}
        until(lambda: len(member.owned()) == 1)


def test_programs_wait_for_a_broker_that_is_frozen_and_go_on(broker: Broker, topic: str) -> None:
    with KafkaLog(broker.address) as log:
        log.create_topics([TopicSpec(topic, 1)])
        with log.read({TopicPartition(topic, 0): 0}) as reader:
            broker.freeze()
            assert broker.state() == "T"
            log.append(topic, "k", b"0")
            assert log.flush(0.5) == 1
            assert list(reader.poll(0.2)) == []
            broker.resume()
            assert log.flush(60) == 0
            assert numbers(list(reader.poll(60))) == [0]


def test_a_log_opened_while_the_broker_is_away_delivers_when_it_comes(broker: Broker, topic: str) -> None:
    with KafkaLog(broker.address) as log:
        log.create_topics([TopicSpec(topic, 4)])
    broker.stop()
    assert not broker.alive
    with KafkaLog(broker.address) as log:
        deliveries: list[Delivery] = []
        for number in range(20):
            log.append(topic, f"{number}", b"%d" % number, on_delivery=deliveries.append)
        assert log.flush(0.2) == 20
        broker.start()
        assert log.flush(60) == 0
        assert [delivery.error for delivery in deliveries] == [None] * 20
        assert sorted(numbers(records_on(log, [topic]))) == list(range(20))


def test_a_cluster_that_loses_one_broker_and_has_one_frozen_keeps_what_it_acknowledged(
    cluster: Cluster, until: Until
) -> None:
    deliveries: list[Delivery] = []
    impatient = {"request.timeout.ms": "3000", "socket.timeout.ms": "4000"}
    with KafkaLog(cluster.url.removeprefix("kafka://"), impatient) as log:
        log.create_topics([TopicSpec("t", 3)])
        append_all(log, "t", [("k", b"0")])
        killed, frozen, _ = cluster.brokers
        for number in range(1, 900):
            log.append("t", f"{number % 3}", b"%d" % number, on_delivery=deliveries.append)
            if number == 300:
                killed.kill()
                ends = log.end_positions(["t"])
                assert log.flush(60) == 0
                assert min(ends.values()) >= 0, "a leader that does not answer says nothing of the end"
                assert sum(log.end_positions(["t"]).values()) == number + 1
            if number == 600:
                killed.start()
                until(cluster.is_in_sync)
                assert log.flush(60) == 0
                frozen.freeze()
        assert log.flush(90) == 0
        assert frozen.state() == "T"
        frozen.resume()
        until(cluster.is_in_sync)
        assert [delivery.error for delivery in deliveries if delivery.error] == []
        found = records_on(log, ["t"])
        assert sorted(numbers(found)) == list(range(900))
        for rest in range(3):
            ours = [record for record in found if record.key == f"{rest}"]
            assert numbers(ours) == sorted(numbers(ours))
    assert killed.alive
