"""Arguments that Google's Fire finds: those of each function, method or class that the command line leads to."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..parameters import value_of
from .import_hook import ImportHook
from .patches import Patches, safely

if TYPE_CHECKING:
    from .arguments import Arguments

Parsed = tuple[tuple[list[Any], dict[str, Any]], list[str], list[str], bool]
Parse = Callable[[list[str]], Parsed]


def install(hook: ImportHook, patches: Patches, arguments: Arguments) -> None:
    """Watch Fire once it is imported."""

    def patch(module: ModuleType) -> None:
        patches.wrap(module, "_MakeParseFn", lambda make: _watched(make, arguments))

    hook.when_imported("fire.core", patch)


def _watched(make: Callable[[Any, Any], Parse], arguments: Arguments) -> Callable[[Any, Any], Parse]:
    """Parsers of command lines for functions, as `make` makes them, with the task's values under an agent."""

    def wrapper(fn: Any, metadata: Any) -> Parse:
        parse = make(fn, metadata)
        items = _items(fn)
        positional = [item.name for item in items if item.kind is not item.KEYWORD_ONLY]
        defaults = {item.name: item.default for item in items if item.kind is item.KEYWORD_ONLY}

        def parsed(args: list[str]) -> Parsed:
            (varargs, kwargs), consumed, rest, capacity = parse(args or _flags(items, arguments))
            count = min(len(positional), len(varargs))
            named = dict(zip(positional[:count], varargs[:count], strict=True)) | defaults | kwargs
            safely("fire", arguments.found, named)
            values = {name: arguments.override(name, value) for name, value in named.items()}
            varargs[:count] = [values.pop(name) for name in positional[:count]]
            return (varargs, values), consumed, rest, capacity

        return parsed

    return wrapper


def _items(fn: Any) -> list[inspect.Parameter]:
    """A function's arguments, without those that take any number of others."""
    try:
        items = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return []
    return [item for item in items if item.kind not in {item.VAR_POSITIONAL, item.VAR_KEYWORD}]


def _flags(items: list[inspect.Parameter], arguments: Arguments) -> list[str]:
    """A command line that gives what is required, where the task has values for it."""
    remote = arguments.remote()
    required = (item.name for item in items if item.default is item.empty)
    return [f"--{name}={value_of(remote[name])!r}" for name in required if name in remote]
