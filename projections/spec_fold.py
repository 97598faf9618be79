"""The fold of a task's spec: what each event that describes a task changes in it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

from ..events.base import Part
from ..events.parts import Configuration, Parameter, TaskSpec
from ..events.task_events import ConfigurationSet, ParametersSet, TaskEdited

P = TypeVar("P", bound=Part)
SpecEvent = TaskEdited | ParametersSet | ConfigurationSet


def changed(spec: TaskSpec, event: SpecEvent) -> TaskSpec:
    """Return the spec after the event.

    Raises:
        ValueError: The event edits a field that there is not, or gives it a value that does not fit.

    """
    if isinstance(event, TaskEdited):
        return with_field(spec, event.field, event.new)
    if isinstance(event, ParametersSet):
        return with_parameters(spec, event.parameters, _dropped(spec, event))
    return with_configuration(spec, event.configuration)


def with_field(model: P, path: str, json_text: str) -> P:
    """Return a model with another value at a dotted path. Raises `ValueError` where path or value do not fit."""
    head, _, rest = path.partition(".")
    if head not in type(model).model_fields:
        raise ValueError(f"{type(model).__name__} has no field {head!r}")
    inner = getattr(model, head)
    if rest and not isinstance(inner, Part):
        raise ValueError(f"{head!r} of {type(model).__name__} has no fields")
    new = with_field(inner, rest, json_text) if rest else _adapter(type(model), head).validate_json(json_text)
    return model.model_copy(update={head: new})


def with_parameters(spec: TaskSpec, parameters: Iterable[Parameter], removed: Iterable[str] = ()) -> TaskSpec:
    """Return a spec with these parameters set, then those removed; each keeps the place it first had."""
    known = {held.name: held for held in spec.parameters} | {given.name: given for given in parameters}
    gone = set(removed)
    return spec.model_copy(update={"parameters": [held for name, held in known.items() if name not in gone]})


def with_configuration(spec: TaskSpec, configuration: Configuration) -> TaskSpec:
    """Return a spec with a configuration object set."""
    known = {held.name: held for held in spec.configurations} | {configuration.name: configuration}
    return spec.model_copy(update={"configurations": list(known.values())})


def section_of(name: str) -> str:
    """Section of a parameter's full name `Section/key`; the key may hold further slashes."""
    section, separator, _ = name.partition("/")
    return section if separator else ""


def _dropped(spec: TaskSpec, event: ParametersSet) -> set[str]:
    given = {held.name for held in event.parameters}
    sections = {section_of(name) for name in given} if event.replace else set()
    return set(event.removed) | {p.name for p in spec.parameters if section_of(p.name) in sections} - given


@cache
def _adapter(model: type[Part], field: str) -> TypeAdapter[Any]:
    return TypeAdapter(model.model_fields[field].rebuild_annotation())
