"""Commands made when they are asked for: a process that runs one, maybe for weeks, holds none of the others."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any, Final

import typer

from .options import OptionalValues

SETTINGS: Final = {"help_option_names": ["-h", "--help"]}


def made(name: str, place: str) -> Any:
    """Make a command of a function, `module.function` of this package; docstring's examples go below its options."""
    module, _, function_name = place.rpartition(".")
    function = getattr(import_module(f".{module}", __package__), function_name)
    text, _, examples = inspect.cleandoc(function.__doc__ or "").partition("\n\nExamples:\n")
    epilog = f"\b\nExamples:\n{examples}" if examples else None
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name, cls=OptionalValues, help=text, epilog=epilog, context_settings=SETTINGS)(function)
    return typer.main.get_command(alone)


class Commands(MutableMapping[str, Any]):
    """Commands by name, where each is to be found, and groups of commands, which are there already."""

    def __init__(self, places: Mapping[str, str], groups: Mapping[str, Any]) -> None:
        self._places = dict(places)
        self._made = dict(groups)

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = made(name, self._places[name])
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._places or name in self._made

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._places, *self._made]))

    def __len__(self) -> int:
        return len({*self._places, *self._made})

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        self._places.pop(name, None)
        self._made.pop(name, None)
