"""The environment a task runs in: virtual environments, cached by interpreter, requirements and project.

No package index is asked for tasktape itself: environments of the agent's own Python version see the agent's packages
behind their own ones, and where those meet all requirements nothing is installed at all.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

from ..events.errors import TasktapeError
from ..events.parts import Script
from .building import NoInstallerError, build
from .environment_cache import EnvironmentCache, Limits
from .interpreters import (
    Interpreter,
    feature_of,
    find_interpreter,
    find_uv,
    normalised,
    own_distribution,
    own_interpreter,
    own_library_folders,
    runs_tasktape,
    satisfied_here,
)
from .processes import ToolError, Tools
from .projects import Project

Mode = Literal["venv", "current"]
Report = Callable[[str], None]
_ASK_AGAIN_SECONDS: Final = 600.0


class EnvironmentBuildError(TasktapeError):
    """A task's environment can't be built."""


@dataclass(frozen=True)
class Recipe:
    """What an environment is made from, and its place in the cache with it.

    `behind` are the folders of the agent's packages, seen behind the environment's own; `install` is what is installed,
    after what the project of this digest needs.
    """

    interpreter: Interpreter
    install: tuple[str, ...]
    behind: tuple[str, ...]
    project: str = ""

    @property
    def key(self) -> str:
        """Name in the cache: equal for equal recipes, and for no others."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"{self.interpreter.feature}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


@dataclass(frozen=True)
class Environment:
    """A Python to run a program with, the variables that go with it, and how to let go of it once the run is over."""

    python: Path
    variables: dict[str, str] = field(default_factory=dict)
    release: Callable[[], None] = lambda: None


class Environments:
    """The environments of this machine, cached below `root`; in mode `current` the agent's own for all."""

    def __init__(self, root: Path, mode: Mode = "venv", limits: Limits | None = None) -> None:
        self.cache = EnvironmentCache(root, limits)
        self._mode = mode
        self._missing: dict[str, float] = {}

    def take(self, script: Script, tools: Tools, report: Report, project: Project | None = None) -> Environment:
        """Return the environment of a script, which is not removed before it is released; builds it if need be.

        Raises `EnvironmentBuildError`, or `CancelledError` where the work was called off.
        """
        if self._mode == "current":
            return Environment(Path(sys.executable))
        try:
            return self._cached(script, tools, report, project)
        except (OSError, ToolError, NoInstallerError) as error:
            raise EnvironmentBuildError(f"the environment can't be built: {error}") from error

    def _cached(self, script: Script, tools: Tools, report: Report, project: Project | None) -> Environment:
        interpreter = self._interpreter(script.python_version, tools, report)
        if project is not None and project.tool is None:
            report(_without_tool(project))
            project = None if project.kind == "conda" else project
        recipe = recipe_for(interpreter, script.requirements, project)
        make = partial(build, recipe=recipe, project=project, tools=tools, report=report)
        held = self.cache.take(recipe.key, make, tools.check)
        kind = "CONDA_PREFIX" if project is not None and project.kind == "conda" else "VIRTUAL_ENV"
        return Environment(held.folder / "bin" / "python", {kind: str(held.folder)}, held.release)

    def _interpreter(self, version: str, tools: Tools, report: Report) -> Interpreter:
        """The Python asked for, else the agent's own, with a word."""
        own = own_interpreter()
        feature = feature_of(version)
        if feature and not runs_tasktape(f"{feature}.99"):
            report(f"tasktape does not run on Python {version}: using {own.version}")
            return own
        found = find_interpreter(version) or self._fetched(feature, tools, report)
        if found is None:
            report(f"Python {version} is not on this machine: using {own.version}")
        return found or own

    def _fetched(self, feature: str, tools: Tools, report: Report) -> Interpreter | None:
        """Have uv fetch a Python; what could not be had is not asked for again at once."""
        uv = find_uv()
        if uv is None or time.monotonic() < self._missing.get(feature, 0.0):
            return None
        report(f"fetching Python {feature} with uv")
        try:
            tools.run([uv, "python", "install", "--no-progress", feature])
        except ToolError as error:
            self._missing[feature] = time.monotonic() + _ASK_AGAIN_SECONDS
            report(f"Python {feature} can't be fetched: {error}")
        return find_interpreter(feature)


def recipe_for(interpreter: Interpreter, requirements: list[str], project: Project | None = None) -> Recipe:
    """Decide how to make an environment."""
    wanted = normalised(requirements)
    digest = project.digest if project is not None else ""
    if not interpreter.own:
        return Recipe(interpreter, (*wanted, own_distribution()), (), digest)
    install = () if not digest and satisfied_here(wanted) else wanted
    return Recipe(interpreter, install, own_library_folders(), digest)


def _without_tool(project: Project) -> str:
    if project.kind == "conda":
        return f"{project.files[0].name} is there, but no conda on this machine: only the task's own requirements count"
    return "poetry is not on this machine: the project's dependencies are installed with pip, as locked"
