"""`tasktape scaler init`: asks (in a terminal) what a scaler may do, and writes its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isinf, nan
from pathlib import Path
from typing import Annotated, Final

import typer

from ..events.errors import SettingsError
from ..events.private_file import write_private
from .init import in_terminal
from .options import Json
from .output import note, print_json
from .scaler_file import Choices, Kind, render

PROVIDERS: Final = ("local", "aws")

Provider = Annotated[str, typer.Option("--provider", help="local: agents of this machine; aws: machines of EC2.")]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="The scaler's name.")]
Queues = Annotated[
    list[str] | None, typer.Option("--queue", "-q", metavar="QUEUE", help="A queue it serves; may be repeated.")
]
Resource = Annotated[str, typer.Option("--resource", metavar="NAME", help="What to call the kind of machine.")]
Maximum = Annotated[int, typer.Option("--max", min=1, metavar="COUNT", help="Machines at most.")]
Idle = Annotated[float, typer.Option("--idle-min", min=0.01, help="Minutes a machine may have nothing to do.")]
Budget = Annotated[float | None, typer.Option("--hourly-budget", min=0, help="US dollars an hour, for all together.")]
Region = Annotated[str, typer.Option("--region", help="For aws: where.")]
Image = Annotated[str, typer.Option("--image", metavar="AMI", help="For aws: the image machines start from.")]
Profile = Annotated[str, typer.Option("--iam-name", help="For aws: the instance profile machines have.")]
Types = Annotated[list[str] | None, typer.Option("--instance-type", help="For aws; may be repeated, best first.")]
Zones = Annotated[list[str] | None, typer.Option("--zone", help="For aws: an availability zone; may be repeated.")]
Spot = Annotated[bool, typer.Option("--spot", help="For aws: spot, and where there is none on demand.")]
Cost = Annotated[float, typer.Option("--hourly-cost", min=0, help="US dollars an hour for one machine.")]
Target = Annotated[Path, typer.Option("--file", metavar="PATH", help="Where to write.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: flags and defaults say it all.")]


def scaler_init(
    provider: Provider = "",
    name: Name = "default",
    queue: Queues = None,
    resource: Resource = "machine",
    maximum: Maximum = 4,
    idle_min: Idle = 15.0,
    hourly_budget: Budget = None,
    region: Region = "",
    image: Image = "",
    iam_name: Profile = "",
    instance_type: Types = None,
    zone: Zones = None,
    *,
    spot: Spot = False,
    hourly_cost: Cost = 0.0,
    file: Target = Path("scaler.toml"),
    force: Force = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Choose what a scaler may do, and write its settings with a comment for each.

    Asks in a terminal, unless --yes is given; elsewhere takes flags and defaults, and never waits for an answer.

    Examples:
    $ tasktape scaler init
    $ tasktape scaler init --provider local --queue default --max 4 --yes
    $ tasktape scaler init --provider aws --region eu-west-1 --image ami-0abc --instance-type g5.xlarge --spot --yes
    """
    if file.exists() and not force:
        raise SettingsError(f"{file} is there already: give --force to replace it, or --file to write elsewhere.")
    kind = Kind(resource, maximum, tuple(instance_type or ()), tuple(zone or ()), spot, hourly_cost)
    aws = {"region": region, "ami_id": image, "iam_name": iam_name}
    given = Choices(provider, name, tuple(queue or ("default",)), (kind,), idle_min, hourly_budget, _given(aws))
    choices = _checked(_ask(given) if in_terminal() and not yes else replace(given, provider=provider or "local"))
    write_private(file.absolute(), render(choices))
    if as_json:
        print_json({"file": file.absolute(), **vars(choices)})
    note(f"Wrote {file}. Next: `tasktape scaler plan --config {file}`.")


def _given(values: dict[str, str]) -> dict[str, str | tuple[str, ...]]:
    return {name: value for name, value in values.items() if value}


def _checked(choices: Choices) -> Choices:
    """Raise `SettingsError` for what no scaler can do."""
    if choices.provider not in PROVIDERS:
        raise SettingsError(f"there is no provider {choices.provider!r}: it is one of {', '.join(PROVIDERS)}.")
    if choices.provider == "aws" and not choices.aws.get("ami_id"):
        raise SettingsError("machines of EC2 need an image: name one with --image ami-….")
    if choices.provider == "aws" and not all(kind.types for kind in choices.kinds):
        raise SettingsError("machines of EC2 need a type: name one with --instance-type.")
    if choices.hourly_budget is not None and not all(kind.hourly_cost for kind in choices.kinds):
        raise SettingsError("a budget in dollars counts what machines cost: say it with --hourly-cost.")
    if not all(text.strip() for text in (choices.name, *choices.queues, *(kind.name for kind in choices.kinds))):
        raise SettingsError("a scaler, its queues and its kinds of machines need names.")
    return choices


