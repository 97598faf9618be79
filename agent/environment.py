"""The environment a task runs in: virtual environments, cached by interpreter and requirements.

No package index is asked for tasktape itself: environments of the agent's own Python version see the agent's packages
behind their own ones, and where those meet all requirements nothing is installed at all.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

from ..events.errors import TasktapeError
from ..events.parts import Script
from .interpreters import (
    Interpreter,
    find_interpreter,
    find_uv,
    normalised,
    own_distribution,
    own_interpreter,
    own_library_folders,
    satisfied_here,
)
from .processes import ToolError, Tools

Mode = Literal["venv", "current"]
_COMPLETE: Final = "tasktape-complete.json"
_BRIDGE: Final = "tasktape_agent.pth"


class EnvironmentBuildError(TasktapeError):
    """A task's environment can't be built."""


@dataclass(frozen=True)
class Recipe:
    """What an environment is made from, and its place in the cache with it.

    `behind` are the folders of the agent's packages, seen behind the environment's own; `install` is what is installed.
    """

    interpreter: Interpreter
    install: tuple[str, ...]
    behind: tuple[str, ...]

    @property
    def key(self) -> str:
        """Name in the cache: equal for equal recipes, and for no others."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{self.interpreter.feature}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def recipe_for(script: Script, report: Callable[[str], None]) -> Recipe:
    """Decide how to make the environment of a script; what is not as asked for is reported."""
    interpreter = find_interpreter(script.python_version)
    if interpreter is None:
        interpreter = own_interpreter()
        report(f"Python {script.python_version} is not on this machine: using {interpreter.version}")
    requirements = normalised(script.requirements)
    if not interpreter.own:
        return Recipe(interpreter, (*requirements, own_distribution()), ())
    install = () if satisfied_here(requirements) else requirements
    return Recipe(interpreter, install, own_library_folders())


class Environments:
    """The cache of virtual environments below `root`, shared by all agents of this machine.

    An environment is built where it will stay (programs in it hold its path) under a lock, and counts only once its
    completion is noted: one whose builder died is made anew.
    """

    def __init__(self, root: Path, mode: Mode = "venv") -> None:
        self._root = root
        self._mode = mode

    def python(self, script: Script, tools: Tools, report: Callable[[str], None]) -> Path:
        """Return the Python to run a script with; builds its environment if need be.

        Raises `EnvironmentBuildError`, or `CancelledError` where the work was called off.
        """
        if self._mode == "current":
            return Path(sys.executable)
        try:
            return self._cached(recipe_for(script, report), tools, report)
        except (OSError, ToolError) as error:
            raise EnvironmentBuildError(f"the environment can't be built: {error}") from error

    def _cached(self, recipe: Recipe, tools: Tools, report: Callable[[str], None]) -> Path:
        folder = self._root / recipe.key
        if not _is_complete(folder):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(folder.with_name(f"{folder.name}.lock")):
                if not _is_complete(folder):
                    _build(folder, recipe, tools, report)
        return _python_of(folder)


def _is_complete(folder: Path) -> bool:
    return (folder / _COMPLETE).exists()


def _python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(folder: Path, recipe: Recipe, tools: Tools, report: Callable[[str], None]) -> None:
    tools.check()
    report(f"building an environment for Python {recipe.interpreter.version} with {len(recipe.install)} packages")
    shutil.rmtree(folder, ignore_errors=True)
    _make(folder, recipe.interpreter, tools)
    if recipe.install:
        _install(folder, recipe.install, tools)
    if recipe.behind:
        (_library_folder(folder, recipe.interpreter) / _BRIDGE).write_text(_bridge(recipe.behind))
    tools.run([str(_python_of(folder)), "-c", "import tasktape"])
    _note_completion(folder / _COMPLETE, recipe)


def _make(folder: Path, interpreter: Interpreter, tools: Tools) -> None:
    if interpreter.own:
        venv.EnvBuilder(symlinks=True).create(folder)
    else:
        tools.run([interpreter.path, "-m", "venv", "--without-pip", str(folder)])


def _install(folder: Path, requirements: tuple[str, ...], tools: Tools) -> None:
    """Install from a file: a requirement may hold a password, and command lines are seen by all."""
    listed = folder / "requirements.txt"
    listed.write_text("\n".join(requirements) + "\n", encoding="utf-8")
    listed.chmod(0o600)
    tools.run([*_installer(_python_of(folder), tools), "--requirement", str(listed)])


def _installer(python: Path, tools: Tools) -> list[str]:
    """Command that installs into the environment of `python`: uv's, else the agent's own pip's, else one of its own."""
    if uv := find_uv():
        return [uv, "pip", "install", "--python", str(python)]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--no-input", "--python", str(python), "install"]
    try:
        tools.run([str(python), "-m", "ensurepip"])
    except ToolError as error:
        raise EnvironmentBuildError("there is neither uv nor pip to install packages with: add one.") from error
    return [str(python), "-m", "pip", "--no-input", "install"]


def _library_folder(folder: Path, interpreter: Interpreter) -> Path:
    return folder / "lib" / f"python{interpreter.feature}" / "site-packages"


def _bridge(folders: tuple[str, ...]) -> str:
    """Line of a `.pth` file that adds folders with the `.pth` files in them, which editable installs rely on."""
    return "; ".join(["import site", *(f"site.addsitedir({folder!r})" for folder in folders)]) + "\n"


def _note_completion(note: Path, recipe: Recipe) -> None:
    """Write the note so that it is there whole, after all else, or not at all."""
    incoming = note.with_suffix(".incoming")
    with incoming.open("w") as file:
        json.dump(asdict(recipe), file)
        file.flush()
        os.fsync(file.fileno())
    incoming.rename(note)
