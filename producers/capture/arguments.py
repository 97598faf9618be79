"""The arguments of the process, whichever parser finds them: parameters of the task in force, or of the next one.

Parsers are watched from the import of `Task` on, so that calls before `Task.init` count too. Under an agent the task's
own values win over the command line; a value that nobody edited stays the very object that the parser made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...events.parts import Parameter
from .. import lineage
from ..connect import is_value
from ..parameters import ARGUMENTS_SECTION, localized, make
from .patches import safely

if TYPE_CHECKING:
    from ...events.parts import TaskSpec
    from ..task import Task

Chosen = bool | Mapping[str, Any]
_NOT_RECORDED: Final = object()


class Found(NamedTuple):
    """A value that a parser found; `library` is the parser's, where there is a switch for it."""

    value: Any
    library: str = ""


class Arguments:
    """What parsers found in this process, by full parameter name, and the task it is for."""

    def __init__(self) -> None:
        self._found: dict[str, Found] = {}
        self._configurations: dict[str, Found] = {}
        self._task: Task | None = None
        self._chosen: Chosen = True
        self._libraries: Chosen = True

    def attach(self, task: Task, chosen: Chosen = True, libraries: Chosen = True) -> None:
        """Record what was found so far, and what will be, in `task`.

        `chosen` says which arguments (`is_chosen`), `libraries` which parsers that are frameworks of their own.
        """
        self._task, self._chosen, self._libraries = task, chosen, libraries
        safely("arguments", self._record, dict(self._found))
        for name, found in self._configurations.items():
            safely("arguments", self._record_configuration, name, found)

    def detach(self) -> None:
        """The task is over."""
        self._task = None

    @property
    def is_task_owner(self) -> bool:
        """Whether these are the task's own arguments: a process started by the task's process has others."""
        return lineage.announced() is None

    @cached_property
    def _spec(self) -> TaskSpec | None:
        """What the agent that started this process says of the task."""
        assigned = lineage.assigned() if self.is_task_owner else None
        return assigned.spec if assigned else None

    @cached_property
    def _assigned(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self._spec.parameters} if self._spec else {}

    def remote(self, section: str = ARGUMENTS_SECTION) -> dict[str, Parameter]:
        """The task's own parameters of a section by their keys, under an agent; nothing elsewhere."""
        prefix = f"{section}/"
        return {name.removeprefix(prefix): held for name, held in self._assigned.items() if name.startswith(prefix)}

    def remote_configuration(self, name: str) -> str | None:
        """A configuration object of the task, under an agent."""
        held = self._spec.configurations if self._spec else []
        return next((configuration.text for configuration in held if configuration.name == name), None)

    def override(
        self, key: str, local: Any, convert: Callable[[Any], Any] | None = None, section: str = ARGUMENTS_SECTION
    ) -> Any:
        """The value an argument gets: what the parser found, unless the task has another under an agent.

        That one comes in the type of `local` where it can be, and then through `convert`, whose errors are the
        caller's to handle.
        """
        remote = self.remote(section).get(key)
        if remote is None or not is_edited(remote, local):
            return local
        value = localized(remote, local)
        return convert(value) if convert and value is not None else value

    def found(self, values: Mapping[str, Any], section: str = ARGUMENTS_SECTION, library: str = "") -> None:
        """Record what a parser found, by key, and as it was before any override."""
        if not self.is_task_owner:
            return
        recorded = {f"{section}/{key}": Found(recordable(value), library) for key, value in values.items()}
        new = {name: found for name, found in recorded.items() if found.value is not _NOT_RECORDED}
        self._found |= new
        self._record(new)

    def found_configuration(self, name: str, text: str, library: str = "") -> None:
        """Record a configuration that a parser put together."""
        if self.is_task_owner:
            self._configurations[name] = Found(text, library)
            self._record_configuration(name, self._configurations[name])

    def _record(self, found: Mapping[str, Found]) -> None:
        """Put values into the task, except those it has from elsewhere under an agent."""
        if self._task is None:
            return
        new = {
            name: value
            for name, (value, library) in found.items()
            if name not in self._assigned and self._is_wanted(library) and is_chosen(self._chosen, _key(name))
        }
        if new:
            self._task.update_parameters(new)

    def _record_configuration(self, name: str, found: Found) -> None:
        if self._task is not None and self._is_wanted(found.library) and self.remote_configuration(name) is None:
            self._task.set_configuration_object(name, config_text=found.value, config_type="yaml")

    def _is_wanted(self, library: str) -> bool:
        return not library or is_chosen(self._libraries, library)


def _key(full_name: str) -> str:
    return full_name.partition("/")[2]


def is_edited(remote: Parameter, local: Any) -> bool:
    """Whether the task's parameter is another value than the one that the parser found."""
    return remote.value != make(remote.name, recordable(local)).value


def is_chosen(chosen: Chosen, name: str) -> bool:
    """ClearML's rule for switches: names not mentioned are on, `*` changes that, and no names at all is off."""
    if isinstance(chosen, Mapping):
        return bool(chosen) and bool(chosen.get(name, chosen.get("*", True)))
    return bool(chosen)


def recordable(value: Any) -> Any:
    """The value as a parameter: a file by its name, functions and classes not at all, the unknown as text."""
    if callable(value):
        return _NOT_RECORDED
    if hasattr(value, "read") or hasattr(value, "write"):
        return str(getattr(value, "name", value))
    return value if is_value(value) else str(value)
