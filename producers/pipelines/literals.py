"""Plain values as Python source, the same text each time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

LONGEST: Final = 65_536
"""Longer texts are data, not code."""


def literal(value: Any) -> str | None:
    """Python source of a plain value; None for what is none, or is too long."""
    try:
        text = _text(value)
    except (ValueError, RecursionError):
        return None
    return text if len(text) <= LONGEST else None


def _text(value: Any) -> str:
    kind = type(value)
    if kind in _PLAIN:
        return repr(value)
    if kind not in _WRITERS:
        raise ValueError(f"a {kind.__name__} is no literal")
    return _WRITERS[kind](value)


def _float(value: float) -> str:
    return repr(value) if math.isfinite(value) else f'float("{value!r}")'


def _tuple(value: tuple[Any, ...]) -> str:
    return f"({''.join(f'{_text(item)}, ' for item in value).rstrip(' ')})"


def _set(value: set[Any] | frozenset[Any]) -> str:
    items = ", ".join(sorted(map(_text, value)))
    return f"{{{items}}}" if type(value) is set and items else f"{type(value).__name__}([{items}])"


_PLAIN: Final = frozenset({type(None), bool, int, str, bytes})
_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    float: _float,
    list: lambda value: f"[{', '.join(map(_text, value))}]",
    tuple: _tuple,
    set: _set,
    frozenset: _set,
    dict: lambda value: f"{{{', '.join(f'{_text(key)}: {_text(item)}' for key, item in value.items())}}}",
}
