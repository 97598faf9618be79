"""What a script says about its packages before `Task.init`, for the analysis that follows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .errors import InvalidArgumentError


@dataclass
class PackageWishes:
    """Packages to add or to leave out; or to take as they are installed.

    Each one `added` has a version or specifier, empty for any, None for the installed one. `freeze_file` names a
    requirements file to take instead of what is installed. `standalone` asks for the script to travel whole, without
    its repository.
    """

    added: dict[str, str | None] = field(default_factory=dict)
    ignored: set[str] = field(default_factory=set)
    freeze: bool = False
    freeze_file: Path | None = None
    standalone: bool = False

    def applied(self, found: Iterable[str]) -> list[str]:
        """Requirement lines after these wishes, sorted; `found` are those that the analysis came to."""
        lines = {normal(name_of(line)): line for line in found}
        lines |= {normal(name_of(name)): line(name, version) for name, version in self.added.items()}
        ignored = {normal(name) for name in self.ignored}
        return [text for name, text in sorted(lines.items()) if name not in ignored]


wishes = PackageWishes()


def name_of(requirement: str) -> str:
    """The package a requirement line names."""
    end = next((i for i, c in enumerate(requirement) if c in " <>=!~;[@#"), len(requirement))
    return requirement[:end]


def normal(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return name.lower().replace("_", "-").replace(".", "-")


def line(name: str, version: str | None) -> str:
    """Requirement line of a package and a version or specifier such as `>=2.1`; None is the installed version."""
    version = _installed(name) if version is None else version
    return name + (f"=={version}" if version[:1].isalnum() else version)


def _installed(name: str) -> str:
    from importlib import metadata  # noqa: PLC0415  costs more than all the rest here

    try:
        return metadata.version(name_of(name))
    except (metadata.PackageNotFoundError, ValueError):
        return ""


def read_requirements(packages: str | Path | Iterable[str]) -> list[str]:
    """Requirement lines of a list, or of the file at a path; comments and blank lines are left out.

    Raises:
        InvalidArgumentError: A path (anything that ends in `.txt`) leads to no file that can be read.

    """
    if isinstance(packages, (str, Path)):
        path = Path(packages)
        is_file = path.suffix == ".txt" or path.is_file()
        packages = _lines(path) if is_file else str(packages).splitlines()
    stripped = (text.strip() for text in packages)
    return [text for text in stripped if text and not text.startswith("#")]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"requirements file {path} can't be read: {error}.") from error
