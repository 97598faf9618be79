"""Folds of the log: the task state machine, the queue fold, DuckDB tables and the queries over them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .access import open_queries, serve_projection, serving

__all__ = ["open_queries", "serve_projection", "serving"]


def __getattr__(name: str) -> Any:
    """Import what opens databases only for those who open one: agents fold queues without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import access  # noqa: PLC0415  only where used

    return getattr(access, name)
