"""Where a run's program runs: on this machine itself, or in a container; each with its environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..events.parts import TaskSpec
from ..producers import lineage
from .checkout import Program
from .containers import Containers, Engine, EngineName, Report, Vessel, find_engine, handed_on
from .environment import Environment, Environments, Mode
from .environment_cache import Limits
from .processes import Leash, Tools
from .projects import find_project
from .run_settings import without_settings

if TYPE_CHECKING:
    from ..events.settings import Settings


@dataclass(frozen=True)
class Housing:
    """What an operator chose to run tasks in; `engine` is for containers, `image` its default with arguments behind."""

    mode: Mode = "venv"
    engine: EngineName | None = None
    image: str = ""


class Start(Protocol):
    """What is needed to start a program, and to end it for good."""

    def command(self, program: Program, variables: Mapping[str, str]) -> list[str]:
        """Return the command."""

    def surroundings(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of the process that the command makes."""

    def stop(self, grace: float) -> None:
        """End what signals to the process don't reach."""

    def leave(self) -> None:
        """Clean up after the program has ended."""


@dataclass(frozen=True)
class OnHost:
    """A program of this machine."""

    environment: Environment

    def command(self, program: Program, variables: Mapping[str, str]) -> list[str]:  # noqa: ARG002  the process has them
        """Return the command."""
        return [str(self.environment.python), "-u", *program.arguments]

    def surroundings(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the agent's variables without its settings, then the run's; the environment's programs come first."""
        found = without_settings(os.environ) | dict(variables)
        found.pop(lineage.PROC_TASK, None)
        paths = [variables["PYTHONPATH"], *filter(None, [os.environ.get("PYTHONPATH")])]
        found["PYTHONPATH"] = os.pathsep.join(paths)
        python = self.environment.python
        if python != Path(sys.executable):
            found["PATH"] = os.pathsep.join([str(python.parent), found.get("PATH", os.defpath)])
            found |= self.environment.variables
        return found

    def stop(self, grace: float) -> None:
        """Nothing: signals reach everything."""

    def leave(self) -> None:
        """Let go of the environment."""
        self.environment.release()


@dataclass(frozen=True)
class InContainer:
    """A program in a container."""

    vessel: Vessel

    def command(self, program: Program, variables: Mapping[str, str]) -> list[str]:
        """Return the command, after writing down what is to run inside."""
        inside = handed_on(os.environ) | dict(variables)
        return self.vessel.command(program.arguments, program.folder, inside)

    def surroundings(self, variables: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002  the program's, not its engine's
        """Return the agent's variables, for the engine's program."""
        return without_settings(os.environ)

    def stop(self, grace: float) -> None:
        """Have the engine end the program."""
        self.vessel.stop(grace)

    def leave(self) -> None:
        """Remove the container."""
        self.vessel.remove()


class Places:
    """Finds a place for each run."""

    def __init__(self, settings: Settings, housing: Housing, leash: Leash) -> None:
        limits = Limits(settings.environments_count, settings.environments_gigabytes)
        self._environments = Environments(settings.home / "venvs-cache", housing.mode, limits)
        self._containers: Containers | None = None
        if housing.engine is not None:
            engine: Engine = find_engine(housing.engine, housing.image)
            self._containers = Containers(engine, self._environments.cache, settings, leash)

    def take(self, spec: TaskSpec, program: Program, folder: Path, tools: Tools, report: Report) -> Start:
        """Make a place for a program whose code is laid out; `folder` is the run's own.

        Raises `EnvironmentBuildError`, `ContainerError`, or `CancelledError` where the work was called off.
        """
        if self._containers is not None:
            name = f"tasktape-{folder.name}"
            return InContainer(self._containers.take(spec, name, folder, tools, report))
        if spec.container.image:
            report(f"the task asks for the image {spec.container.image}, and this agent uses no containers")
        project = find_project(program.folder, program.roots[-1])
        return OnHost(self._environments.take(spec.script, tools, report, project))
