"""Environment variables, on request: those that `TASKTAPE_LOG_ENVIRONMENT` names become parameters of the task.

Its value is a list of names and patterns (`*` is allowed in them), with commas between. Under an agent the task's
values are set in the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from ..parameters import text_of, value_of
from .arguments import Arguments

if TYPE_CHECKING:
    from ..task import Task

VARIABLE: Final = "TASKTAPE_LOG_ENVIRONMENT"
SECTION: Final = "Environment"
_SECRET: Final = re.compile(
    r"SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE|(^|_)(API_?)?KEY(_|$)|ACCESS_KEY", re.IGNORECASE
)


def chosen(variables: Mapping[str, str], wanted: str) -> dict[str, str]:
    """Variables that `wanted` names. A pattern leaves out what a name like `…_TOKEN` shows to be secret."""
    patterns = [pattern.strip() for pattern in wanted.split(",") if pattern.strip()]
    return {name: value for name, value in variables.items() if any(_is_meant(name, pattern) for pattern in patterns)}


def _is_meant(name: str, pattern: str) -> bool:
    return name == pattern or (fnmatchcase(name, pattern) and not _SECRET.search(name))


def connect_environment(task: Task, arguments: Arguments, variables: MutableMapping[str, str] = os.environ) -> None:
    """Record the variables that were asked for, and set those the task has."""
    for name, parameter in arguments.remote(SECTION).items():
        variables[name] = text_of(value_of(parameter))
    found = chosen(variables, variables.get(VARIABLE, ""))
    if found:
        task.update_parameters({f"{SECTION}/{name}": value for name, value in found.items()})
