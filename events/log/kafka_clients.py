"""Makes librdkafka's clients: our defaults, the user's properties, and what both must not change."""

from __future__ import annotations

import ctypes
import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from ..errors import LogSettingsError, LogUnavailableError, SettingsError
from .kafka_errors import ALL_DOWN, REFUSES_CLIENT, UNRESOLVED, Caller, principal_of
from .port import MAX_RECORD_BYTES

ROOM_FOR_FRAMING: Final = 64 * 1024

_DEFAULTS: Final[dict[str, Any]] = {
    "client.id": "tasktape",
    "socket.timeout.ms": 10_000,
    "socket.connection.setup.timeout.ms": 5_000,
    "socket.keepalive.enable": True,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
    "retry.backoff.ms": 20,
    "retry.backoff.max.ms": 500,
    "allow.auto.create.topics": False,
    "topic.metadata.propagation.max.ms": 3_000,
    "enable.metrics.push": False,
}
_PRODUCER_DEFAULTS: Final[dict[str, Any]] = {
    "linger.ms": 1,
    "compression.type": "lz4",
    "request.timeout.ms": 10_000,
    "message.timeout.ms": 0,
    "queue.buffering.max.kbytes": 256 * 1024,
}
_PRODUCER_FIXED: Final[dict[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    "max.in.flight": 1,  # a broker takes a later batch for a partition's first, and drops the first: see 0063
    "partitioner": "murmur2",
    "message.max.bytes": MAX_RECORD_BYTES + ROOM_FOR_FRAMING,
}
_CONSUMER_DEFAULTS: Final[dict[str, Any]] = {
    "fetch.wait.max.ms": 100,
    "fetch.error.backoff.ms": 50,
    "fetch.queue.backoff.ms": 50,
}
_CONSUMER_FIXED: Final[dict[str, Any]] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_uncommitted",
}

_RESTS_AFTER: Final = 12.0
"""Seconds after the last question, of which none takes as long."""
_NOT_FOR_CONSUMERS: Final = {"group.protocol", "group.instance.id"}
_CLASSIC_ONLY: Final = {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"}
"""Properties that librdkafka refuses together with KIP-848, where the broker decides on them."""

logger = logging.getLogger("tasktape.librdkafka")
"""What librdkafka itself says: goes nowhere unless a handler is added here, so that users' terminals stay theirs."""
logger.addHandler(logging.NullHandler())
logger.propagate = False


C = TypeVar("C", Producer, Consumer, AdminClient)


class _Producer(Producer):
    """A producer that can be referred to weakly."""


class _Consumer(Consumer):
    """A consumer that can be referred to weakly."""


class _Admin(AdminClient):
    """An admin client that can be referred to weakly."""


_alive: weakref.WeakSet[Producer | Consumer | AdminClient] = weakref.WeakSet()


def _keep_in_child() -> None:
    """Keep a forked child from freeing clients: their threads stayed with the parent, so freeing them crashes."""
    for client in list(_alive):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_in_child)


class KafkaClients:
    """Makes the clients of one log object and remembers what last went wrong with any of them.

    Raises `SettingsError` for properties that librdkafka does not know or accept.
    """

    def __init__(self, servers: str, properties: Mapping[str, str]) -> None:
        self.url = f"kafka://{servers}"
        self.caller = Caller(self.url, principal_of(properties))
        self._properties = dict(properties) | {"bootstrap.servers": servers}
        self._trouble: KafkaError | None = None
        self._admin: AdminClient | None = None
        self._asked_at = 0.0
        self._making = threading.Lock()

    @property
    def admin(self) -> AdminClient:
        """The client that answers questions, made when somebody asks."""
        with self._making:
            self._asked_at = time.monotonic()
            if self._admin is None:
                self._admin = self._make(_Admin, self._properties)
            return self._admin

    def rest(self) -> None:
        """Let go of the client that answers questions if nobody asks: its threads wake up all the time."""
        with self._making:
            if time.monotonic() - self._asked_at > _RESTS_AFTER:
                self._admin = None

    def producer(self) -> Producer:
        """Make an idempotent producer. It retries for as long as it lives: an outage keeps order and drops nothing."""
        return self._make(_Producer, _PRODUCER_DEFAULTS | self._properties | _PRODUCER_FIXED)

    @property
    def wants_classic_groups(self) -> bool:
        """Whether the user's properties ask for the classic group protocol."""
        return self._properties.get("group.protocol") == "classic"

    def consumer(self, group: str, **properties: Any) -> Consumer:
        """Make a consumer of a group; what it reads and commits is left to the caller."""
        refused = _NOT_FOR_CONSUMERS | (_CLASSIC_ONLY if properties.get("group.protocol") == "consumer" else set())
        wanted = {name: value for name, value in self._properties.items() if name not in refused}
        return self._make(_Consumer, _CONSUMER_DEFAULTS | wanted | _CONSUMER_FIXED | {"group.id": group} | properties)

    def unavailable(self, error: KafkaError | KafkaException | None = None) -> LogUnavailableError:
        """Return the error that the broker does not answer: what librdkafka complained of last often says why."""
        said = error.args[0] if isinstance(error, KafkaException) else error
        reasons = [said.str() if said is not None else "no answer in time"]
        reasons += [self._trouble.str()] if self._trouble is not None else []
        kind = LogSettingsError if self._are_settings_wrong() else LogUnavailableError
        return kind(self.url, "; ".join(reasons))

    def _are_settings_wrong(self) -> bool:
        """Whether the last trouble is nothing that goes by."""
        code = self._trouble.code() if self._trouble is not None else None
        return code in REFUSES_CLIENT or (code == UNRESOLVED and _are_unknown(self._properties["bootstrap.servers"]))

    def _make(self, kind: type[C], properties: Mapping[str, Any]) -> C:
        settings = _DEFAULTS | dict(properties)
        try:
            client = kind(settings | {"error_cb": self._note}, logger=logger)
        except KafkaException as error:
            raise SettingsError(f"the Kafka settings can't be used: {error.args[0].str()}.") from error
        _alive.add(client)
        return client

    def _note(self, error: KafkaError) -> None:
        """Remember what is wrong; that no broker is left says less than what was said of each of them."""
        if self._trouble is None or error.code() != ALL_DOWN:
            self._trouble = error


def _are_unknown(servers: str) -> bool:
    """Whether none of these hosts has an address, as a name service says that does answer."""
    return all(map(_is_unknown, servers.split(",")))


def _is_unknown(server: str) -> bool:
    host = server.strip().rpartition("://")[2].rsplit(":", 1)[0].strip("[]")
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        return error.errno == socket.EAI_NONAME
    except UnicodeError:
        return True
    return False
