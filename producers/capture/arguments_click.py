"""Arguments that click finds, and typer, which carries a copy of it: those of each command, as click converted them.

A command inside a group has its parameters under its own name: `Args/train/lr`; that it was called is `Args/train`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from ..parameters import value_of
from .import_hook import ImportHook
from .patches import Patches

if TYPE_CHECKING:
    from .arguments import Arguments

_MODULES: Final = ("click.core", "typer._click.core")


def install(hook: ImportHook, patches: Patches, arguments: Arguments) -> None:
    """Watch click once it is imported."""

    def patch(module: ModuleType) -> None:
        patches.before(module.Command, "invoke", lambda command, context: _record(command, context, arguments))
        patches.wrap(module.Parameter, "handle_parse_result", lambda handle: _overridden(handle, arguments))

    for name in _MODULES:
        hook.when_imported(name, patch)


def _record(command: Any, context: Any, arguments: Arguments) -> None:
    secret = {parameter.name for parameter in command.params if getattr(parameter, "hide_input", False)}
    prefix = _prefix(context)
    called = {prefix.removesuffix("/"): True} if prefix else {}
    arguments.found(called | {prefix + name: value for name, value in context.params.items() if name not in secret})


def _prefix(context: Any) -> str:
    """Names of the commands on the way from the outermost one, which has none."""
    names: list[str] = []
    while context.parent is not None:
        names.insert(0, f"{context.info_name}/")
        context = context.parent
    return "".join(names)


def _overridden(handle: Callable[..., Any], arguments: Arguments) -> Callable[..., Any]:
    """Let click take the task's value as if it had come from the command line, with all its checks."""

    def wrapper(parameter: Any, ctx: Any, opts: Mapping[str, Any], args: list[str]) -> Any:
        remote = arguments.remote().get(_prefix(ctx) + str(parameter.name))
        value = None if remote is None or ctx.resilient_parsing else value_of(remote)
        if value is not None:
            opts = {**opts, parameter.name: value}
        return handle(parameter, ctx, opts, args)

    return wrapper
