"""Runs tasks in containers, with Docker or Podman.

What a run needs lies in the same places inside as outside: tasktape's home with the code and the caches, the embedded
log, a blob folder. Environments are built by the image's own Python and cached like all others. A container has a name,
is stopped by it, and is removed whatever becomes of its agent.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ..events.errors import TasktapeError
from ..events.log.open import sqlite_path
from ..events.parts import Container, TaskSpec
from ..events.private_file import write_private
from . import container_start
from .environment_cache import EnvironmentCache
from .interpreters import feature_of, normalised, own_distribution, own_interpreter, own_version
from .processes import Leash, ToolError, Tools

if TYPE_CHECKING:
    from ..events.settings import Settings

EngineName = Literal["docker", "podman"]
Report = Callable[[str], None]
_ASK_SECONDS: Final = 60.0
_HANDED_ON: Final = ("AWS_", "CUDA_", "NVIDIA_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http", "no_proxy", "PIP_")


class ContainerError(TasktapeError):
    """A task's container can't be made ready."""


@dataclass(frozen=True)
class Engine:
    """A container engine: its program, and the image and arguments of tasks that name none."""

    program: str
    image: str = ""
    arguments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The program's own name."""
        return Path(self.program).name

    def asked(self, *arguments: str) -> str:
        """What the engine answers; empty where it fails."""
        command = [self.program, *arguments]
        try:
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_ASK_SECONDS)
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout.strip()


def find_engine(name: EngineName, choice: str) -> Engine:
    """The engine of this name; `choice` is an image, which arguments may follow. Raises `ContainerError`."""
    program = shutil.which(name)
    if program is None:
        raise ContainerError(f"there is no {name} on the PATH: install it, or run tasks without containers.")
    image, *arguments = shlex.split(choice) or [""]
    return Engine(program, image, tuple(arguments))


@dataclass(frozen=True)
class Vessel:
    """A container made ready for one run. `request` is the file that tells what runs inside."""

    leash: Leash
    engine: Engine
    name: str
    options: tuple[str, ...]
    image: str
    request: Path
    environment: Path
    setup: str
    release: Callable[[], None]

    def command(self, arguments: tuple[str, ...], folder: Path, variables: Mapping[str, str]) -> list[str]:
        """Write down what is to run; return what starts it."""
        about = {"arguments": list(arguments), "folder": str(folder), "variables": dict(variables)}
        content = {"setup": self.setup, "environment": str(self.environment), **about}
        write_private(self.request, json.dumps(content))
        inside = (str(self.request.with_name("start.py")), "run", str(self.request))
        self.leash.hold_container(self.engine.program, self.name)
        return [self.engine.program, *_run(self.name), *self.options, self.image, *inside]

    def stop(self, grace: float) -> None:
        """Have the engine end the program, and kill it after `grace` seconds. Returns when it is over."""
        self.engine.asked("stop", "-t", str(max(1, round(grace))), self.name)

    def remove(self) -> None:
        """Remove the container, if it is still there, and let go of its environment."""
        self.engine.asked("rm", "--force", self.name)
        self.leash.let_go_container(self.engine.program, self.name)
        self.release()