def _ask(given: Choices) -> Choices:
    """Ask for everything; what was given is the default."""
    typer.echo("Where do machines come from?\n  local  agents of this machine, to try it out\n  aws    EC2")
    choices = replace(given, provider=_choose("Provider", PROVIDERS, given.provider))
    choices = replace(choices, name=_text("Name of the scaler", given.name))
    choices = replace(choices, queues=_several("Queues it serves", given.queues))
    is_aws = choices.provider == "aws"
    if is_aws:
        choices = replace(choices, aws=_ask_aws(given))
    kinds = [_ask_kind(given.kinds[0], is_aws=is_aws)]
    while is_aws and typer.confirm("Another kind of machine, for when there is none of these?", default=False):
        kinds.append(_ask_kind(Kind(f"{given.kinds[0].name}-{len(kinds) + 1}"), is_aws=is_aws))
    idle = _number("Minutes a machine may have nothing to do", given.idle_min, above_zero=True)
    costs = is_aws and all(kind.hourly_cost for kind in kinds)
    return replace(choices, kinds=tuple(kinds), idle_min=idle, hourly_budget=_ask_budget(given) if costs else None)


def _ask_aws(given: Choices) -> dict[str, str | tuple[str, ...]]:
    known = {name: value if isinstance(value, str) else "" for name, value in given.aws.items()}
    return _given(
        {
            "region": _text("Region", known.get("region") or "eu-west-1"),
            "ami_id": _text("Image (AMI)", known.get("ami_id")),
            "iam_name": _optional("Instance profile (Enter for none)", known.get("iam_name", "")),
        }
    )


def _ask_kind(given: Kind, *, is_aws: bool) -> Kind:
    if not is_aws:
        return replace(given, maximum=_count("Agents at most", given.maximum))
    return Kind(
        _text("What to call this kind of machine", given.name),
        _count("Machines of it at most", given.maximum),
        _several("Instance types, best first", given.types or ("g5.xlarge",)),
        _split(_optional("Availability zones (Enter for any)", ", ".join(given.zones))),
        typer.confirm("Spot, and where there is none on demand?", default=given.spot),
        _number("US dollars an hour for one", given.hourly_cost),
    )


def _ask_budget(given: Choices) -> float | None:
    known = "" if given.hourly_budget is None else f"{given.hourly_budget:g}"
    question = "US dollars an hour for all together, at most (Enter for no limit)"
    answer = typer.prompt(question, default=known, show_default=bool(known), value_proc=lambda a: a and _parsed(a))
    return float(answer) if answer else None


def _choose(question: str, options: Sequence[str], default: str) -> str:
    def parse(answer: str) -> str:
        if (chosen := answer.strip().lower()) not in options:
            raise typer.BadParameter(f"{answer!r} is none of {', '.join(options)}")
        return chosen

    shown = f"{question} ({', '.join(options)})"
    return str(typer.prompt(shown, default=default or options[0], value_proc=parse))


def _text(question: str, default: str | None) -> str:
    return str(typer.prompt(question, default=default or None)).strip()


def _optional(question: str, default: str) -> str:
    return str(typer.prompt(question, default=default, show_default=bool(default))).strip()


def _several(question: str, default: Sequence[str]) -> tuple[str, ...]:
    return _split(_text(f"{question} (with commas between them)", ", ".join(default)))


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _count(question: str, default: int) -> int:
    def parse(answer: str) -> int:
        if not str(answer).isdecimal() or not int(answer):
            raise typer.BadParameter(f"{answer!r} is no number above 0")
        return int(answer)

    return int(typer.prompt(question, default=default, value_proc=parse))


def _number(question: str, default: float, *, above_zero: bool = False) -> float:
    def parse(answer: str) -> float:
        return _parsed(answer, above_zero=above_zero)

    return float(typer.prompt(question, default=f"{default:g}", value_proc=parse))


def _parsed(answer: str, *, above_zero: bool = False) -> float:
    """A number that is not negative. Raises `BadParameter`, after which it is asked for again."""
    try:
        number = float(answer)
    except ValueError:
        number = nan
    if not (number > 0 or (number == 0 and not above_zero)) or isinf(number):
        raise typer.BadParameter(f"{answer!r} is no number {'above 0' if above_zero else 'from 0 on'}")
    return number
