"""Typed parameter values: what a Python value is as JSON text, and back, so that no type is lost on the way.

JSON has no tuples, sets, enums, non-finite floats or dicts with other keys than strings: these travel as an object
with one key that starts with `$`. Everything else is plain JSON, so that people and SQL can read it.
"""

from __future__ import annotations

import ast
import json
import math
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from typing import Any, Final

from ..events.parts import Parameter

DEFAULT_SECTION: Final = "General"
ARGUMENTS_SECTION: Final = "Args"
PROPERTIES_SECTION: Final = "properties"
_TRUE: Final = frozenset({"true", "yes", "on", "1", "1.0"})
_FALSE: Final = frozenset({"false", "no", "off", "0", "0.0"})
_NONE: Final = frozenset({"", "none", "null"})


def full_name(name: str, section: str = DEFAULT_SECTION) -> str:
    """`Section/key` of a name that may lack its section."""
    return name if "/" in name else f"{section}/{name}"


def type_name(value: Any) -> str:
    """Name of a value's type as it is stored: `int`, `NoneType`, `list`, or `module:QualName` of an enum."""
    if isinstance(value, Enum):
        return enum_name(type(value))
    base = next((kind for kind in (bool, int, float, str, list, tuple, set, dict) if isinstance(value, kind)), None)
    return (base or type(value)).__name__


def plain(value: Any) -> Any:
    """Turn NumPy's (and torch's) scalars and arrays into Python's; anything else comes back as it is."""
    if type(value).__module__ in {"builtins", "enum"} or isinstance(value, Enum):
        return value
    to_list: Callable[[], Any] | None = getattr(value, "tolist", None)
    return to_list() if callable(to_list) else value


def encode(value: Any, indent: int | None = None) -> str:
    """JSON text of a value; what no rule knows becomes its `str`."""
    tree = value.name if isinstance(value, Enum) else _tree(value)
    text = json.dumps(tree, ensure_ascii=False, allow_nan=False, indent=indent)
    return text if _is_encodable(text) else json.dumps(tree, allow_nan=False, indent=indent)


def decode(text: str) -> Any:
    """Value of a JSON text; text that is no JSON stands for itself."""
    try:
        return _value(json.loads(text))
    except ValueError:
        return text


def make(name: str, value: Any, description: str = "", kind: str | None = None) -> Parameter:
    """Parameter of a Python value. `kind` names the type where it is not the value's own."""
    value = plain(value)
    return Parameter(name=name, value=encode(value), type=kind or type_name(value), description=description)


def value_of(parameter: Parameter) -> Any:
    """The typed value. An enum is its member where its class is imported here, else the member's name."""
    value = decode(parameter.value)
    if ":" in parameter.type:
        return _member(enum_class(parameter.type), value)
    if isinstance(value, list) and parameter.type in {"tuple", "set"}:
        return tuple(value) if parameter.type == "tuple" else set(value)
    return value


def text_of(value: Any) -> str:
    """A value as ClearML shows it: empty for None, JSON for containers, the member's name for an enum."""
    if value is None:
        return ""
    if isinstance(value, Enum):
        return value.name
    return _container_text(value) if isinstance(value, (list, tuple, dict)) else str(value)


def from_text(text: str, kind: str) -> Any:
    """Value of a text that a person typed for a parameter of type `kind`. Raises ValueError where it is none."""
    if kind in {"list", "tuple", "set", "dict"}:
        return _container(text, kind)
    reader = _READERS.get(kind)
    return reader(text.strip()) if reader else text


def localized(parameter: Parameter, local: Any) -> Any:
    """The value a script gets instead of its own `local` one: the parameter's, in the type the script has.

    A text is read as that type, whole numbers become floats where the script has floats, scalars become text where it
    has text. None and whatever can't be turned stay what they are.
    """
    local_plain = plain(local)
    if encode(local_plain) == parameter.value and type_name(local_plain) == parameter.type:
        return local
    value = value_of(parameter)
    if isinstance(local, Enum):
        return _member(type(local), value)
    if value is None or local is None or type(value) is type(local_plain):
        return value
    return _cast(value, local_plain)


