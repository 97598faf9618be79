"""Finds the Python a task asks for, and what the agent's own Python has to offer it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION: Final = "tasktape"
_LIBRARY_FOLDERS: Final = ("site-packages", "dist-packages")
_FEATURE: Final = re.compile(r"\d+\.\d+")
_PATIENCE_SECONDS: Final = 30.0
_REMEMBERED: Final = 256


@dataclass(frozen=True)
class Interpreter:
    """A Python on this machine. `own` says that it has the agent's own feature version, so they can share packages."""

    path: str
    version: str
    own: bool

    @property
    def feature(self) -> str:
        """Feature version, such as `3.12`."""
        return feature_of(self.version)


def own_interpreter() -> Interpreter:
    """Return the agent's own Python."""
    return Interpreter(sys.executable, "{}.{}.{}".format(*sys.version_info), own=True)


def find_interpreter(version: str) -> Interpreter | None:
    """Return a Python of this version's feature release; the agent's own where none is asked for; None if missing.

    It is looked for on the PATH, then among those of pyenv and uv.
    """
    own = own_interpreter()
    feature = feature_of(version)
    if feature in {"", own.feature}:
        return own
    for path in _candidates(feature):
        if (found := version_of(path)) and feature_of(found) == feature:
            return Interpreter(path, found, own=False)
    return None


def feature_of(version: str) -> str:
    """Feature version of a version, empty where it has none."""
    found = _FEATURE.match(version.strip())
    return found.group() if found else ""


def _candidates(feature: str) -> Iterator[str]:
    if path := shutil.which(f"python{feature}"):
        yield path
    root = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser()
    yield from sorted(map(str, root.glob(f"versions/{feature}.*/bin/python{feature}")), key=_by_patch, reverse=True)
    if uv := find_uv():
        yield from filter(None, [_answer(uv, "python", "find", "--managed-python", "--no-python-downloads", feature)])


def _by_patch(path: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", path)]


@cache
def version_of(path: str) -> str:
    """Version a Python says it has; empty where it does not answer, as pyenv's stand-ins don't for want of a choice."""
    return _answer(path, "-I", "-S", "-c", "import platform; print(platform.python_version())")


def _answer(*command: str) -> str:
    """What a program prints; nothing where it fails."""
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def runs_tasktape(version: str) -> bool:
    """Whether this installation of tasktape can be had for that Python."""
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415  see `_parse`

    wanted = importlib.metadata.metadata(DISTRIBUTION)["Requires-Python"] or ""
    return SpecifierSet(wanted).contains(version, prereleases=True)


def own_library_folders() -> tuple[str, ...]:
    """Folders the agent's installed packages lie in."""
    folders = dict.fromkeys(path for path in sys.path if path.endswith(_LIBRARY_FOLDERS))
    return tuple(folder for folder in folders if Path(folder).is_dir())


def normalised(requirements: Iterable[str]) -> tuple[str, ...]:
    """Requirements without comments, blank lines and tasktape itself, which comes from the agent; sorted."""
    stripped = (line.partition(" #")[0].strip() for line in requirements)
    return tuple(sorted({line for line in stripped if line and not line.startswith("#") and not _is_ours(line)}))


def _is_ours(line: str) -> bool:
    from packaging.utils import canonicalize_name  # noqa: PLC0415  see `_parse`

    parsed = _parse(line)
    return parsed is not None and canonicalize_name(parsed.name) == DISTRIBUTION


def _parse(line: str) -> Requirement | None:
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415  a MB, which idle agents save

    try:
        return Requirement(line)
    except InvalidRequirement:
        return None


def satisfied_here(requirements: Iterable[str]) -> bool:
    """Whether the agent's own packages meet all requirements; options, addresses and extras never count as met.

    Looking that up costs a millisecond for each, so it is done again only when something was installed or removed.
    """
    state = tuple(Path(folder).stat().st_mtime_ns for folder in own_library_folders())
    return _all_satisfied(tuple(requirements), state)


@lru_cache(_REMEMBERED)
def _all_satisfied(requirements: tuple[str, ...], _state: tuple[int, ...]) -> bool:
    return all(_is_satisfied(line) for line in requirements)


def _is_satisfied(line: str) -> bool:
    wanted = _parse(line)
    if wanted is None or wanted.url or wanted.extras:
        return False
    if wanted.marker is not None and not wanted.marker.evaluate():
        return True
    try:
        installed = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return wanted.specifier.contains(installed, prereleases=True)


def own_distribution() -> str:
    """Return what installs tasktape as the agent has it: the folder or wheel it came from, else its exact version."""
    found = importlib.metadata.distribution(DISTRIBUTION)
    origin = json.loads(found.read_text("direct_url.json") or "{}").get("url", "")
    if origin.startswith("file:"):
        return unquote(urlsplit(origin).path)
    return f"{DISTRIBUTION}=={found.version}"


def own_version() -> str:
    """Version of tasktape here."""
    return importlib.metadata.version(DISTRIBUTION)


def find_uv() -> str | None:
    """Path of `uv`: on the PATH, or beside the agent's own Python."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
