"""Looking into a task's spec: a field at a dotted path, a parameter or configuration by its name."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from ..events.parts import Configuration, Parameter, TaskSpec


def value_at(spec: TaskSpec, field: str) -> Any:
    """Value at a dotted path."""
    value: Any = spec
    for part in field.split("."):
        value = getattr(value, part)
    return value


def json_of(value: Any) -> str:
    """JSON text of a field's value, as `TaskEdited` holds it."""
    return to_json(value).decode()


def parameter(spec: TaskSpec, name: str) -> Parameter | None:
    """The parameter of this full name."""
    return next((held for held in spec.parameters if held.name == name), None)


def configuration(spec: TaskSpec, name: str) -> Configuration | None:
    """The configuration object of this name."""
    return next((held for held in spec.configurations if held.name == name), None)
