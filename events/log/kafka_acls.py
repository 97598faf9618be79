"""Gives access rules to a principal on a Kafka."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from ..errors import SettingsError
from .kafka_clients import KafkaClients
from .kafka_errors import FORBIDDEN

if TYPE_CHECKING:
    from ..acls import Acl
    from ..settings import Settings

KAFKA: Final = "kafka://"
PATIENCE: Final = 30.0
_ANY_HOST: Final = "*"
_KINDS: Final = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "cluster": ResourceType.BROKER}


def grant(settings: Settings, acls: Iterable[Acl], principal: str) -> None:
    """Allow a principal, from any host, what these rules say; repeats change nothing.

    Raises:
        SettingsError: The settings name no Kafka.
        NotAllowedError: Whoever asks may not change access rules.
        LogUnavailableError: The broker does not answer, or has no authorizer.

    """
    if not settings.log.startswith(KAFKA):
        raise SettingsError(f"{settings.log} has no access rules: only a Kafka has. Set TASKTAPE_LOG to kafka://….")
    clients = KafkaClients(settings.log.removeprefix(KAFKA), settings.kafka)
    bindings = [binding for acl in acls for binding in _bindings(acl, principal)]
    for future in clients.admin.create_acls(bindings, request_timeout=PATIENCE).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() in FORBIDDEN:
                raise clients.caller.not_allowed("ALTER", "the access rules") from error
            raise clients.unavailable(error) from error


def _bindings(acl: Acl, principal: str) -> list[AclBinding]:
    pattern = ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL
    return [
        AclBinding(
            _KINDS[acl.resource],
            acl.name,
            pattern,
            principal,
            _ANY_HOST,
            AclOperation[operation],
            AclPermissionType.ALLOW,
        )
        for operation in acl.operations
    ]
