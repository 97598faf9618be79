"""Figures as plotly's JSON: plain dicts, written without importing plotly."""

from __future__ import annotations

import json
import math
from typing import Any, TypeAlias

Figure: TypeAlias = dict[str, Any]


def figure_json(figure: Any) -> str:
    """JSON text of a figure, one of plotly's or a dict; NaN and infinity are null. Raises `TypeError` for others."""
    if hasattr(figure, "to_plotly_json"):
        return str(figure.to_json())
    if not isinstance(figure, dict):
        raise TypeError(f"a {type(figure).__name__} is no plotly figure")
    return dumps(figure)


def dumps(value: Any) -> str:
    """JSON text of dicts, lists, arrays, tensors and scalars; NaN and infinity are null, anything else is its text."""
    try:
        return json.dumps(value, default=plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError:  # NaN somewhere: the slow way
        finite = _finite(value)
        return json.dumps(finite, default=plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def plain(value: Any) -> Any:
    """A value as JSON has it: arrays and tensors as lists without NaN, scalars as numbers, anything else as text."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if hasattr(value, "item"):
        return _finite(value.item())
    if isinstance(value, (set, frozenset, range)) or hasattr(value, "__iter__"):
        return _finite(list(value))
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def merged(layout: Figure, extra: Figure | None) -> Figure:
    """A layout with another one on top, section by section."""
    result = dict(layout)
    for name, value in (extra or {}).items():
        below = result.get(name)
        result[name] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result
