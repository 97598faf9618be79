"""The script with which a machine starts: names of what it is to become, quoted, and after them `boot.sh`.

It holds no secret, only references to them, which the machine resolves itself.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

from ..events.errors import SettingsError

LARGEST: Final = 16384


@dataclass(frozen=True)
class Boot:
    """What a machine is to become; without an agent after `minutes` it goes.

    `settings` are what its `tasktape.toml` says and `environment` its agent's variables, both with references for
    secrets. `options` are those of `tasktape agent`, `before` is run before anything else.
    """

    instance: str
    settings: Mapping[str, Any]
    options: Sequence[str]
    package: str
    region: str
    user: str = "tasktape"
    environment: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    docker: bool = False
    minutes: int = 30


def render(boot: Boot) -> str:
    """The script. Raises `SettingsError` where it is larger than EC2 takes."""
    names = {
        "minutes": str(boot.minutes),
        "before": boot.before,
        "package": boot.package,
        "user": boot.user,
        "docker": "yes" if boot.docker else "",
        "region": boot.region,
        "machine": json.dumps(_machine(boot), indent=1, sort_keys=True),
    }
    assignments = [f"{name}={shlex.quote(value)}" for name, value in names.items()]
    script = "\n".join(["#!/bin/bash", *assignments, _rest()])
    if (size := len(script.encode())) > LARGEST:
        raise SettingsError(
            f"a machine would start with a script of {size} bytes, of which EC2 takes {LARGEST}: "
            "have extra_vm_bash_script fetch what it does, or make an image that has it."
        )
    return script


def _machine(boot: Boot) -> dict[str, Any]:
    """What `instance` reads on the machine."""
    return {
        "instance": boot.instance,
        "user": boot.user,
        "region": boot.region,
        "settings": boot.settings,
        "environment": boot.environment,
        "options": boot.options,
    }


@cache
def _rest() -> str:
    return files(__package__).joinpath("boot.sh").read_text(encoding="utf-8")
