"""The log on Kafka where no broker is needed to see what it does: settings, silence, bounds, and failing producers."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from tasktape.events.errors import (
    AppendError,
    LogClosedError,
    LogSettingsError,
    LogUnavailableError,
    RecordNotAllowedError,
    RecordRefusedError,
    SettingsError,
    UnknownTopicError,
)
from tasktape.events.log import Delivery, Log, TopicPartition, kafka_clients, open_log
from tasktape.events.log.kafka import KafkaLog
from tasktape.events.log.kafka_clients import KafkaClients
from tasktape.events.log.kafka_errors import Caller, append_failure, principal_of

NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("properties", "said"),
    [({"no.such.thing": "1"}, "no.such.thing"), ({"security.protocol": "telepathy"}, "security.protocol")],
)
def test_a_property_that_cannot_be_used_is_named(properties: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        open_log(f"kafka://{NOBODY}", properties)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_properties_of_the_classic_group_protocol_do_no_harm_to_the_new_one(protocol: str) -> None:
    properties = {"session.timeout.ms": "9000", "group.instance.id": "one", "group.protocol": protocol}
    clients = KafkaClients(NOBODY, properties)
    assert clients.wants_classic_groups == (protocol == "classic")
    for wanted in ("classic", "consumer"):
        clients.consumer("group", **{"group.protocol": wanted}).close()


def test_what_needs_a_broker_fails_in_bounded_time_with_the_reason() -> None:
    with KafkaLog(NOBODY, patience=0.3) as log:
        for call in (
            log.topics,
            lambda: log.create_topics([]),
            lambda: log.end_positions(["t"]),
            lambda: log.join("group", ["t"]),
        ):
            with pytest.raises(LogUnavailableError, match="Connection refused"):
                call()


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ("no such host:9092", LogSettingsError),
        ("no such host:9092,PLAINTEXT://a..b:9092", LogSettingsError),
        (f"no such host:9092,{NOBODY}", LogUnavailableError),
    ],
)
def test_hosts_that_nobody_knows_are_a_matter_of_settings_and_brokers_that_are_away_are_not(
    servers: str, expected: type[LogUnavailableError]
) -> None:
    with KafkaLog(servers, patience=0.5) as log, pytest.raises(LogUnavailableError) as caught:
        log.topics()
    assert type(caught.value) is expected


def test_what_needs_no_broker_goes_on_without_one() -> None:
    log = KafkaLog(NOBODY, patience=0.3)
    with log.read({TopicPartition("t", 0): 5}) as reader:
        assert list(reader.poll(0.05)) == []
        assert reader.positions() == {TopicPartition("t", 0): 5}
    assert log.end_positions([]) == {}
    log.close(0)


def test_librdkafka_says_nothing_to_the_users_terminal() -> None:
    program = f"""
import logging, time
from tasktape.events.log import open_log
logging.basicConfig(level=logging.DEBUG)
log = open_log("kafka://{NOBODY}")
log.append("t", "k", b"v")
log.flush(0.3)
log.close(0)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("", "")


def test_no_batch_overtakes_another_whatever_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that took the second of a partition's batches first would acknowledge the first one and drop it."""
    given: list[dict[str, Any]] = []

    class Recorded(Producer):
        def __init__(self, properties: dict[str, Any], **options: Any) -> None:
            given.append(properties)
            super().__init__(properties, **options)

    monkeypatch.setattr("tasktape.events.log.kafka_clients._Producer", Recorded)
    KafkaLog(NOBODY, {"max.in.flight": "5", "enable.idempotence": "false", "acks": "1"}).close(0)
    promised = {"max.in.flight": 1, "enable.idempotence": True, "acks": "all"}
    assert [{name: properties[name] for name in promised} for properties in given] == [promised]


def test_the_port_and_the_embedded_log_do_not_load_kafkas_client() -> None:
    program = "import sys, tasktape.events.log, tasktape.events.log.sqlite; print('confluent_kafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"False\n"


