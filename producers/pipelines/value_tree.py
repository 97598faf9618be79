"""Values as JSON that loses no type: what steps return and take, read back without running anything of what is stored.

Plain JSON where that says all; what JSON lacks is an object with one key that starts with `$`, as in parameters. What
no rule knows here (arrays, tables, files) is left to the `Member` functions of whoever stores the tree.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from zoneinfo import ZoneInfo

from ..artifact_formats import ArtifactError
from ..parameters import enum_class, enum_name

Member = Callable[[Any], Any]
"""Makes a tree of a value that has none; or a value of the content of such a tree."""

MEMBER: Final = "$member"
BUNCH: Final = "sklearn.utils._bunch"
"""Module of scikit-learn's class of that name, a dict with attributes."""
_SAFE_INTEGER: Final = 2**63
_Recurse = Callable[[Any], Any]


class UnsupportedValueError(ArtifactError):
    """A value that no safe format holds."""

    def __init__(self, value: Any, reason: str = "") -> None:
        self.kind = kind_of(value)
        self.reason = reason
        super().__init__(f"no safe format holds a {self.kind}{f': {reason}' if reason else ''}.")


def kind_of(value: Any) -> str:
    """A value's type as a message names it."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def to_tree(value: Any, member: Member) -> Any:
    """What JSON can hold of a value. `member` gets what no rule knows, and raises `UnsupportedValueError` at will."""
    kind = type(value)
    if value is None or kind in {str, bool}:
        return value
    if kind in _WRITERS:
        return _WRITERS[kind](value, lambda item: to_tree(item, member))
    if isinstance(value, Enum):
        return _enum_tree(value)
    if kind.__module__ == BUNCH:
        return {"$bunch": {key: to_tree(item, member) for key, item in value.items()}}
    return _numpy_tree(value, member) or member(value)


def _numpy_tree(value: Any, member: Member) -> Any:
    """The tree of a scalar of NumPy's, or of an array of Python objects; None for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic) and not isinstance(value, numpy.void):
        return {"$numpy": [value.dtype.str, _base64(value.tobytes())]}
    if numpy is not None and type(value) is numpy.ndarray and value.dtype.kind == "O":
        return {"$objects": [list(value.shape), [to_tree(item, member) for item in value.ravel().tolist()]]}
    return None


def from_tree(tree: Any, member: Member) -> Any:
    """The value of a tree. `member` gets the content of what another `member` has made.

    Raises `ArtifactError` for what this version does not know, and where a class or library is missing here.
    """
    if isinstance(tree, list):
        return [from_tree(item, member) for item in tree]
    if not isinstance(tree, dict):
        return tree
    tag, content = next(iter(tree.items()), ("", None))
    if not tag.startswith("$"):
        return {key: from_tree(item, member) for key, item in tree.items()}
    if tag in _READERS:
        return _READERS[tag](content, lambda item: from_tree(item, member))
    return member(tree)


def to_json(tree: Any) -> bytes:
    """The tree's file; deterministic, and one that people can read."""
    return json.dumps(tree, ensure_ascii=False, allow_nan=False, indent=1).encode("utf-8", "surrogatepass")


def from_json(content: bytes) -> Any:
    """The tree of a file."""
    return json.loads(content.decode("utf-8", "surrogatepass"))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _integer(value: int, _: _Recurse) -> Any:
    return value if abs(value) < _SAFE_INTEGER else {"$int": hex(value)}


def _float(value: float, _: _Recurse) -> Any:
    return value if math.isfinite(value) else {"$float": repr(value)}


def _dict(value: dict[Any, Any], tree: _Recurse) -> Any:
    if all(type(key) is str and not key.startswith("$") for key in value):
        return {key: tree(item) for key, item in value.items()}
    return {"$dict": [[tree(key), tree(item)] for key, item in value.items()]}


def _sorted(value: set[Any] | frozenset[Any], tree: _Recurse) -> list[Any]:
    return [tree(item) for item in sorted(value, key=repr)]


def _zone(value: datetime | time) -> Any:
    """A time zone as seconds from UTC or as its name; None for none."""
    zone: tzinfo | None = value.tzinfo
    if zone is None:
        return None
    if type(zone) is timezone:
        return zone.utcoffset(None).total_seconds()
    if isinstance(zone, ZoneInfo) and zone.key:
        return zone.key
    raise UnsupportedValueError(value, f"its time zone is a {type(zone).__name__}")


