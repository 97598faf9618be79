"""Looking into a task's spec: a field at a dotted path, a parameter or configuration by its name; and fit texts."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic_core import to_json

from ..events.base import Part
from ..events.parts import Configuration, Parameter, TaskSpec
from .text import as_name, as_text

P = TypeVar("P", bound=Part)


def value_at(spec: TaskSpec, field: str) -> Any:
    """Value at a dotted path."""
    value: Any = spec
    for part in field.split("."):
        value = getattr(value, part)
    return value


def json_of(value: Any) -> str:
    """JSON text of a field's value, as `TaskEdited` holds it."""
    return to_json(value).decode()


def fit(value: Any) -> Any:
    """A value of plain containers and texts with all its texts in valid Unicode."""
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, (list, tuple)):
        return [fit(item) for item in value]
    return {fit(key): fit(item) for key, item in value.items()} if isinstance(value, dict) else value


def fit_part(part: P) -> P:
    """A record with all its texts in valid Unicode."""
    plain = part.model_dump()
    fitting = fit(plain)
    return part if fitting == plain else type(part).model_validate(fitting)


def fit_spec(spec: TaskSpec) -> TaskSpec:
    """A spec with all its texts in valid Unicode, and names of a length that people can look at."""
    return fit_part(spec.model_copy(update={"name": as_name(spec.name), "project": as_name(spec.project)}))


def parameter(spec: TaskSpec, name: str) -> Parameter | None:
    """The parameter of this full name."""
    return next((held for held in spec.parameters if held.name == name), None)


def configuration(spec: TaskSpec, name: str) -> Configuration | None:
    """The configuration object of this name."""
    return next((held for held in spec.configurations if held.name == name), None)
