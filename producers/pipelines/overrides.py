"""What a step changes in the task it is a copy of: parameters, configurations, and single fields. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...events.parts import Configuration, TaskSpec
from ...projections import spec_fold
from .. import spec as specs
from ..parameters import encode, full_name, make
from .errors import PipelineError

_FIELDS: Final[Mapping[str, str]] = {
    "script.version_num": "script.commit",
    "script.tag": "script.commit",
    "script.requirements.pip": "script.requirements",
    "container.setup_shell_script": "container.setup_script",
    "execution.docker_cmd": "container.image",
    "output.destination": "output_uri",
    "type": "task_type",
    "project": "project",
}
"""ClearML's names for fields of a task, where they are not ours."""


def with_parameters(spec: TaskSpec, values: Mapping[str, Any]) -> TaskSpec:
    """Return a spec with these parameters by full name; a name without section is one of `General`."""
    known = {held.name: held for held in spec.parameters}
    given = []
    for name, value in values.items():
        held = known.get(full_name(name))
        given.append(make(full_name(name), value, held.description if held else ""))
    return spec_fold.with_parameters(spec, given)


def with_configurations(spec: TaskSpec, values: Mapping[str, Any]) -> TaskSpec:
    """Return a spec with these configuration objects, each a text or what a dict or list is as JSON."""
    for name, value in values.items():
        held = specs.configuration(spec, name)
        text, kind = (value, held.type if held else "text") if isinstance(value, str) else (encode(value, 2), "dict")
        made = Configuration(name=name, text=text, type=kind, description=held.description if held else "")
        spec = spec_fold.with_configuration(spec, made)
    return spec


def with_fields(spec: TaskSpec, values: Mapping[str, Any], step: str) -> TaskSpec:
    """Return a spec with other values at dotted paths, by ClearML's names or ours: `script.branch`, `container.image`.

    Raises `PipelineError` where there is no such field, or a value does not fit.
    """
    for path, value in values.items():
        field = _FIELDS.get(path, path)
        if field == "script.requirements" and isinstance(value, str):
            value = [line for line in value.splitlines() if line.strip()]  # noqa: PLW2901  the same value as a list
        try:
            spec = spec_fold.with_field(spec, field, specs.json_of(value))
        except ValueError as error:
            raise PipelineError(f"task_overrides[{path!r}]: {error}.", step) from error
    return spec
