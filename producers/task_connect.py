"""A script's own objects tied to its task: `connect` for parameters, `connect_configuration` for whole configurations.

A local run records what the script has; under an agent the task's values go into the script's objects.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ..events.parts import Configuration, Parameter
from . import spec as specs
from .connect import TrackedDict, flatten, is_value, write_back
from .errors import InvalidArgumentError
from .lineage import runs_remotely
from .parameters import ARGUMENTS_SECTION, DEFAULT_SECTION, decode, encode, make
from .task_parameters import ParametersMixin
from .warn import LOGGER

LABELS = "Label Enumeration"
IGNORE_REMOTE = "_ignore_remote_overrides_"


class ConnectMixin(ParametersMixin):
    """`connect`, `connect_configuration` and the configuration objects they make."""

    def connect(self, mutable: Any, name: str | None = None, ignore_remote_overrides: bool = False) -> Any:
        """Tie an object's parameters to the task.

        Args:
            mutable: A dict, a class, an object, a dataclass, a pydantic model, an argument parser or its namespace;
                or a model, which becomes the task's input or output.
            name: Their section; `General` by default, `Args` for arguments.
            ignore_remote_overrides: Keep the script's values under an agent.

        Returns:
            The object itself; for a dict one that records later changes.

        Raises:
            InvalidArgumentError: It has no parameters by nature, such as a number or a list, or it contains itself.

        """
        if hasattr(mutable, "connect") and hasattr(mutable, "labels"):
            mutable.connect(self, name=name, ignore_remote_overrides=ignore_remote_overrides)
            return mutable
        if not isinstance(mutable, Mapping) and is_value(mutable):
            raise InvalidArgumentError(f"a {type(mutable).__name__} can't be connected: connect a dict or an object.")
        section = name or _default_section(mutable)
        ignores = self._ignores_remote(f"{section}/{IGNORE_REMOTE}", asked=ignore_remote_overrides)
        if self._remote_wins() and not ignores:
            write_back(mutable, self._section(section))
        self._record(mutable, section)
        if type(mutable) is not dict:
            return mutable
        tracked = TrackedDict(mutable, lambda: self._record(tracked, section))
        return tracked

    def connect_configuration(
        self,
        configuration: Mapping[str, Any] | list[Any] | Path | str,
        name: str | None = None,
        description: str | None = None,
        ignore_remote_overrides: bool = False,
    ) -> Any:
        """Tie a configuration to the task: a dict or list, or the path of a text file.

        Args:
            configuration: The dict or list, or the file's path.
            name: Its name in the task; `General` by default.
            description: For people.
            ignore_remote_overrides: Keep the script's configuration under an agent.

        Returns:
            The dict (one that records later changes), the list, or a path of a file with the text in force.

        Raises:
            InvalidArgumentError: It is none of these, the file can't be read as text, or the dict contains itself.

        """
        name = name or DEFAULT_SECTION
        ignores = self._ignores_remote(f"{name}/{IGNORE_REMOTE}config_", asked=ignore_remote_overrides)
        remote = specs.configuration(self._spec, name) if self._remote_wins() and not ignores else None
        if isinstance(configuration, (str, Path)):
            return self._connect_file(configuration, name, description or "", remote)
        if not isinstance(configuration, (Mapping, list)):
            kind = type(configuration).__name__
            raise InvalidArgumentError(f"a {kind} is no configuration: pass a dict, a list or a file's path.")
        return self._connect_value(configuration, name, description or "", remote)

    def set_configuration_object(
        self,
        name: str,
        config_text: str | None = None,
        description: str | None = None,
        config_type: str | None = None,
        config_dict: Mapping[str, Any] | list[Any] | None = None,
    ) -> None:
        """Set a configuration object from a text or from a dict.

        Raises:
            InvalidArgumentError: Both were given, or neither.

        """
        if (config_text is None) == (config_dict is None):
            raise InvalidArgumentError("give either config_text or config_dict.")
        text = config_text if config_text is not None else encode(config_dict, indent=2)
        kind = "dict" if config_dict is not None else config_type or "text"
        self._put_configuration(Configuration(name=name, text=text, type=kind, description=description or ""))

    def get_configuration_object(self, name: str) -> str | None:
        """Return a configuration object's text, None where there is none."""
        found = specs.configuration(self._spec, name)
        return found.text if found else None

    def get_configuration_object_as_dict(self, name: str) -> Any:
        """Return a configuration object that is a dict or list; None where there is none, or its text is neither."""
        found = specs.configuration(self._spec, name)
        value = decode(found.text) if found else None
        return value if isinstance(value, (dict, list)) else None

    def get_configuration_objects(self) -> dict[str, str]:
        """Return the texts of all configuration objects by name."""
        return {held.name: held.text for held in self._spec.configurations}

    def connect_label_enumeration(
        self, enumeration: dict[str, int], ignore_remote_overrides: bool = False
    ) -> dict[str, int]:
        """Tie the numbers of labels to the task; models made later have them.

        Raises:
            InvalidArgumentError: It is no dict of names to whole numbers.

        """
        given: object = enumeration
        if not isinstance(given, dict):
            raise InvalidArgumentError(f"labels are a dict of names to numbers, not a {type(given).__name__}.")
        ignores = self._ignores_remote(f"{DEFAULT_SECTION}/{IGNORE_REMOTE}labels_", asked=ignore_remote_overrides)
        if self._remote_wins() and not ignores and (remote := self.get_labels_enumeration()):
            enumeration.clear()
            enumeration.update(remote)
        self.set_model_label_enumeration(enumeration)
        return enumeration

    def set_model_label_enumeration(self, enumeration: Mapping[str, int] | None = None) -> None:
        """Set the numbers of labels.

        Raises:
            InvalidArgumentError: It is no dict of names to whole numbers.

        """
        labels = dict(enumeration or {})
        if not all(type(label) is str and type(number) is int for label, number in labels.items()):
            raise InvalidArgumentError("labels are names, and their numbers are whole.")
        self.set_configuration_object(LABELS, config_dict=labels)

    def get_labels_enumeration(self) -> dict[str, int]:
        """Return the numbers of labels by name."""
        return self.get_configuration_object_as_dict(LABELS) or {}

    def _remote_wins(self) -> bool:
        return runs_remotely() and self.is_main_task()

    def _ignores_remote(self, name: str, *, asked: bool) -> bool:
        """Whether the script's values stay; a local run records that, so that a person may decide otherwise."""
        if self._remote_wins():
            return bool(self.get_parameter(name, default=asked, cast=True))
        if asked:
            about = "Keep the script's own values under an agent; set to False for those given here."
            self._put_parameters([make(name, value=True, description=about)])
        return asked

    def _section(self, section: str) -> dict[str, Parameter]:
        prefix = f"{section}/"
        return {p.name.removeprefix(prefix): p for p in self._spec.parameters if p.name.startswith(prefix)}

    def _record(self, group: Any, section: str) -> None:
        with _no_cycles(group):
            flat = {f"{section}/{path}": value for path, value in flatten(group).items()}
        self._put_parameters([self._parameter(name, value) for name, value in flat.items()])

    def _connect_value(self, value: Any, name: str, description: str, remote: Configuration | None) -> Any:
        if remote is not None:
            _replace(value, decode(remote.text), name)
        self._record_configuration(value, name, description)
        if type(value) is not dict:
            return value
        tracked = TrackedDict(value, lambda: self._record_configuration(tracked, name, description))
        return tracked

    def _record_configuration(self, value: Any, name: str, description: str) -> None:
        with _no_cycles(value):
            text = encode(value, indent=2)
        given = Configuration(name=name, text=text, type="dict", description=description)
        before = specs.configuration(self._spec, name)
        if before is None or decode(before.text) != decode(given.text):
            self._put_configuration(given)

    def _connect_file(self, path: str | Path, name: str, description: str, remote: Configuration | None) -> str | Path:
        suffix = Path(path).suffix
        if remote is None:
            text = _read(Path(path))
            given = Configuration(name=name, text=text, type="file", suffix=suffix, description=description)
            self._put_configuration(given)
            return path
        local = _folder() / f"{len(list(_folder().iterdir()))}-{Path(path).name}"
        local.write_text(remote.text, encoding="utf-8")
        return local if isinstance(path, Path) else str(local)


