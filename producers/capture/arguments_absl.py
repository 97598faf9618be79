"""Flags that absl parses: those the user's own modules define, not the many that absl brings along.

Their section is `TF_DEFINE`, as in ClearML, which knew them first as TensorFlow's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from ..parameters import value_of
from .import_hook import ImportHook
from .patches import Patches, safely

if TYPE_CHECKING:
    from .arguments import Arguments

SECTION: Final = "TF_DEFINE"
_PLAIN: Final = (bool, int, float, str, list)


def install(hook: ImportHook, patches: Patches, arguments: Arguments) -> None:
    """Watch absl's flags once they are imported."""

    def patch(module: ModuleType) -> None:
        patches.wrap(module.FlagValues, "__call__", lambda parse: _watched(parse, arguments))

    hook.when_imported("absl.flags._flagvalues", patch)


def _watched(parse: Callable[..., Any], arguments: Arguments) -> Callable[..., Any]:
    """`parse` of a set of flags, whose values change to the task's under an agent. absl's validators have their say."""

    def wrapper(flags: Any, argv: Sequence[str], known_only: bool = False) -> Any:
        own = list(_own_flags(flags))
        rest = parse(flags, argv if len(argv) > 1 else [*argv, *_needed(own, arguments)], known_only)
        safely("absl flags", arguments.found, {flag.name: _shown(flag) for flag in own}, SECTION)
        for flag in own:
            value = arguments.override(flag.name, _shown(flag), section=SECTION)
            if value != _shown(flag):
                flag.value = value if value is None else flag._parse(value)  # noqa: SLF001  `parse` would append
        flags.validate_all_flags()
        return rest

    return wrapper


def _own_flags(flags: Any) -> Iterator[Any]:
    for module, defined in flags.flags_by_module_dict().items():
        if not module.startswith("absl."):
            yield from defined


def _shown(flag: Any) -> Any:
    """The flag's value; the text that makes it where it is of a type of its own, such as an enum."""
    value = flag.value
    return value if value is None or isinstance(value, _PLAIN) else flag.serializer.serialize(value)


def _needed(own: Sequence[Any], arguments: Arguments) -> list[str]:
    """Command line for flags without a default that the task has a value for: they may be required."""
    remote = arguments.remote(SECTION)
    values = ((flag.name, value_of(remote[flag.name])) for flag in own if flag.value is None and flag.name in remote)
    return [f"--{name}={value}" for name, value in values if value is not None]
