"""What the outcome of a step depends on, as one text: equal for two steps that would compute the same. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from ...events.parts import TaskSpec
from .. import spec as specs

ARTIFACTS_SECTION: Final = "kwargs_artifacts/"
_IRRELEVANT: Final = "properties/"

HashOf = Callable[[str], str]


def cache_key(spec: TaskSpec, hash_of: HashOf) -> str:
    """SHA-256 over code, container, parameters and configurations; empty where the code is not pinned down.

    Requirements are left out, as ClearML does. An artifact that is passed on (`task.name`) counts by its content, which
    `hash_of` tells.
    """
    script = spec.script
    if script.repository and not script.commit:
        return ""
    code = script.model_dump(exclude={"requirements", "branch", "python_version"})
    parameters = {p.name: p.value for p in spec.parameters if not p.name.startswith(_IRRELEVANT)}
    passed_on = {name: hash_of(value) for name, value in parameters.items() if name.startswith(ARTIFACTS_SECTION)}
    matter = {
        "script": code,
        "container": spec.container.model_dump(),
        "parameters": dict(sorted((parameters | passed_on).items())),
        "configurations": {held.name: held.text for held in spec.configurations},
    }
    return hashlib.sha256(specs.json_of(matter).encode()).hexdigest()
