"""Arguments that Google's Fire finds: those of each function, method or class that the command line leads to.

What is called by name has its arguments under that: `Args/add/x`, and `Args/add` says that it was called; of one inside
a group the name is `group.add`. The component that Fire is given has its own arguments without a name.
"""

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
    path: list[str] = []

    def patch(module: ModuleType) -> None:
        patches.wrap(module, "_MakeParseFn", lambda make: _watched(make, arguments, path))
        patches.before(module, "_Fire", lambda *_, **__: path.clear())
        trace = module.trace.FireTrace
        patches.before(trace, "AddAccessedProperty", lambda _trace, _component, target, *_, **__: path.append(target))

    hook.when_imported("fire.core", patch)


def _watched(make: Callable[[Any, Any], Parse], arguments: Arguments, path: list[str]) -> Callable[[Any, Any], Parse]:
    """Parsers of command lines for functions, as `make` makes them, with the task's values under an agent.

    `path` has the names that led from Fire's component to the function.
    """

    def wrapper(fn: Any, metadata: Any) -> Parse:
        parse = make(fn, metadata)
        called = ".".join(path)
        prefix = f"{called}/" if called else ""
        items = _items(fn)
        positional = [item.name for item in items if item.kind is not item.KEYWORD_ONLY]
        defaults = {item.name: item.default for item in items if item.kind is item.KEYWORD_ONLY}

        def parsed(args: list[str]) -> Parsed:
            (varargs, kwargs), consumed, rest, capacity = parse(args or _flags(items, arguments, prefix))
            count = min(len(positional), len(varargs))
            named = dict(zip(positional[:count], varargs[:count], strict=True)) | defaults | kwargs
            found = {f"{prefix}{name}": value for name, value in named.items()}
            safely("fire", arguments.found, ({called: True} if called else {}) | found)
            values = {name: arguments.override(f"{prefix}{name}", value) for name, value in named.items()}
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


def _flags(items: list[inspect.Parameter], arguments: Arguments, prefix: str) -> list[str]:
    """A command line that gives what is required, where the task has values for it."""
    remote = arguments.remote()
    required = (item.name for item in items if item.default is item.empty)
    given = ((name, remote[prefix + name]) for name in required if prefix + name in remote)
    return [f"--{name}={value_of(held)!r}" for name, held in given]
