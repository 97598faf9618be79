"""Objects that hold parameters, read as flat `key/key` names and written back in place.

Dicts (and other mutable mappings), classes, plain objects, dataclasses, pydantic models, `argparse.Namespace` and
argument parsers (by their defaults) are groups: their fields are parameters, or groups themselves.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from enum import Enum
from pathlib import PurePath
from typing import Any, Self

from ..events.parts import Parameter
from .parameters import localized, plain, value_of

Flat = dict[str, Any]
_SCALARS = (bool, int, float, str, Enum, PurePath, type(None))


def flatten(group: Any, prefix: str = "") -> Flat:
    """Flat names and values of all parameters in a group, nested groups joined with `/`."""
    flat: Flat = {}
    for key, value in fields_of(group):
        path = f"{prefix}{key}"
        if is_group(value):
            flat |= flatten(value, f"{path}/")
        else:
            flat[path] = value
    return flat


def write_back(group: Any, remote: Mapping[str, Parameter], prefix: str = "") -> None:
    """Put parameters into a group, in the types the group has; names it does not have are left out.

    A dict inside it may have been set whole, as one parameter; that counts then.
    """
    for key, value in list(fields_of(group)):
        path = f"{prefix}{key}"
        if isinstance(value, dict) and path in remote and isinstance(whole := value_of(remote[path]), dict):
            store(group, key, whole)
        elif is_group(value):
            write_back(value, remote, f"{path}/")
        elif path in remote:
            store(group, key, localized(remote[path], value))


def is_group(value: Any) -> bool:
    """Whether a value's fields are parameters of their own. An empty dict is a value."""
    if isinstance(value, Mapping):
        return bool(value)
    return not isinstance(value, type) and (hasattr(value, "__dataclass_fields__") or _is_pydantic(value))


def fields_of(group: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the fields of a group with their values: a mapping's items, an object's public plain attributes."""
    if isinstance(group, Mapping):
        yield from group.items()
    elif isinstance(group, argparse.Namespace):
        yield from vars(group).items()
    elif isinstance(group, argparse.ArgumentParser):
        yield from _defaults(group)
    else:
        yield from ((name, value) for name, value in _attributes(group).items() if _is_parameter(name, value))


def store(group: Any, key: Any, value: Any) -> None:
    """Set one field; frozen objects are changed too, since their owner asked for it by connecting them."""
    if isinstance(group, MutableMapping):
        group[key] = value
    elif isinstance(group, argparse.ArgumentParser):
        _set_default(group, key, value)
    elif getattr(group, key, None) != value:
        _set_attribute(group, key, value)


def _actions(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, argparse.Action]]:
    """All actions of a parser and of its sub-commands that put something into the namespace."""
    for action in parser._actions:  # noqa: SLF001  argparse shows them nowhere else
        if action.dest not in {"help", argparse.SUPPRESS}:
            yield parser, action
        if isinstance(action.choices, Mapping):
            for command in action.choices.values():
                yield from _actions(command)


def _defaults(parser: argparse.ArgumentParser) -> Iterator[tuple[str, Any]]:
    for owner, action in _actions(parser):
        if action.default is not argparse.SUPPRESS:
            yield action.dest, owner.get_default(action.dest)


def _set_default(parser: argparse.ArgumentParser, key: str, value: Any) -> None:
    for owner, action in _actions(parser):
        if action.dest == key:
            owner.set_defaults(**{key: value})
            action.required = False


def _set_attribute(group: Any, key: str, value: Any) -> None:
    try:
        setattr(group, key, value)
    except (AttributeError, TypeError, ValueError):
        if isinstance(group, type):
            raise
        object.__setattr__(group, key, value)


def _attributes(group: Any) -> dict[str, Any]:
    """Attributes of a class or object, those of its base classes first."""
    kind = group if isinstance(group, type) else type(group)
    found: dict[str, Any] = {}
    if not _is_pydantic(group):
        for base in reversed(kind.__mro__[:-1]):
            found |= vars(base)
            found |= _slots(base, group)
    return found | (vars(group) if hasattr(group, "__dict__") else {})


def _slots(base: type, group: Any) -> dict[str, Any]:
    names = vars(base).get("__slots__", ())
    names = (names,) if isinstance(names, str) else names
    return {name: getattr(group, name) for name in names if not isinstance(group, type) and hasattr(group, name)}


def _is_parameter(name: str, value: Any) -> bool:
    return not str(name).startswith("_") and (is_group(value) or is_value(value))


def is_value(value: Any) -> bool:
    """Whether a value is made of what parameters can be made of."""
    value = plain(value)
    if isinstance(value, Mapping):
        return all(is_value(key) and is_value(item) for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(is_value(item) for item in value)
    return isinstance(value, _SCALARS)


def _is_pydantic(value: Any) -> bool:
    return hasattr(type(value), "model_fields") and hasattr(value, "model_dump")


class TrackedDict(dict[Any, Any]):
    """A dict that tells when it is changed; dicts inside it are tracked too. Pickles and copies as a plain dict."""

    def __init__(self, items: Mapping[Any, Any], on_change: Callable[[], None]) -> None:
        super().__init__()
        self._on_change = on_change
        for key, value in items.items():
            super().__setitem__(key, self._tracked(value))

    def _tracked(self, value: Any) -> Any:
        return TrackedDict(value, self._on_change) if type(value) is dict else value

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, self._tracked(value))
        self._on_change()

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self._on_change()

    def __ior__(self, other: Any) -> Self:  # type: ignore[misc]
        self.update(other)
        return self

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Update from a mapping, pairs and keywords; tells once."""
        for key, value in dict(*args, **kwargs).items():
            super().__setitem__(key, self._tracked(value))
        self._on_change()

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Value of the key, which is set where it was missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: Any, *default: Any) -> Any:
        """Remove a key."""
        value = super().pop(key, *default)
        self._on_change()
        return value

    def popitem(self) -> tuple[Any, Any]:
        """Remove the last item."""
        item = super().popitem()
        self._on_change()
        return item

    def clear(self) -> None:
        """Remove everything."""
        super().clear()
        self._on_change()

    def to_dict(self) -> dict[Any, Any]:
        """A plain copy, dicts inside it plain as well."""
        return {key: value.to_dict() if isinstance(value, TrackedDict) else value for key, value in self.items()}

    def copy(self) -> dict[Any, Any]:
        """A plain shallow copy, as of any dict."""
        return dict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (self.to_dict(),))
