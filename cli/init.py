"""`tasktape init`: asks (in a terminal) where events go, writes the settings file, and checks that the log answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..events.errors import SettingsError
from ..events.private_file import write_private
from .options import Json
from .output import note, print_json, progress
from .settings_file import Choices, render

if TYPE_CHECKING:
    from ..events.settings import Settings

_PROTOCOLS = ("PLAINTEXT", "SASL_SSL", "SSL", "SASL_PLAINTEXT")
_MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")

LogUrl = Annotated[str, typer.Option("--log", metavar="URL", help="sqlite:///path/to/log.db or kafka://host:9092.")]
Properties = Annotated[
    list[str] | None,
    typer.Option("--property", "-p", metavar="NAME=VALUE", help="A librdkafka property; may be repeated."),
]
PasswordStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read sasl.password from standard input: secrets don't belong in arguments."),
]
Registry = Annotated[str, typer.Option("--schema-registry", metavar="URL", help="Confluent-compatible registry.")]
Blobs = Annotated[str, typer.Option("--blobs", metavar="PLACE", help="Folder or s3://bucket/prefix for artifacts.")]
TargetFile = Annotated[
    Path | None,
    typer.Option("--file", metavar="PATH", help="Where to write; by default tasktape.toml in tasktape's home."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a settings file that is there.")]
Check = Annotated[bool, typer.Option("--check/--no-check", help="Check that the log answers.")]


def init(
    log: LogUrl = "",
    properties: Properties = None,
    *,
    password_stdin: PasswordStdin = False,
    schema_registry: Registry = "",
    blobs: Blobs = "",
    file: TargetFile = None,
    force: Force = False,
    check: Check = True,
    as_json: Json = False,
) -> None:
    """Choose where events go, write the settings file, check that the log answers.

    Asks in a terminal when --log is not given; elsewhere takes flags and defaults, and never waits for an answer.

    Examples:
    $ tasktape init
    $ tasktape init --log kafka://broker:9092 --blobs s3://bucket/tasktape
    $ tasktape init --log kafka://broker:9093 -p security.protocol=SASL_SSL -p sasl.mechanism=PLAIN
    -p sasl.username=me --password-stdin < password.txt
    """
    given = Choices(log, kafka_properties(properties or [], password_stdin=password_stdin), schema_registry, blobs)
    asks = in_terminal() and not log and not password_stdin
    target = (file or default_target()).expanduser().absolute()
    _refuse_to_replace(target, force=force, asks=asks)
    choices = _ask(given) if asks else replace(given, log=log or _embedded_log())
    settings = _settings_of(choices)
    write_private(target, render(choices))
    _tell(target)
    topics = _check(settings) if check else None
    if as_json:
        print_json({"file": target, "log": settings.log, "blobs": settings.blobs, "topics": topics})
    elif check:
        note(f"The log {settings.log} answers: {topics} topics.")


def in_terminal() -> bool:
    """Whether somebody is there to answer questions."""
    return sys.stdin.isatty()


def default_target() -> Path:
    """The file `TASKTAPE_CONFIG` names, else `tasktape.toml` in tasktape's home."""
    home = Path(os.environ.get("TASKTAPE_HOME") or "~/.tasktape")
    return Path(os.environ.get("TASKTAPE_CONFIG") or home / "tasktape.toml")


def kafka_properties(given: Iterable[str], *, password_stdin: bool) -> dict[str, str]:
    """Properties from `name=value` arguments. Raises `SettingsError` for what is none, or a secret."""
    from ..events.settings import is_secret  # noqa: PLC0415  180 ms that `tasktape --help` need not pay

    properties = {}
    for argument in given:
        name, equals, value = argument.partition("=")
        if not equals or not name.strip():
            raise SettingsError(f"{argument!r} is no property: write it as name=value.")
        if is_secret(name):
            raise SettingsError(
                f"{name} is a secret, and arguments can be seen by everyone on this machine: use --password-stdin, "
                f"or set TASKTAPE_KAFKA_{name.upper().replace('.', '_')} where tasktape runs.",
            )
        properties[name.strip()] = value
    if password_stdin:
        properties["sasl.password"] = sys.stdin.readline().rstrip("\r\n")
    return properties


