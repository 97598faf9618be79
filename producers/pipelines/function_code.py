"""From a function to the text of a script that runs it as a task by itself, wherever that is.

With the function go its decorators and helpers, and what it uses of its own module: functions, classes, and constants
that the module says in full. A component that it calls goes with the decorator that makes it one, so that a call of it
begins a step of its own there too. The same function always makes the same text.
"""

from __future__ import annotations

import builtins
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, Final

from ..capture.imports import imports_in, own_modules
from .function_imports import GUARD, RUNTIME, ImportLine, constants, import_of, module_imports
from .function_source import Definition, FunctionSourceError, read_definition, unwrapped
from .literals import literal
from .values import PICKLES, Deserialization, Serialization

_MISSING: Final = object()
_OWN_NAMES: Final = frozenset({"__name__", "__file__", "__doc__"})
_HEAD: Final = '''"""The function {name} as a step of a pipeline."""

from __future__ import annotations

from {runtime} import {guard}, run_step
'''


@dataclass(frozen=True)
class StepCode:
    """The script, and `notes` of what does not travel with it, in sentences.

    `imports` are dotted names of what the functions in it import and use, `around` of all that their modules import.
    """

    name: str
    source: str
    imports: frozenset[str]
    around: frozenset[str]
    notes: tuple[str, ...]


def step_code(
    function: Callable[..., Any],
    *,
    returns: Iterable[str] = (),
    helper_functions: Iterable[Callable[..., Any]] = (),
    serialization: Serialization = None,
    deserialization: Deserialization = None,
    auto_connect_frameworks: bool | Mapping[str, Any] = True,
    auto_connect_arg_parser: bool | Mapping[str, Any] = True,
    skip_global_imports: bool = False,
) -> StepCode:
    """Write the script of a function.

    Raises `FunctionSourceError` where a function has no source, or where two that it needs have the same name.
    """
    script = _Script()
    step = read_definition(function, as_step=True)
    script.take(step, unwrapped(function))
    for helper in helper_functions:
        script.bring(helper)
    options = {
        "returns": literal(list(returns)),
        "serialize": _serializer(script, serialization, "dumps"),
        "deserialize": _serializer(script, deserialization, "loads"),
        "auto_connect_frameworks": _switch(auto_connect_frameworks),
        "auto_connect_arg_parser": _switch(auto_connect_arg_parser),
    }
    given = "".join(f"        {name}={text},\n" for name, text in options.items() if text not in {"None", "True", "[]"})
    imports = script.imports(step.module, used_only=skip_global_imports)
    run = f'if __name__ == "__main__":\n    run_step(\n        {step.name},\n{given}    )\n'
    head = _HEAD.format(name=step.name, runtime=RUNTIME, guard=GUARD)
    source = "\n\n".join(filter(None, [head + _guarded(imports), script.constant_lines(), *script.texts, run]))
    return StepCode(step.name, source, script.used_imports(imports), _dotted(imports), tuple(script.notes))


def _serializer(script: _Script, function: Serialization | Deserialization, ending: str) -> str:
    """What stands in the script for a user's function, or for a pickle."""
    library = getattr(function, "__module__", "").partition(".")[0].lstrip("_")
    if callable(function) and library in PICKLES and getattr(function, "__name__", "") == ending:
        function = library
    if function is not None and not callable(function) and function not in PICKLES:
        raise FunctionSourceError(str(function), "what makes bytes of values is a function, 'pickle' or 'cloudpickle'.")
    return script.bring(function) if callable(function) else repr(function)


def _switch(switch: bool | Mapping[str, Any]) -> str:
    text = literal(switch if isinstance(switch, bool) else dict(switch))
    if text is None:
        raise FunctionSourceError("auto_connect_frameworks", "it is no bool and no dict of plain values.")
    return text


def _guarded(lines: Iterable[ImportLine]) -> str:
    return "".join(f"\nwith {GUARD}():\n{textwrap.indent(line.text, '    ')}\n" for line in lines)


