"""Hyper-parameters of a task, by full name `Section/key`: set, get, delete; and user properties, a section of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from itertools import chain
from typing import Any

from ..events.parts import Parameter
from ..projections.spec_fold import section_of
from . import spec as specs
from .connect import flatten, is_value
from .errors import InvalidArgumentError
from .parameters import PROPERTIES_SECTION, from_text, full_name, make, plain, text_of, value_of
from .task_base import TaskBase
from .text import shown
from .warn import LOGGER

Pairs = Mapping[str, Any] | Iterable[tuple[str, Any]]


class ParametersMixin(TaskBase):
    """Reads give text, as ClearML does, unless `cast` asks for the typed value."""

    def set_parameters(self, *args: Pairs, **kwargs: Any) -> None:
        """Set all hyper-parameters: those not given are removed. User properties stay.

        Args:
            args: Mappings or (name, value) pairs; names are `Section/key`, without a section in `General`.
            kwargs: More of them.

        """
        given = _merged(args, kwargs)
        names = {full_name(name) for name in given}
        self._set(given, [p.name for p in self._spec.parameters if p.name not in names and not _is_property(p)])

    def update_parameters(self, *args: Pairs, **kwargs: Any) -> None:
        """Set these hyper-parameters and leave the others as they are."""
        self._set(_merged(args, kwargs))

    def set_parameter(
        self, name: str, value: Any, description: str | None = None, value_type: Any | None = None
    ) -> None:
        """Set one hyper-parameter.

        Args:
            name: `Section/key`; without a section it is in `General`.
            value: None, bool, int, float, str, enum, or lists, tuples, sets and dicts of them.
            description: For people; None keeps the one it has.
            value_type: Its type where `value` is a text that stands for one, such as `int` for `"5"`.

        """
        self._require_editable("given other parameters")
        self._put_parameters([self._parameter(full_name(name), value, description, value_type)])

    def set_parameters_as_dict(self, dictionary: Mapping[str, Any]) -> None:
        """Set the hyper-parameters of a nested dict, once: `{"Args": {"lr": 0.1}}`."""
        self.update_parameters(flatten(dictionary))

    def get_parameter(self, name: str, default: Any = None, cast: bool = False) -> Any:
        """Return a hyper-parameter as text, or typed with `cast`; `default` where there is none."""
        found = specs.parameter(self._spec, full_name(name))
        return default if found is None else _shown(found, cast=cast)

    def get_parameters(self, backwards_compatibility: bool = True, cast: bool = False) -> dict[str, Any]:
        """Return all hyper-parameters by full name, as text, or typed with `cast`.

        Args:
            backwards_compatibility: Accepted; every parameter has a section here.
            cast: Whether to return typed values.

        """
        del backwards_compatibility
        return {held.name: _shown(held, cast=cast) for held in self._spec.parameters}

    def get_parameters_as_dict(self, cast: bool = False) -> dict[str, Any]:
        """Return all hyper-parameters as nested dicts: sections, then the parts of names with `/` in them."""
        nested: dict[str, Any] = {}
        for name, value in self.get_parameters(cast=cast).items():
            *path, key = name.split("/")
            _descend(nested, path)[key] = value
        return nested

    def delete_parameter(self, name: str, force: bool = False) -> bool:
        """Remove a hyper-parameter; returns whether it was there.

        Args:
            name: `Section/key`.
            force: Also from a task that is neither a draft nor runs.

        """
        if specs.parameter(self._spec, full_name(name)) is None:
            return False
        if not force:
            self._require_editable("given other parameters")
        self._put_parameters([], [full_name(name)])
        return True

    def set_user_properties(self, *iterables: Any, **properties: Any) -> bool:
        """Set user properties, which may be changed at any time.

        Args:
            iterables: Mappings of names to values, or lists of dicts with `name`, `value` and, where wanted,
                `description` and `type`.
            properties: Values by name, or dicts as above without `name`.

        Raises:
            InvalidArgumentError: One of `iterables` is neither.

        """
        given = dict(chain.from_iterable(_named(item) for item in iterables)) | properties
        self._put_parameters([self._property(name, details) for name, details in given.items()])
        return True

    def get_user_properties(self, value_only: bool = False) -> dict[str, Any]:
        """Return user properties by name: their text with `value_only`, else dicts with all there is to them."""
        held = {p.name.partition("/")[2]: p for p in self._spec.parameters if _is_property(p)}
        return {name: text_of(value_of(p)) if value_only else _details(p) for name, p in held.items()}

    def delete_user_properties(self, *iterables: Any) -> bool:
        """Remove user properties, named by dicts with `section` and `name` or by such pairs."""
        pairs = [(i.get("section", PROPERTIES_SECTION), i["name"]) if isinstance(i, Mapping) else i for i in iterables]
        self._put_parameters([], [f"{section}/{name}" for section, name in pairs])
        return True

    def _set(self, given: Mapping[str, Any], removed: Iterable[str] = ()) -> None:
        self._require_editable("given other parameters")
        usable = {name: value for name, value in given.items() if _is_usable(name, value)}
        self._put_parameters([self._parameter(full_name(name), value) for name, value in usable.items()], removed)

    def _parameter(self, name: str, value: Any, description: str | None = None, value_type: Any = None) -> Parameter:
        before = specs.parameter(self._spec, name)
        about = description or (before.description if before else "") or _choices(value)
        return make(name, _typed(value, value_type), about)

    def _property(self, name: str, details: Any) -> Parameter:
        details = details if isinstance(details, Mapping) and "value" in details else {"value": details}
        kind = details.get("type")
        return self._parameter(f"{PROPERTIES_SECTION}/{name}", details["value"], details.get("description"), kind)


def _merged(args: Iterable[Pairs], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        pairs = chain.from_iterable(given.items() if isinstance(given, Mapping) else given for given in args)
        return {str(name): value for name, value in pairs} | dict(kwargs)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError("parameters are given as mappings, or as (name, value) pairs.") from error


def _is_usable(name: str, value: Any) -> bool:
    if not is_value(value):
        LOGGER.warning(
            "parameter %s is left out: a %s is no plain value.",
            name,
            type(value).__name__,
            extra={"action": "parameter_left_out", "parameter": name},
        )
        return False
    return True


def _typed(value: Any, value_type: Any) -> Any:
    """The value in the type that was named, a class or its name; as it is where it is no such value."""
    try:
        if value_type and isinstance(value, str):
            return from_text(value, getattr(value_type, "__name__", str(value_type)))
        return value_type(value) if isinstance(value_type, type) else value
    except (TypeError, ValueError):
        return value


def _shown(held: Parameter, *, cast: bool) -> Any:
    value = value_of(held)
    return value if cast else text_of(value)


def _is_property(held: Parameter) -> bool:
    return section_of(held.name) == PROPERTIES_SECTION


def _details(held: Parameter) -> dict[str, Any]:
    section, _, name = held.name.partition("/")
    shown = text_of(value_of(held))
    return {"section": section, "name": name, "value": shown, "type": held.type, "description": held.description}


def _named(given: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(given, Mapping) and not {"name", "value"} <= given.keys():
        yield from given.items()
        return
    listed = [given] if isinstance(given, Mapping) else given
    if not isinstance(listed, Iterable) or not all(isinstance(item, Mapping) and "name" in item for item in listed):
        raise InvalidArgumentError(
            f"user properties are mappings, or lists of dicts with `name` and `value`, not {shown(given)}."
        )
    yield from ((item["name"], item) for item in listed)


def _choices(value: Any) -> str:
    """An enum's members: what a person who edits the parameter may choose from."""
    value = plain(value)
    return f"Values: {', '.join(type(value).__members__)}" if isinstance(value, Enum) else ""


def _descend(nested: dict[str, Any], path: Iterable[str]) -> dict[str, Any]:
    for part in path:
        inner = nested.get(part)
        nested[part] = nested = inner if isinstance(inner, dict) else {}
    return nested
