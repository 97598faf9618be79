"""`tasktape acls`: which access rules a role needs on a Kafka; prints them, or gives them to somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import Json
from .output import Column, note, print_json, print_table, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events.acls import Acl, Role
    from ..events.settings import Settings

_SERVERS = "broker:9092"

RoleName = Annotated[
    str, typer.Argument(metavar="ROLE", help="sdk, agent, scaler, viewer, auditor or admin.", show_default=False)
]
Queues = Annotated[
    list[str] | None,
    typer.Option("--queue", "-q", metavar="QUEUE", help="Only this queue, for sdk and agent; may be repeated."),
]
Principal = Annotated[str, typer.Option("--principal", metavar="NAME", help="Who gets the role: User:alice.")]
Apply = Annotated[bool, typer.Option("--apply", help="Give the role, and create the topics that are always there.")]
AsCommand = Annotated[bool, typer.Option("--command", help="Print the commands of Apache Kafka that give the role.")]


def acls(
    role: RoleName,
    queue: Queues = None,
    principal: Principal = "",
    *,
    apply: Apply = False,
    command: AsCommand = False,
    as_json: Json = False,
) -> None:
    """Print the access rules (ACLs) a role needs on a Kafka, or give them to a principal.

    An agent that may serve any queue also looks after workers that died: let there be at least one.

    Examples:
    $ tasktape acls viewer
    $ tasktape acls sdk --queue gpu --principal User:alice --apply
    $ tasktape acls agent --queue gpu --principal User:gpu-agent --command
    """
    from ..events.acls import acls_of, commands  # noqa: PLC0415  pydantic costs 180 ms that `--help` need not pay
    from ..events.settings import load_settings  # noqa: PLC0415  the same

    queues = queue or []
    rules = acls_of(_role(role, queues), queues)
    _check_principal(principal, needed=apply or command)
    settings = load_settings()
    if apply:
        _give(settings, rules, principal)
    if as_json:
        print_json({"role": role, "queues": queues, "principal": principal or None, "applied": apply, "acls": rules})
    elif command:
        typer.echo("\n".join(commands(rules, principal, _servers(settings))))
    elif apply:
        note(f"{principal} has the role {role}{' for ' * bool(queues)}{', '.join(queues)}.")
    else:
        _print(rules)


def _role(name: str, queues: Sequence[str]) -> Role:
    from ..events.acls import ROLES, WITH_QUEUES  # noqa: PLC0415  see `acls`

    role = next((known for known in ROLES if known == name), None)
    if role is None:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(ROLES)}.", param_hint="ROLE")
    if queues and role not in WITH_QUEUES:
        raise typer.BadParameter(f"only {' and '.join(WITH_QUEUES)} can be kept to queues.", param_hint="--queue")
    return role


def _check_principal(principal: str, *, needed: bool) -> None:
    kind, colon, name = principal.partition(":")
    if (needed or principal) and not (kind and colon and name):
        raise typer.BadParameter("say who gets the role, such as User:alice.", param_hint="--principal")


def _give(settings: Settings, rules: Sequence[Acl], principal: str) -> None:
    from ..events.log.kafka_acls import grant  # noqa: PLC0415  see `acls`
    from ..events.topics import TOPICS  # noqa: PLC0415  the same

    with progress(f"Asking {settings.log}"):
        grant(settings, rules, principal)
        with settings.open_log() as log:
            log.create_topics(TOPICS)


def _servers(settings: Settings) -> str:
    """The brokers as the settings name them."""
    scheme, _, servers = settings.log.partition("://")
    return servers if scheme == "kafka" else _SERVERS


def _print(rules: Sequence[Acl]) -> None:
    columns = [Column("RESOURCE"), Column("NAME", grow=True), Column("PATTERN"), Column("MAY")]
    rows = [
        (rule.resource, rule.name, "prefixed" if rule.prefixed else "literal", ", ".join(rule.operations))
        for rule in rules
    ]
    print_table(columns, rows, "Nothing.")