def _embedded_log() -> str:
    home = Path(os.environ.get("TASKTAPE_HOME") or "~/.tasktape").expanduser().absolute()
    return f"sqlite:///{home}/log.db"


def _refuse_to_replace(target: Path, *, force: bool, asks: bool) -> None:
    if not target.exists() or force:
        return
    if not asks:
        raise SettingsError(f"{target} is there already: give --force to replace it, or --file to write elsewhere.")
    typer.confirm(f"{target} is there already. Replace it?", abort=True)


def _ask(given: Choices) -> Choices:
    """Ask for what was not given."""
    typer.echo("Where do events go?")
    typer.echo("  1  this machine: no server, nothing to set up")
    typer.echo("  2  Apache Kafka: several machines, a team, production")
    if _choose("Choice", ("1", "2")) == "1":
        return replace(given, log=_embedded_log())
    servers = typer.prompt("Brokers", default="localhost:9092").removeprefix("kafka://")
    kafka = {**_ask_security(), **given.kafka}
    registry = given.schema_registry or _optional("Schema Registry URL (Enter for none)")
    blobs = given.blobs or _optional("Artifacts in a shared folder or s3://bucket/prefix (Enter for this machine)")
    return Choices(f"kafka://{servers}", kafka, registry, blobs)


def _ask_security() -> dict[str, str]:
    protocol = _choose("Security protocol", _PROTOCOLS)
    if protocol == "PLAINTEXT":
        return {}
    properties = {"security.protocol": protocol}
    if protocol.endswith("SSL") and (authority := _optional("CA certificate file (Enter for the system's)")):
        properties["ssl.ca.location"] = authority
    if protocol.startswith("SASL"):
        properties["sasl.mechanism"] = _choose("SASL mechanism", _MECHANISMS)
        properties["sasl.username"] = typer.prompt("User name")
        properties["sasl.password"] = typer.prompt("Password", hide_input=True)
    return properties


def _choose(question: str, options: Sequence[str]) -> str:
    """Answer to a question, one of the options; the first is the default."""

    def parse(answer: str) -> str:
        if answer.upper() not in options:
            raise typer.BadParameter(f"{answer!r} is none of {', '.join(options)}")
        return answer.upper()

    shown = f"{question} ({', '.join(options)})"
    return str(typer.prompt(shown, default=options[0], value_proc=parse))


def _optional(question: str) -> str:
    return str(typer.prompt(question, default="", show_default=False)).strip()


def _settings_of(choices: Choices) -> Settings:
    """Settings as the file will give them. Raises `SettingsError` before anything is written."""
    from pydantic import ValidationError  # noqa: PLC0415  see `kafka_properties`

    from ..events.log import open_log  # noqa: PLC0415  the same
    from ..events.settings import Settings  # noqa: PLC0415  the same

    given = {name: value for name, value in vars(choices).items() if value}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise SettingsError("; ".join(str(problem["msg"]) for problem in error.errors())) from error
    if not settings.log.startswith(("sqlite://", "kafka://")):
        open_log(settings.log).close()
    return settings


def _check(settings: Settings) -> int:
    """Number of topics on the log, after creating those that tasktape needs."""
    from ..events.topics import TOPICS  # noqa: PLC0415  see `kafka_properties`

    with progress(f"Asking {settings.log}"), settings.open_log() as log:
        log.create_topics(TOPICS)
        return len(log.topics())


def _tell(target: Path) -> None:
    from ..events.settings_sources import settings_file  # noqa: PLC0415  see `kafka_properties`

    note(f"Wrote {target} (mode 0600).")
    if os.environ.get("TASKTAPE_LOG"):
        note("TASKTAPE_LOG is set in this environment and wins over the file.")
    if settings_file() != target:
        note(f"The settings in force here are in {settings_file()}: set TASKTAPE_CONFIG={target} to use these.")
