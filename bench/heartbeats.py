"""How often members of Kafka's groups speak: the tests' broker wants them ten times as often as an untuned one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

_USUAL: Final = {"consumer.session.timeout.ms": "45000", "consumer.heartbeat.interval.ms": "5000"}
"""Source: Apache Kafka 4.3, group configurations."""


@contextmanager
def usual_heartbeats(log: str, groups: Iterable[str]) -> Iterator[None]:
    """Have these groups' members speak as often as on a broker that nobody has tuned. Other logs have no such thing."""
    scheme, _, servers = log.partition("://")
    if scheme != "kafka":
        yield
        return
    client, names = AdminClient({"bootstrap.servers": servers}), list(groups)
    _alter(client, names, AlterConfigOpType.SET)
    try:
        yield
    finally:
        _alter(client, names, AlterConfigOpType.DELETE)


def _alter(client: AdminClient, groups: Iterable[str], operation: AlterConfigOpType) -> None:
    entries = [ConfigEntry(name, value, incremental_operation=operation) for name, value in _USUAL.items()]
    kind = ConfigResource.Type.GROUP
    changes = [ConfigResource(kind, group, incremental_configs=entries) for group in groups]
    for future in client.incremental_alter_configs(changes).values():
        future.result()
