"""Pure changes to a task's spec, and the events that say them: what a process that edits a task remembers of it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_json

from ..events.base import Event, Part
from ..events.parts import Configuration, Parameter, TaskSpec
from ..events.task_events import ConfigurationSet, ParametersSet, TaskCreated, TaskEdited
from .parameters import section_of

P = TypeVar("P", bound=Part)


def value_at(spec: TaskSpec, field: str) -> Any:
    """Value at a dotted path."""
    value: Any = spec
    for part in field.split("."):
        value = getattr(value, part)
    return value


def with_value(spec: TaskSpec, field: str, value: Any) -> TaskSpec:
    """A spec with another value at a dotted path. Raises pydantic's ValidationError where it does not fit."""
    return _with_json(spec, field, json_of(value))


def json_of(value: Any) -> str:
    """JSON text of a field's value, as `TaskEdited` holds it."""
    return to_json(value).decode()


def with_parameters(spec: TaskSpec, parameters: Iterable[Parameter], removed: Iterable[str] = ()) -> TaskSpec:
    """A spec with these parameters set and those removed; order is that of first setting."""
    known = {parameter.name: parameter for parameter in spec.parameters} | {p.name: p for p in parameters}
    gone = set(removed)
    kept = [parameter for name, parameter in known.items() if name not in gone]
    return spec.model_copy(update={"parameters": kept})


def with_configuration(spec: TaskSpec, configuration: Configuration) -> TaskSpec:
    """A spec with a configuration object set."""
    known = {held.name: held for held in spec.configurations} | {configuration.name: configuration}
    return spec.model_copy(update={"configurations": list(known.values())})


def parameter(spec: TaskSpec, name: str) -> Parameter | None:
    """The parameter of this full name."""
    return next((held for held in spec.parameters if held.name == name), None)


def configuration(spec: TaskSpec, name: str) -> Configuration | None:
    """The configuration object of this name."""
    return next((held for held in spec.configurations if held.name == name), None)


def after(spec: TaskSpec | None, event: Event) -> TaskSpec | None:
    """The spec after an event of the task's; events that don't concern it leave it as it is."""
    match event:
        case TaskCreated():
            return spec or event.spec
        case TaskEdited() if spec is not None:
            return _with_json(spec, event.field, event.new)
        case ParametersSet() if spec is not None:
            return with_parameters(spec, event.parameters, _removed(spec, event))
        case ConfigurationSet() if spec is not None:
            return with_configuration(spec, event.configuration)
        case _:
            return spec


def _removed(spec: TaskSpec, event: ParametersSet) -> set[str]:
    named = {held.name for held in event.parameters}
    sections = {section_of(name) for name in named} if event.replace else set()
    return set(event.removed) | {p.name for p in spec.parameters if section_of(p.name) in sections} - named


def _with_json(model: P, field: str, text: str) -> P:
    head, _, rest = field.partition(".")
    if head not in type(model).model_fields:
        raise ValueError(f"{type(model).__name__} has no field {head!r}")
    new = _with_json(getattr(model, head), rest, text) if rest else _adapter(type(model), head).validate_json(text)
    return model.model_copy(update={head: new})


@cache
def _adapter(model: type[Part], field: str) -> TypeAdapter[Any]:
    annotation: Any = model.model_fields[field].annotation
    return TypeAdapter(annotation)