def test_more_records_than_may_wait_are_reported_and_not_dropped() -> None:
    deliveries: list[Delivery] = []
    log = KafkaLog(NOBODY, {"queue.buffering.max.messages": "10"})
    for _ in range(12):
        log.append("t", "k", b"v", on_delivery=deliveries.append)
    assert log.flush(0.5) == 10
    assert [str(delivery.error) for delivery in deliveries] == [
        f"not appended to 't': too many records wait for kafka://{NOBODY}."
    ] * 2
    log.close(0)
    assert len(deliveries) == 12


class Broken:
    """A producer that has failed for good."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._producer, name)

    def produce(self, *_: Any, **__: Any) -> None:
        raise KafkaException(KafkaError(KafkaError._FATAL))


def test_a_producer_that_failed_for_good_is_replaced_and_its_records_are_reported() -> None:
    deliveries: list[Delivery] = []
    log = KafkaLog(NOBODY)
    log.append("t", "k", b"before", on_delivery=deliveries.append)
    broken: Any = Broken(log._appender._producer)
    log._appender._producer = broken
    log.append("t", "k", b"after", on_delivery=deliveries.append)
    assert log._appender._producer is not broken
    assert [type(delivery.error) for delivery in deliveries] == [AppendError]
    assert log.flush(0.1) == 1
    log.close(0)
    assert len(deliveries) == 2


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, UnknownTopicError),
        (KafkaError._UNKNOWN_TOPIC, UnknownTopicError),
        (KafkaError.MSG_SIZE_TOO_LARGE, RecordRefusedError),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, RecordNotAllowedError),
        (KafkaError.CLUSTER_AUTHORIZATION_FAILED, RecordNotAllowedError),
        (KafkaError._MSG_TIMED_OUT, AppendError),
        (KafkaError._PURGE_INFLIGHT, AppendError),
    ],
)
def test_errors_say_whether_trying_again_is_any_use(code: int, expected: type[Exception]) -> None:
    assert type(append_failure("t", KafkaError(code), Caller("kafka://b:9092", "User:alice"))) is expected


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({}, "User:ANONYMOUS"),
        ({"security.protocol": "SASL_SSL", "sasl.username": "alice"}, "User:alice"),
        ({"security.protocol": "sasl_plaintext", "sasl.kerberos.principal": "bob"}, "User:bob"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}, "This client's user"),
        ({"security.protocol": "SSL"}, "This client's certificate"),
    ],
)
def test_errors_name_the_principal_as_far_as_a_client_knows_it(properties: dict[str, str], name: str) -> None:
    assert principal_of(properties) == name


class Denied(Broken):
    """A producer whose user may write nothing: it fails when it asks for its id, as a thread polls."""

    def produce(self, *args: Any, **others: Any) -> None:
        self._producer.produce(*args, **others)

    def __len__(self) -> int:
        return len(self._producer)

    def poll(self, timeout: float) -> int:
        if len(self._producer):
            raise KafkaException(KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED))
        return int(self._producer.poll(timeout))


def test_the_records_of_a_producer_that_fails_while_they_wait_are_reported_with_the_reason() -> None:
    deliveries: list[Delivery] = []
    log = KafkaLog(NOBODY)
    denied: Any = Denied(log._appender._producer)
    log._appender._producer = denied
    log.append("t", "k", b"v", on_delivery=deliveries.append)
    assert log.flush(30) == 0
    assert isinstance(deliveries[0].error, RecordNotAllowedError)
    assert str(deliveries[0].error).startswith(f"User:ANONYMOUS may not WRITE topic 't' on kafka://{NOBODY}: ")
    log.close(0)


def test_closing_from_another_thread_ends_a_poll() -> None:
    log: Log = KafkaLog(NOBODY)
    reader = log.read({TopicPartition("t", 0): 0})
    threading.Timer(0.05, log.close, (0,)).start()
    with pytest.raises(LogClosedError):
        reader.poll(600)


def test_the_client_that_answers_questions_is_let_go_of_while_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(kafka_clients, "time", SimpleNamespace(monotonic=lambda: now[0]))
    clients = KafkaClients("127.0.0.1:1", {})
    first = ref(clients.admin)
    clients.rest()
    assert first() is not None
    now[0] += 60.0
    clients.rest()
    assert first() is None
    assert clients.admin is clients.admin
