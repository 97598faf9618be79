"""Projects that say themselves what they need: a conda environment file, or Poetry's lock."""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

CONDA_PROGRAMS: Final = ("conda", "mamba", "micromamba")
_CONDA_FILES: Final = ("environment.yml", "environment.yaml")


@dataclass(frozen=True)
class Project:
    """What describes a project's environment: `files` make it what it is, `digest` knows it again.

    `tool` is the program that makes it, None where this machine lacks it.
    """

    kind: Literal["conda", "poetry"]
    folder: Path
    files: tuple[Path, ...]
    tool: str | None

    @property
    def digest(self) -> str:
        """Equal for equal files, and for no others."""
        found = hashlib.sha256(f"{self.kind} {bool(self.tool)}".encode())
        for file in self.files:
            found.update(hashlib.sha256(file.read_bytes()).digest())
        return found.hexdigest()


def find_project(working_dir: Path, root: Path) -> Project | None:
    """The project a program in `working_dir` belongs to, looked for up to `root`."""
    for folder in _upwards(working_dir.resolve(), root.resolve()):
        if found := _conda(folder) or _poetry(folder):
            return found
    return None


def _upwards(folder: Path, root: Path) -> Iterator[Path]:
    yield folder
    for parent in folder.parents:
        if folder == root or not parent.is_relative_to(root):
            return
        yield parent


def _conda(folder: Path) -> Project | None:
    found = next((folder / name for name in _CONDA_FILES if (folder / name).is_file()), None)
    if found is None:
        return None
    return Project("conda", folder, (found,), next(filter(None, map(shutil.which, CONDA_PROGRAMS)), None))


def _poetry(folder: Path) -> Project | None:
    described, lock = folder / "pyproject.toml", folder / "poetry.lock"
    if not (described.is_file() and lock.is_file() and _names_poetry(_read(described))):
        return None
    return Project("poetry", folder, (described, lock), shutil.which("poetry"))


def _names_poetry(described: dict[str, Any]) -> bool:
    """Poetry 2 writes all it needs into `[project]`, and is then known by the build backend alone."""
    backend = str(described.get("build-system", {}).get("build-backend", ""))
    return "poetry" in described.get("tool", {}) or backend.startswith("poetry.")


def locked_versions(lock: Path) -> list[str]:
    """What Poetry's lock holds, as constraints for pip: each name once."""
    packages = _read(lock).get("package", [])
    versions = {str(package["name"]): str(package["version"]) for package in packages if "source" not in package}
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


def distribution_name(described: Path) -> str:
    """Name of the distribution that a project makes; empty where it has none."""
    content = _read(described)
    named = content.get("project", {}).get("name") or content.get("tool", {}).get("poetry", {}).get("name")
    return str(named or "")


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}