@contextmanager
def _no_cycles(value: Any) -> Iterator[None]:
    try:
        yield
    except RecursionError:
        kind = type(value).__name__
        raise InvalidArgumentError(f"the {kind} contains itself or goes too deep: it can't be connected.") from None


def _default_section(mutable: Any) -> str:
    is_arguments = isinstance(mutable, (argparse.Namespace, argparse.ArgumentParser))
    return ARGUMENTS_SECTION if is_arguments else DEFAULT_SECTION


def _replace(value: Any, remote: Any, name: str) -> None:
    """Put a remote configuration in place of the script's, in the same object."""
    if isinstance(value, dict) and isinstance(remote, dict):
        value.clear()
        value.update(remote)
    elif isinstance(value, list) and isinstance(remote, list):
        value[:] = remote
    else:
        LOGGER.warning(
            "configuration %r of the task is no %s: the script's own is used.",
            name,
            type(value).__name__,
            extra={"action": "configuration_mismatch", "configuration": name},
        )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"configuration file {path} can't be read: {error}.") from error


@cache
def _folder() -> Path:
    """A folder for configuration files of remote runs, which lives as long as this process."""
    _folders.append(tempfile.TemporaryDirectory(prefix="tasktape-", ignore_cleanup_errors=True))
    return Path(_folders[-1].name)


_folders: list[tempfile.TemporaryDirectory[str]] = []