def _clock(value: Any, _: _Recurse) -> list[Any]:
    return [value.replace(tzinfo=None, fold=0).isoformat(), value.fold, _zone(value)]


def _read_clock(kind: type[datetime | time]) -> Callable[[Any, _Recurse], Any]:
    def read(content: Any, _: _Recurse) -> Any:
        text, fold, zone = content
        if zone is not None:
            zone = ZoneInfo(zone) if isinstance(zone, str) else timezone(timedelta(seconds=zone))
        return kind.fromisoformat(text).replace(tzinfo=zone, fold=fold)

    return read


def _enum_tree(value: Enum) -> Any:
    kind = type(value)
    if enum_class(enum_name(kind)) is not kind or value.name not in kind.__members__:
        raise UnsupportedValueError(value, "it is no named member of an enum at the top of a module")
    return {"$enum": [enum_name(kind), value.name]}


def _read_enum(content: Any, _: _Recurse) -> Any:
    name, member = content
    kind = enum_class(name)
    if kind is None or member not in kind.__members__:
        raise ArtifactError(f"it holds {member!r} of the enum {name}, which is not here: import or define that first.")
    return kind[member]


def _read_scalar(content: Any, _: _Recurse) -> Any:
    import numpy as np  # noqa: PLC0415  heavy

    kind, text = content
    return np.frombuffer(base64.b64decode(text), np.dtype(kind))[0]


def _read_objects(content: Any, value: _Recurse) -> Any:
    import numpy as np  # noqa: PLC0415  heavy

    shape, items = content
    array = np.empty(len(items), object)
    for place, item in enumerate(items):
        array[place] = value(item)
    return array.reshape(shape)


def _read_bunch(content: Any, value: _Recurse) -> Any:
    try:
        from sklearn.utils import Bunch  # noqa: PLC0415  optional
    except ImportError as error:
        raise ArtifactError("it holds a Bunch of scikit-learn, which is not installed here.") from error
    return Bunch(**{key: value(item) for key, item in content.items()})


def _tagged(tag: str, content: Callable[[Any, _Recurse], Any]) -> Callable[[Any, _Recurse], Any]:
    return lambda value, tree: {tag: content(value, tree)}


def _all(value: Any, tree: _Recurse) -> list[Any]:
    return [tree(item) for item in value]


_WRITERS: Final[dict[type, Callable[[Any, _Recurse], Any]]] = {
    int: _integer,
    float: _float,
    list: _all,
    dict: _dict,
    tuple: _tagged("$tuple", _all),
    set: _tagged("$set", _sorted),
    frozenset: _tagged("$frozenset", _sorted),
    complex: _tagged("$complex", lambda value, _: [repr(value.real), repr(value.imag)]),
    bytes: _tagged("$bytes", lambda value, _: _base64(value)),
    Decimal: _tagged("$decimal", lambda value, _: str(value)),
    datetime: _tagged("$datetime", _clock),
    time: _tagged("$time", _clock),
    date: _tagged("$date", lambda value, _: value.isoformat()),
    timedelta: _tagged("$timedelta", lambda value, _: [value.days, value.seconds, value.microseconds]),
}
_READERS: Final[dict[str, Callable[[Any, _Recurse], Any]]] = {
    "$int": lambda content, _: int(content, 16),
    "$float": lambda content, _: float(content),
    "$dict": lambda content, value: {value(key): value(item) for key, item in content},
    "$tuple": lambda content, value: tuple(value(item) for item in content),
    "$set": lambda content, value: {value(item) for item in content},
    "$frozenset": lambda content, value: frozenset(value(item) for item in content),
    "$complex": lambda content, _: complex(*map(float, content)),
    "$bytes": lambda content, _: base64.b64decode(content),
    "$decimal": lambda content, _: Decimal(content),
    "$datetime": _read_clock(datetime),
    "$time": _read_clock(time),
    "$date": lambda content, _: date.fromisoformat(content),
    "$timedelta": lambda content, _: timedelta(*content),
    "$enum": _read_enum,
    "$numpy": _read_scalar,
    "$objects": _read_objects,
    "$bunch": _read_bunch,
}