class Containers:
    """Makes containers ready; their environments are entries of `cache`."""

    def __init__(self, engine: Engine, cache: EnvironmentCache, settings: Settings, leash: Leash) -> None:
        self._engine = engine
        self._leash = leash
        self._cache = cache
        self._settings = settings

    def take(self, spec: TaskSpec, name: str, folder: Path, tools: Tools, report: Report) -> Vessel:
        """Get the image, build the environment in it. `folder` is the run's own.

        Raises `ContainerError`, or `CancelledError` where the work was called off.
        """
        image = spec.container.image or self._engine.image or _default_image(spec.script.python_version)
        try:
            identity = self._image(image, tools, report)
            options = (*self._options(folder), *self._arguments(spec.container))
            shutil.copyfile(container_start.__file__, folder / "start.py")
            make = partial(self._build, spec=spec, name=name, image=image, options=options, folder=folder, tools=tools)
            report(f"using image {image} with {self._engine.name}")
            held = self._cache.take(_key(identity, spec), make, tools.check)
        except (OSError, ToolError) as error:
            raise ContainerError(f"the container can't be made ready: {error}") from error
        request = folder / "container.json"
        setup = spec.container.setup_script
        return Vessel(self._leash, self._engine, name, options, image, request, held.folder, setup, held.release)

    def _image(self, image: str, tools: Tools, report: Report) -> str:
        """Id of the image, which is fetched if it isn't there."""
        ask = ("image", "inspect", "--format", "{{.Id}}", image)
        if found := self._engine.asked(*ask):
            return found
        report(f"pulling {image}")
        tools.run([self._engine.program, "pull", "--quiet", image])
        return self._engine.asked(*ask) or image

    def _build(
        self,
        target: Path,
        *,
        spec: TaskSpec,
        name: str,
        image: str,
        options: tuple[str, ...],
        folder: Path,
        tools: Tools,
    ) -> None:
        tools.check()
        target.mkdir()
        request = folder / "build.json"
        about = {
            "setup": spec.container.setup_script,
            "variables": handed_on(os.environ) | spec.environment,
            "environment": str(target),
            "requirements": normalised(spec.script.requirements),
            "tasktape": own_distribution(),
            "version": own_version(),
        }
        write_private(request, json.dumps(about))
        inside = (str(folder / "start.py"), "build", str(request))
        self._leash.hold_container(self._engine.program, f"{name}-build")
        try:
            tools.run([self._engine.program, *_run(f"{name}-build"), *options, image, *inside])
        finally:
            self._engine.asked("rm", "--force", f"{name}-build")
            self._leash.let_go_container(self._engine.program, f"{name}-build")

    def _options(self, folder: Path) -> Iterator[str]:
        """Mounts, each where it is outside, and the user who owns them."""
        for place in dict.fromkeys(_places(self._settings)):
            yield from ("--mount", f"type=bind,source={place},target={place}")
        source = own_distribution()
        if Path(source).exists():
            yield from ("--mount", f"type=bind,source={source},target={source},readonly")
        hidden = self._settings.home / "tasktape.toml"
        if hidden.exists():
            yield from ("--mount", f"type=bind,source=/dev/null,target={hidden},readonly")
        if self._engine.name == "docker" and os.getuid():
            yield from ("--user", f"{os.getuid()}:{os.getgid()}", "--env", f"HOME={folder}")
        yield from ("--workdir", str(folder), "--entrypoint", "python3")

    def _arguments(self, container: Container) -> tuple[str, ...]:
        """The operator's arguments, then the task's, which win."""
        try:
            return (*self._engine.arguments, *shlex.split(container.arguments))
        except ValueError as error:
            raise ContainerError(f"the task's container arguments can't be understood: {error}") from error


def _key(image: str, spec: TaskSpec) -> str:
    """Name of an environment in the cache: what it depends on is what makes it another one."""
    made_by = (image, spec.container.setup_script, spec.container.arguments, own_distribution(), own_version())
    text = json.dumps([*made_by, *normalised(spec.script.requirements)])
    return f"container-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def handed_on(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of the agent's variables that make sense in a container: what opens S3, proxies, devices."""
    return {name: value for name, value in variables.items() if name.startswith(_HANDED_ON)}


def _run(name: str) -> tuple[str, ...]:
    return ("run", "--rm", "--init", "--name", name)


def _places(settings: Settings) -> Iterator[Path]:
    """What must be seen inside: home, and what lies elsewhere on this machine."""
    yield settings.home
    scheme, _, rest = settings.log.partition("://")
    folders = [sqlite_path(rest).parent] if scheme == "sqlite" else []
    folders += [Path(uri) for uri in (settings.blobs, settings.output_uri) if uri and "://" not in uri]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.is_relative_to(settings.home):
            yield folder


def _default_image(python_version: str) -> str:
    return f"python:{feature_of(python_version) or own_interpreter().feature}-slim"
