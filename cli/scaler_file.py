"""The file `tasktape scaler init` writes: a scaler's settings as TOML, with a comment for each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..events.private_file import quoted


@dataclass(frozen=True)
class Kind:
    """A kind of machine. Without types and zones there is but one, as with agents of this machine."""

    name: str = "machine"
    maximum: int = 4
    types: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    spot: bool = False
    hourly_cost: float = 0.0


@dataclass(frozen=True)
class Choices:
    """What goes into the file; empty means the default, which is left out. All queues may have all kinds."""

    provider: str
    name: str = "default"
    queues: tuple[str, ...] = ("default",)
    kinds: tuple[Kind, ...] = (Kind(),)
    idle_min: float = 15.0
    hourly_budget: float | None = None
    aws: dict[str, str | tuple[str, ...]] = field(default_factory=dict)


def render(choices: Choices) -> str:
    """Text of the file."""
    lines = [
        "# Settings of a scaler: `tasktape scaler plan` shows what it would do, `tasktape scaler` does it.",
        "# There are more, see docs/scaler.md.",
        "",
        "# Of scalers with the same name one leads, and the others wait.",
        f"name = {quoted(choices.name)}",
        f"provider = {quoted(choices.provider)}",
        "",
        "# How long a machine may have nothing to do, in minutes.",
        f"max_idle_time_min = {choices.idle_min:g}",
        *_aws(choices),
        "",
        "# What each queue may have at most, in the order of preference.",
        "[queues]",
        *(f"{_key(queue)} = [{_shares(choices.kinds)}]" for queue in choices.queues),
    ]
    for kind in choices.kinds:
        lines += _resource(kind, is_local=choices.provider == "local")
    if choices.hourly_budget is not None:
        lines += ["", "# What all machines together may be.", "[budget]", f"hourly_cost = {choices.hourly_budget:g}"]
    return "\n".join(lines) + "\n"


def _aws(choices: Choices) -> Iterable[str]:
    if choices.aws:
        yield from ("", "# Where machines are launched, and what is on them, see docs/scaler-aws.md.", "[aws]")
    for name, value in choices.aws.items():
        yield f"{name} = {quoted(value) if isinstance(value, str) else _texts(value)}"
    if choices.aws:
        yield "# Secrets are references, which machines read themselves with the rights of their instance profile:"
        yield '# settings.kafka."sasl.password" = "ssm:/ml/kafka"'


def _resource(kind: Kind, *, is_local: bool) -> Iterable[str]:
    yield from ("", f"[resources.{_key(kind.name)}]")
    yield "# What it has for tasks that ask for hardware (`task.set_hardware`): without this none of those comes here."
    yield "# gpus = 1"
    yield "# cpus = 4"
    yield "# memory_gb = 16"
    if is_local:
        yield from ("# Options of `tasktape agent`: this one runs tasks in the agent's own environment.",)
        yield '# provider = { agent_options = ["--env", "current"] }'
        return
    if kind.types:
        yield from ("# The first that is to be had.", f"instance_type = {_texts(kind.types)}")
    if kind.zones:
        yield from ("# Any of them, the emptiest first.", f"availability_zone = {_texts(kind.zones)}")
    if kind.spot:
        yield from ("# Spot, and where there is none on demand.", "is_spot = true")
    yield from (
        "# In US dollars: what budgets and `tasktape scaler list` count.",
        f"hourly_cost = {kind.hourly_cost:g}",
    )


def _key(text: str) -> str:
    """A key of TOML, in quotes where it needs them."""
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else quoted(text)


def _shares(kinds: Iterable[Kind]) -> str:
    return ", ".join(f"[{quoted(kind.name)}, {kind.maximum}]" for kind in kinds)


def _texts(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"
