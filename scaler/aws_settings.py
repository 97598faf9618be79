"""What a scaler's settings may say of machines at AWS: how they are launched, and what is on them.

Names are those of ClearML's autoscaler, where it has them. The table `aws` speaks of all machines, the table `provider`
of a resource of its own ones and wins. Secrets stand there as references, see `references`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from ..agent.masking import is_secret_variable
from ..events.settings import Settings, is_secret
from .references import FORMS, reference

_OURS: Final = frozenset({"ClientToken", "DryRun", "ImageId", "InstanceInitiatedShutdownBehavior", "InstanceType"})
_OURS_TOO: Final = frozenset({"MaxCount", "MinCount", "TagSpecifications", "UserData"})
_PASSWORD: Final = re.compile(r"://[^/\s]*@")
_REFERENCE: Final = f"this is a secret: put it where machines can read it, and write {FORMS} here"


def _texts(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _tags(value: Any) -> Any:
    """ClearML writes `name=value, name=value`."""
    if not isinstance(value, str):
        return value
    pairs = (pair.partition("=") for pair in value.split(",") if pair.strip())
    return {name.strip(): text.strip() for name, _, text in pairs}


def _may_be_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("a shell can't read a NUL")
    return text


def _has_no_password(url: str) -> str:
    if _PASSWORD.search(url):
        raise ValueError("it holds a password: let pip find it in a file that extra_vm_bash_script writes")
    return url


def _may_be_added(arguments: dict[str, Any]) -> dict[str, Any]:
    if taken := sorted((_OURS | _OURS_TOO) & arguments.keys()):
        raise ValueError(f"{taken[0]} is the scaler's to say")
    if arguments.get("MetadataOptions", {}).get("HttpTokens", "required") != "required":
        raise ValueError("MetadataOptions.HttpTokens: machines answer to version 2 of IMDS only")
    return arguments


def _refers_to_secrets(settings: dict[str, Any]) -> dict[str, Any]:
    read = Settings.model_validate(settings)
    for name, value in _secrets(read):
        if reference(value) is None:
            raise ValueError(f"{name}: {_REFERENCE}")
    return {**settings, "kafka": dict(read.kafka)} if read.kafka else settings


def _secrets(settings: Settings) -> Iterator[tuple[str, str]]:
    yield from ((f"kafka.{name}", value) for name, value in settings.kafka.items() if is_secret_property(name))
    for host, access in settings.git.items():
        if access.token.get_secret_value():
            yield f"git.{host}.token", access.token.get_secret_value()
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if isinstance(value, str) and _PASSWORD.search(value):
            yield name, value


def _hides_secrets(environment: dict[str, str]) -> dict[str, str]:
    for name, value in environment.items():
        shows = is_secret_variable(name) or _PASSWORD.search(value)
        if shows and reference(value) is None:
            raise ValueError(f"{name}: {_REFERENCE}")
    return environment


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Tags = Annotated[dict[str, str], BeforeValidator(_tags)]
Text = Annotated[str, AfterValidator(_may_be_text)]


class AwsMachine(BaseModel):
    """How machines are launched and what is on them; every name may stand in either table.

    `settings` are lines of the machine's `tasktape.toml`, beside what the scaler's own ones say of log and blobs;
    `environment` are variables of its agent. `package` is what pip installs where the image has no tasktape: a
    requirement, a wheel's address, or where it lies in S3. `extra_configurations` are arguments of RunInstances.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    ami_id: str = Field(default="", pattern=r"^(ami-[0-9a-f]+|resolve:ssm:\S+)?$")
    ebs_device_name: str = ""
    ebs_volume_size: int | None = Field(default=None, ge=1)
    ebs_volume_type: str = ""
    ebs_snapshot_id: str = ""
    key_name: str = ""
    security_group_ids: Texts = ()
    iam_arn: str = ""
    iam_name: str = ""
    tags: Tags = Field(default_factory=dict)
    spot_options: dict[str, Any] = Field(default_factory=dict)
    extra_configurations: Annotated[dict[str, Any], AfterValidator(_may_be_added)] = Field(default_factory=dict)
    extra_vm_bash_script: Text = ""
    default_docker_image: Text = ""
    agent_options: tuple[Text, ...] = ()
    package: Annotated[Text, AfterValidator(_has_no_password)] = ""
    user: str = Field(default="tasktape", pattern=r"^[a-z_][a-z0-9_-]{0,31}$")
    settings: Annotated[dict[str, Any], AfterValidator(_refers_to_secrets)] = Field(default_factory=dict)
    environment: Annotated[dict[str, Text], AfterValidator(_hides_secrets)] = Field(default_factory=dict)

    def overlaid(self, own: AwsMachine) -> AwsMachine:
        """What the table `aws` says, with what a resource says of its own: single tags, variables and settings too."""
        given = {name: merged(getattr(self, name), getattr(own, name)) for name in own.model_fields_set}
        return AwsMachine.model_construct(**{name: getattr(self, name) for name in AwsMachine.model_fields} | given)


class AwsSettings(AwsMachine):
    """The table `aws`; without a `region` the one that boto3 finds."""

    region: str = ""


def is_secret_property(name: str) -> bool:
    """Whether a property of Kafka's is itself a secret, not the path of a file that holds one."""
    return is_secret(name) and not name.endswith(".location")


def merged(one: Any, other: Any) -> Any:
    """Two tables as one, the other's values first; whatever is no table is the other's."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping):
        return other
    return {**one, **{name: merged(one.get(name), value) for name, value in other.items()}}


def _complete(own: AwsMachine, info: ValidationInfo) -> AwsMachine:
    """The whole of a resource's machine, if it is one."""
    machine = info.context.overlaid(own) if isinstance(info.context, AwsMachine) else own
    wrong = [
        "ami_id: name an image, here or in the table aws" * (not machine.ami_id),
        "iam_arn, iam_name: name the instance profile in one of the two" * bool(machine.iam_arn and machine.iam_name),
        "ebs_device_name: name it, as it is in the image" * (_has_volume(machine) and not machine.ebs_device_name),
    ]
    if any(wrong):
        raise ValueError("; ".join(filter(None, wrong)))
    return machine


def _has_volume(machine: AwsMachine) -> bool:
    return bool(machine.ebs_volume_size or machine.ebs_volume_type or machine.ebs_snapshot_id)


class _Resource(BaseModel):
    provider: Annotated[AwsMachine, AfterValidator(_complete)]


class _Resources(BaseModel):
    resources: dict[str, _Resource]


def machines_of(aws: AwsSettings, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, AwsMachine]:
    """The machines of resources, from their tables `provider`. Raises `ValidationError`, which names what is wrong."""
    given = {"resources": {name: {"provider": table} for name, table in tables.items()}}
    found = _Resources.model_validate(given, context=aws)
    return {name: resource.provider for name, resource in found.resources.items()}
