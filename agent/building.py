"""Builds an environment in its folder: the interpreter, what the project needs, what the task needs, tasktape."""

from __future__ import annotations

import importlib.util
import os
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..events.errors import TasktapeError
from ..events.private_file import write_private
from .interpreters import Interpreter, feature_of, find_uv, own_distribution, own_interpreter, version_of
from .processes import ToolError, Tools
from .projects import Project, distribution_name, locked_versions

if TYPE_CHECKING:
    from .environment import Recipe

_BRIDGE: Final = "tasktape_agent.pth"


class NoInstallerError(TasktapeError):
    """Nothing on this machine installs packages."""

    def __init__(self) -> None:
        super().__init__("there is neither uv nor pip to install packages with: add one.")


def build(folder: Path, recipe: Recipe, project: Project | None, tools: Tools, report: Callable[[str], None]) -> None:
    """Build the environment of a recipe in `folder`, which is not there yet."""
    tools.check()
    if project is not None and project.kind == "conda":
        report(f"building a conda environment from {project.files[0].name}")
        install, behind = _make_with_conda(folder, recipe, project, tools)
    else:
        count = len(recipe.install)
        report(f"building an environment for Python {recipe.interpreter.version} with {count} packages")
        _make(folder, recipe.interpreter, tools)
        install, behind = recipe.install, recipe.behind
    if project is not None and project.kind == "poetry":
        report("installing what poetry.lock names")
        _install_locked(folder, project, tools)
    if install:
        _install(folder, install, tools)
    if behind:
        (_library_folder(folder) / _BRIDGE).write_text(_bridge(behind))
    tools.run([str(python_of(folder)), "-c", "import tasktape"])


def python_of(folder: Path) -> Path:
    """The Python of an environment."""
    return folder / "bin" / "python"


def _make(folder: Path, interpreter: Interpreter, tools: Tools) -> None:
    if interpreter.own:
        venv.EnvBuilder(symlinks=True).create(folder)
    else:
        tools.run([interpreter.path, "-m", "venv", "--without-pip", str(folder)])


def _make_with_conda(
    folder: Path, recipe: Recipe, project: Project, tools: Tools
) -> tuple[Sequence[str], Sequence[str]]:
    """Have conda make it; its Python decides whether it can see the agent's packages. Returns what else it needs."""
    assert project.tool is not None  # noqa: S101  without conda the project counts for nothing
    verb = ["create", "--yes"] if project.tool.endswith("micromamba") else ["env", "create"]
    tools.run([project.tool, *verb, "--quiet", "--prefix", str(folder), "--file", str(project.files[0])])
    version = version_of(str(python_of(folder)))
    if feature_of(version) == own_interpreter().feature:
        return recipe.install, recipe.behind
    return [*recipe.install, own_distribution()], []


def _install_locked(folder: Path, project: Project, tools: Tools) -> None:
    """Install what a Poetry project depends on; its own code is run from the checkout."""
    where = {"VIRTUAL_ENV": str(folder), "PATH": os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", "")])}
    if project.tool is not None:
        install = [project.tool, "install", "--no-root", "--no-interaction", "--no-ansi"]
        tools.run([*install, "--directory", str(project.folder)], environment=where)
        return
    described, lock = project.files
    constraints = folder / "constraints.txt"
    write_private(constraints, "\n".join(locked_versions(lock)) + "\n")
    _install(folder, [str(project.folder)], tools, "--constraint", str(constraints))
    if name := distribution_name(described):
        tools.run([*_installer(python_of(folder), tools, "uninstall"), name])


def _install(folder: Path, requirements: Sequence[str], tools: Tools, *options: str) -> None:
    """Install from a file: a requirement may hold a password, and command lines are seen by all."""
    listed = folder / "requirements.txt"
    write_private(listed, "\n".join(requirements) + "\n")
    tools.run([*_installer(python_of(folder), tools), *options, "--requirement", str(listed)])


def _installer(python: Path, tools: Tools, verb: str = "install") -> list[str]:
    """Command that installs into the environment of `python`: uv's, else the agent's own pip's, else one of its own."""
    sure = ["--yes"] if verb == "uninstall" else []
    if uv := find_uv():
        return [uv, "pip", verb, "--python", str(python)]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--no-input", "--python", str(python), verb, *sure]
    try:
        tools.run([str(python), "-m", "ensurepip"])
    except ToolError as error:
        raise NoInstallerError from error
    return [str(python), "-m", "pip", "--no-input", verb, *sure]


def _library_folder(folder: Path) -> Path:
    return next(folder.glob("lib/python*/site-packages"))


def _bridge(folders: Sequence[str]) -> str:
    """Line of a `.pth` file that adds folders with the `.pth` files in them, which editable installs rely on."""
    return "; ".join(["import site", *(f"site.addsitedir({folder!r})" for folder in folders)]) + "\n"