def _cast(value: Any, local: Any) -> Any:
    try:
        if isinstance(value, str):
            return _cast_text(value, local)
        return _cast_value(value, local)
    except Exception:  # noqa: BLE001  the script's own type may raise anything
        return value


def _cast_text(text: str, local: Any) -> Any:
    kind = type_name(local)
    if kind in _READERS or kind in {"list", "tuple", "set", "dict"}:
        return from_text(text, kind)
    return type(local)(text)


def _cast_value(value: Any, local: Any) -> Any:
    if isinstance(local, str):
        return text_of(value) if isinstance(value, (bool, int, float)) else value
    if isinstance(local, bool):
        return bool(value) if value in (0, 1) else value
    if isinstance(local, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(local, (list, tuple, set)) and isinstance(value, (list, tuple, set)):
        return type(local)(value)
    return value


def _tree(value: Any) -> Any:
    """What JSON can hold of a value, tagged where plain JSON would lose its type."""
    value = plain(value)
    if isinstance(value, Enum):
        return {"$enum": [enum_name(type(value)), value.name]}
    if value is None or isinstance(value, (bool, str)):
        return value if value is None or isinstance(value, bool) else str(value)
    if isinstance(value, (int, float)):
        return _number(value)
    return _container_tree(value)


def _number(value: float) -> Any:
    if isinstance(value, int):
        return int(value)
    return float(value) if math.isfinite(value) else {"$float": repr(float(value))}


def _container_tree(value: Any) -> Any:
    match value:
        case list():
            return [_tree(item) for item in value]
        case tuple():
            return {"$tuple": [_tree(item) for item in value]}
        case set() | frozenset():
            return {"$set": [_tree(item) for item in sorted(value, key=repr)]}
        case Mapping():
            return _mapping_tree(value)
        case _:
            return str(value)


def _mapping_tree(value: Mapping[Any, Any]) -> Any:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {str(key): _tree(item) for key, item in value.items()}
    return {"$dict": [[_tree(key), _tree(item)] for key, item in value.items()]}


def _value(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_value(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    tag, content = next(iter(tree.items()), ("", None))
    reader = _TAGS.get(tag) if len(tree) == 1 else None
    return reader(content) if reader else {key: _value(item) for key, item in tree.items()}


_TAGS: Final[dict[str, Callable[[Any], Any]]] = {
    "$tuple": lambda items: tuple(_value(item) for item in items),
    "$set": lambda items: {_value(item) for item in items},
    "$dict": lambda pairs: {_value(key): _value(item) for key, item in pairs},
    "$float": float,
    "$enum": lambda pair: _member(enum_class(pair[0]), pair[1]),
}


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() in _TRUE


def _whole(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _nothing(text: str) -> str | None:
    return None if text.lower() in _NONE else text


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "bool": _boolean,
    "int": _whole,
    "float": float,
    "NoneType": _nothing,
}


def _container(text: str, kind: str) -> Any:
    value = _literal(text)
    if kind == "dict" and isinstance(value, dict):
        return value
    if kind != "dict" and isinstance(value, (list, tuple, set)):
        return {"list": list, "tuple": tuple, "set": set}[kind](value)
    raise ValueError(f"{text!r} is no {kind}")


def _literal(text: str) -> Any:
    with suppress(ValueError):  # no JSON, but perhaps as Python writes it
        return _value(json.loads(text))
    try:
        return ast.literal_eval(text.strip())
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{text!r} is no literal") from error


def _container_text(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return str(value)


def enum_name(kind: type[Enum]) -> str:
    """An enum class as it is stored: `module:QualName`."""
    return f"{kind.__module__}:{kind.__qualname__}"


def enum_class(name: str) -> type[Enum] | None:
    """The enum class, only where its module is imported already: a stored name must not import anything."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, Enum) else None


def _member(kind: type[Enum] | None, name: Any) -> Any:
    """Member by name, else by value, else what was given."""
    if kind is None:
        return name
    if isinstance(name, str) and name.rpartition(".")[2] in kind.__members__:
        return kind[name.rpartition(".")[2]]
    try:
        return kind(name)
    except ValueError:
        return name


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
