"""Arguments that jsonargparse finds, nested ones with dots: `Args/model.layers`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..parameters import value_of
from .import_hook import ImportHook
from .patches import Patches, safely

if TYPE_CHECKING:
    from ...events.parts import Parameter
    from .arguments import Arguments


def install(hook: ImportHook, patches: Patches, arguments: Arguments) -> None:
    """Watch jsonargparse once it is imported."""

    def patch(module: ModuleType) -> None:
        patches.wrap(module.ArgumentParser, "parse_args", lambda parse: _watched(parse, patches, arguments))

    hook.when_imported("jsonargparse", patch)


def _watched(parse: Callable[..., Any], patches: Patches, arguments: Arguments) -> Callable[..., Any]:
    """`parse_args`, which under an agent takes the task's values in place of the command line's."""

    def wrapper(parser: Any, *args: Any, **kwargs: Any) -> Any:
        with patches.outermost() as outermost:
            if not outermost:
                return parse(parser, *args, **kwargs)
            remote = arguments.remote()
            parsed = parser.parse_object(_nested(remote)) if remote else parse(parser, *args, **kwargs)
            safely("jsonargparse", _record, parser, parsed, arguments)
        return parsed

    return wrapper


def _record(parser: Any, parsed: Any, arguments: Arguments) -> None:
    """Record each value as jsonargparse itself writes it to a file: as text, where it is of a type of the script's."""
    written = json.loads(parser.dump(parsed, format="json"))
    values = {name: _at(written, name.split("."), value) for name, value in vars(parsed.as_flat()).items()}
    arguments.found(values, library="jsonargparse")


def _at(tree: Any, path: list[str], otherwise: Any) -> Any:
    for part in path:
        if not isinstance(tree, dict) or part not in tree:
            return otherwise
        tree = tree[part]
    return tree


def _nested(remote: Mapping[str, Parameter]) -> dict[str, Any]:
    """The tree that flat names with dots stand for."""
    tree: dict[str, Any] = {}
    for name, parameter in remote.items():
        *path, key = name.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[key] = value_of(parameter)
    return tree
