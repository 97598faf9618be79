"""Names the installed packages that code imports, as requirement lines with which pip installs the same ones elsewhere.

`name==version` for what came from an index, `name @ url` for what did not (PEP 508, from the record of PEP 610). So
tasktape itself is a version where it is released, and an address otherwise: a local one tells an agent to use its own.
A project inside the user's own repository travels with it and is no requirement.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from ...events.log.fork_gate import gate
from .git import without_credentials

OWN: Final = "tasktape"
_MODULE_ENDS: Final = ("/", ".py,", ".so,", ".pyd,", ".cpython-", ".abi3.")


def imported(names: Iterable[str], boundary: Path, search: Sequence[str] | None = None) -> list[str]:
    """Requirement lines of the packages that provide the modules `names` (dotted), and of tasktape; sorted.

    Modules of Python itself, of nothing installed, and of projects below `boundary` add none. Packages are looked up
    in the folders `search` (default: `sys.path`).
    """
    wanted = [name for name in names if name.partition(".")[0] not in {OWN, *sys.stdlib_module_names}]
    own = _distributions(search, name=OWN)
    found = _distributions(search) if wanted or not own else []  # a look at each file list of each package
    others = (provider for name in (*wanted, *([] if own else [OWN])) for provider in _providers(name, found))
    return _lines([*own, *others], boundary)


def installed(boundary: Path, search: Sequence[str] | None = None) -> list[str]:
    """Requirement lines of everything that is installed, for `Task.force_requirements_env_freeze`; sorted."""
    return _lines(_distributions(search), boundary)


def _distributions(search: Sequence[str] | None, **named: Any) -> list[_Installed]:
    return [_Installed(found) for found in distributions(path=list(sys.path if search is None else search), **named)]


def _lines(providers: Iterable[_Installed], boundary: Path) -> list[str]:
    """A line for each name; where several have it, an installation counts before a source tree, then the first."""
    named: dict[str, _Installed] = {}
    for provider in sorted(providers, key=lambda provider: not provider.is_installed):
        named.setdefault(provider.name.lower(), provider)
    return sorted(filter(None, (named[name].requirement(boundary) for name in named if name)), key=str.lower)


class _Installed:
    """One installed distribution, read as far as it is asked."""

    def __init__(self, distribution: Distribution) -> None:
        self._distribution = distribution

    @cached_property
    def name(self) -> str:
        """Its name as it was published; empty where the installation is damaged."""
        metadata = self._distribution.read_text("METADATA") or self._distribution.read_text("PKG-INFO") or ""
        return next((line[5:].strip() for line in metadata.splitlines() if line.startswith("Name:")), "")

    def provides(self, path: str) -> bool:
        """Whether the module at `path` (with slashes) is one of its files, or a folder of them."""
        return any(f"\n{path}{end}" in self._files for end in _MODULE_ENDS)

    @property
    def is_installed(self) -> bool:
        """Whether an installer has listed its files, unlike those of a source tree on the path."""
        return bool(self._record)

    @cached_property
    def _record(self) -> str:
        return self._distribution.read_text("RECORD") or ""

    @cached_property
    def _files(self) -> str:
        """Its files, one a line; the modules at its top where it has no such list."""
        tops = (self._distribution.read_text("top_level.txt") or "").split()
        return "\n".join(["", self._record, *(f"{top}/" for top in tops)])

    def holds(self, origin: str) -> bool:
        """Whether a file belongs to the folder it is installed from, as in an editable installation."""
        folder = self.local_folder()
        return folder is not None and Path(origin).is_relative_to(folder)

    def local_folder(self) -> Path | None:
        record = self._origin
        return local_path(str(record.get("url", ""))) if "dir_info" in record else None

    @cached_property
    def _origin(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._distribution.read_text("direct_url.json") or "{}"))
        except ValueError:
            return {}

    def requirement(self, boundary: Path) -> str:
        """Its requirement line; empty for a project below `boundary`."""
        folder = self.local_folder()
        if folder is not None and folder.is_relative_to(boundary) and self.name.lower() != OWN:
            return ""
        address = _address(self._origin)
        return f"{self.name} @ {address}" if address else f"{self.name}=={self._version()}"

    def _version(self) -> str:
        with gate:  # the first to ask imports a parser of e-mail
            return self._distribution.version


def _address(record: dict[str, Any]) -> str:
    """Where something was installed from; empty for an index, and for a path that is no more (a builder's own)."""
    url = without_credentials(str(record.get("url", "")))
    local = local_path(url)
    if not url or (local is not None and not local.exists()):
        return ""
    vcs = record.get("vcs_info", {})
    subdirectory = f"#subdirectory={record['subdirectory']}" if record.get("subdirectory") else ""
    return f"{vcs['vcs']}+{url}@{vcs['commit_id']}{subdirectory}" if vcs else url + subdirectory


def local_path(url: str) -> Path | None:
    """The path of a `file:` address."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _providers(name: str, installed: list[_Installed]) -> list[_Installed]:
    """Distributions that provide a dotted module; of several that share a namespace, those that have most of it."""
    parts = name.split(".")
    candidates = [found for found in installed if found.provides(parts[0])]
    if not candidates:
        return list(_editable_providers(parts[0], installed))
    for length in range(2, len(parts) + 1):
        path = "/".join(parts[:length])
        candidates = [found for found in candidates if found.provides(path)] or candidates
    return candidates


def _editable_providers(top: str, installed: list[_Installed]) -> Iterator[_Installed]:
    """Distributions whose folder the module is imported from, though their list of files does not name it."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return
    origins = [spec.origin or "", *(spec.submodule_search_locations or [])] if spec else []
    yield from (found for found in installed if any(found.holds(origin) for origin in origins if origin))
