"""Arguments that `argparse` finds: the namespace of the outermost call that parses, sub-commands included."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from ..parameters import value_of
from .import_hook import ImportHook
from .patches import Patches, caller, safely

if TYPE_CHECKING:
    from argparse import Action, ArgumentParser, Namespace

    from ...events.parts import Parameter
    from .arguments import Arguments

_WATCHED_BY_THEMSELVES: Final = frozenset({"fire", "hydra"})
_METHODS: Final = ("parse_known_intermixed_args", "parse_known_args")


def install(hook: ImportHook, patches: Patches, arguments: Arguments) -> None:
    """Watch argparse once it is imported."""

    def patch(module: ModuleType) -> None:
        for method in _METHODS:
            patches.wrap(module.ArgumentParser, method, lambda parse: _watched(parse, patches, arguments))

    hook.when_imported("argparse", patch)


def _watched(parse: Callable[..., Any], patches: Patches, arguments: Arguments) -> Callable[..., Any]:
    """`parse` of a parser, its result changed to the task's values under an agent."""

    def wrapper(parser: ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        with patches.outermost() as outermost:
            if not outermost or _is_internal(parser):
                return parse(parser, args, namespace)
            with _lenient(parser, args, arguments) as given:
                parsed, rest = parse(parser, given, namespace)
        values = dict(vars(parsed))
        _override(parser, parsed, arguments)
        safely("argparse", arguments.found, values)
        return parsed, rest

    return wrapper


def _is_internal(parser: ArgumentParser) -> bool:
    """Whether a library that is watched by itself parses for its own needs."""
    if any(kind.__module__.startswith("jsonargparse") for kind in type(parser).__mro__):
        return True
    return caller("argparse") in _WATCHED_BY_THEMSELVES


def _override(parser: ArgumentParser, parsed: Namespace, arguments: Arguments) -> None:
    """Put the task's values into the namespace; one that an argument can't have ends the program as argparse does."""
    actions = {action.dest: action for action in _actions(parser)}
    for key in arguments.remote():
        if hasattr(parsed, key):
            convert = _converter(parser, actions[key]) if key in actions else None
            try:
                value = arguments.override(key, getattr(parsed, key), convert)
            except Exception as error:  # noqa: BLE001  a type function may raise anything
                parser.error(f"the task's value of {key} can't be used: {error}")
            setattr(parsed, key, value)


def _actions(parser: ArgumentParser) -> Iterator[Action]:
    """All arguments of a parser and its sub-commands."""
    for action in _own_actions(parser):
        yield action
        if isinstance(action.choices, Mapping):
            for command in action.choices.values():
                yield from _actions(command)


def _own_actions(parser: ArgumentParser) -> list[Action]:
    return parser._actions  # noqa: SLF001  argparse shows them nowhere else


def _converter(parser: ArgumentParser, action: Action) -> Callable[[Any], Any]:
    """Conversion of the task's value into what the argument's own type and choices make of it."""

    def convert(value: Any) -> Any:
        if isinstance(value, list):
            return [convert(item) for item in value]
        converted = _typed(parser, action, value)
        if converted is not None:
            parser._check_value(action, converted)  # noqa: SLF001  its own check of choices
        return converted

    return convert


def _typed(parser: ArgumentParser, action: Action, value: Any) -> Any:
    if action.type in {None, bool}:
        return value
    if isinstance(value, str):
        is_none = value in {"", "None"} and action.type is not str
        return None if is_none else parser._get_value(action, value)  # noqa: SLF001  its own conversion
    return action.type(value) if action.type in {int, float, str} else value


@contextmanager
def _lenient(parser: ArgumentParser, args: Any, arguments: Arguments) -> Iterator[Any]:
    """Without a command line nothing is required that the task has a value for, and it names the sub-command."""
    remote = arguments.remote()
    if not remote or list(sys.argv[1:] if args is None else args):
        yield args
        return
    with ExitStack() as restore:
        _relax(parser, remote, restore)
        commands = (action.dest for action in _own_actions(parser) if isinstance(action.choices, Mapping))
        command = next((name for name in commands if name in remote), None)
        yield args if command is None else [str(value_of(remote[command]))]


def _relax(parser: ArgumentParser, remote: Mapping[str, Parameter], restore: ExitStack) -> None:
    for action in (action for action in _actions(parser) if action.dest in remote):
        _change(action, "required", value=False, restore=restore)
        if not action.option_strings and not isinstance(action.choices, Mapping):
            _change(action, "nargs", value="?" if action.nargs is None else "*", restore=restore)
    for group in parser._mutually_exclusive_groups:  # noqa: SLF001
        if any(action.dest in remote for action in group._group_actions):  # noqa: SLF001
            _change(group, "required", value=False, restore=restore)


def _change(target: Any, name: str, *, value: Any, restore: ExitStack) -> None:
    restore.callback(setattr, target, name, getattr(target, name))
    setattr(target, name, value)