@dataclass
class _Script:
    """What goes into the script.

    `things` are the functions and classes by name, `used` all names they refer to; `lines` and `said` are the imports
    and constants of the modules they are from, `extra` imports that are not among those.
    """

    texts: list[str] = field(default_factory=list)
    things: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    lines: dict[str, list[ImportLine]] = field(default_factory=dict)
    said: dict[str, frozenset[str]] = field(default_factory=dict)
    extra: dict[str, ImportLine] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def bring(self, thing: Any) -> str:
        """Take a function the user names, or import it where it is a library's; returns its name in the script."""
        original = unwrapped(thing)
        if getattr(original, "__module__", None) in own_modules():
            return self.take(read_definition(thing), original)
        name = str(getattr(original, "__name__", type(original).__name__))
        line = import_of(name, original)
        if line is None:
            raise FunctionSourceError(name, "it is no function that can be imported by its name.")
        self.extra[name] = line
        self.used.add(name)
        return name

    def take(self, definition: Definition, thing: Any) -> str:
        """Take a function or class, after all it needs."""
        if definition.name in self.things:
            self._compare(definition.name, self.things[definition.name], thing)
            return definition.name
        self.things[definition.name] = thing
        self.used |= definition.named
        if definition.module not in self.lines:
            self.lines[definition.module] = module_imports(definition.module)
            self.said[definition.module] = constants(definition.module)
        for name in sorted(definition.named):
            self._note(name, definition, self._provide(name, definition))
        self.texts.append(definition.text)
        return definition.name

    def _note(self, name: str, user: Definition, note: str) -> None:
        if note and name in user.vital:
            raise FunctionSourceError(user.name, note)
        if note and name in user.needed:
            self.notes.append(note)

    def _compare(self, name: str, taken: Any, other: Any) -> None:
        if taken is not other and taken != other:
            raise FunctionSourceError(name, "two different things of this name are needed: rename one of them.")

    def _provide(self, name: str, user: Definition) -> str:
        """Take what a definition refers to by a name; returns what is wrong where that does not travel."""
        value = user.namespace.get(name, _MISSING)
        if value is _MISSING or name in _OWN_NAMES:
            is_known = hasattr(builtins, name) or name in _OWN_NAMES
            return "" if is_known else f"it uses {name!r}, which is not defined where {user.name} is."
        original = unwrapped(value)
        if isinstance(original, (FunctionType, type)) and original.__module__ == user.module:
            return self._take_named(name, value, original)
        if any(name in line.names for line in self.lines[user.module]) and name not in user.enclosed:
            return ""
        return self._provide_value(name, user, value)

    def _take_named(self, name: str, value: Any, original: Any) -> str:
        try:
            taken = self.take(read_definition(value), original)
        except FunctionSourceError as error:
            return str(error)
        alias = f"{name} = {taken}\n"
        if taken != name and alias not in self.texts:
            self.texts.append(alias)
        return ""

    def _provide_value(self, name: str, user: Definition, value: Any) -> str:
        is_constant = name in user.enclosed or name in self.said[user.module]
        if is_constant and (text := literal(value)) is not None:
            self._compare(name, self.constants.setdefault(name, text), text)
        elif (line := import_of(name, value)) is not None:
            self.extra[name] = line
        else:
            return (
                f"it uses {name!r}, which does not travel with {user.name}: make it in the function, or pass it as an "
                "argument."
            )
        return ""

    def constant_lines(self) -> str:
        """The constants as assignments."""
        return "".join(f"{name} = {text}\n" for name, text in sorted(self.constants.items()))

    def imports(self, module: str, *, used_only: bool) -> list[ImportLine]:
        """The imports of all modules that something is from, the function's own last, and then what they lack."""
        modules = [*(name for name in self.lines if name != module), module]
        found = {line.text: line for name in modules for line in self.lines[name]}
        lines = [line for line in found.values() if not used_only or line.names & self.used]
        bound = {name for line in lines for name in line.names}
        return [*lines, *(line for name, line in sorted(self.extra.items()) if name not in bound)]

    def used_imports(self, lines: Iterable[ImportLine]) -> frozenset[str]:
        """Dotted names of what the definitions import, or use of the imports around them."""
        own = frozenset(name for text in self.texts for found in imports_in(text) for name in found.dotted)
        return own | _dotted(line for line in lines if line.names & self.used or line.names == {"*"})


def _dotted(lines: Iterable[ImportLine]) -> frozenset[str]:
    return frozenset(name for line in lines for found in imports_in(line.text) for name in found.dotted)
