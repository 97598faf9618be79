"""Which modules a script imports, found by reading it and its own modules: nothing is imported or run to find out."""

from __future__ import annotations

import ast
import importlib.machinery
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_DYNAMIC: Final = frozenset({"import_module", "__import__"})
_SUFFIXES: Final = (".py", *importlib.machinery.EXTENSION_SUFFIXES)
_MAX_FILES: Final = 5_000
OWN: Final = __name__.partition(".")[0]
_OURS: Final = f"{OWN}."
_LIBRARY: Final = str(Path(os.__file__).parent)
READ_AS: Final = "<read by tasktape>"
"""File name under which users' code is read, for `silence_warnings`."""


class Import(NamedTuple):
    """One import: `module` is dotted, perhaps empty; `names` are those of a `from` import; `level` counts its dots."""

    module: str
    names: tuple[str, ...] = ()
    level: int = 0

    @property
    def dotted(self) -> list[str]:
        """Each imported name behind its module's, or the module's alone."""
        return [f"{self.module}.{name}" for name in self.names] or [self.module]


@dataclass
class ImportGraph:
    """What is reached from a script: `files` of its own, and dotted names of modules from elsewhere."""

    files: set[Path] = field(default_factory=set)
    external: set[str] = field(default_factory=set)


def silence_warnings() -> None:
    """Keep the parser's warnings about the user's code to the moment when that code is really run."""
    for category in (SyntaxWarning, DeprecationWarning):
        warnings.filterwarnings("ignore", category=category, module=re.escape(READ_AS))


def is_local(path: Path, boundary: Path) -> bool:
    """Whether a file or folder belongs to the user's own code: below `boundary`, and neither installed nor Python's."""
    return path.is_relative_to(boundary) and INSTALLED.isdisjoint(path.parts) and not path.is_relative_to(_LIBRARY)


def own_modules() -> dict[str, ModuleType]:
    """Imported modules that are the user's own: the script, and those outside Python's and installed packages."""
    files = [(name, module, getattr(module, "__file__", None)) for name, module in list(sys.modules.items())]
    return {name: module for name, module, file in files if name == "__main__" or (file and _is_own(name, file))}


def _is_own(name: str, file: str) -> bool:
    return not file.startswith(_LIBRARY) and not any(map(file.__contains__, INSTALLED)) and not name.startswith(_OURS)


def walk(entries: Iterable[Path], roots: Sequence[Path], boundary: Path, source: str = "") -> ImportGraph:
    """Follow the imports of `entries`, and those in the text `source`, through all modules below `boundary`.

    `roots` are the folders modules are looked up in, in the order of `sys.path`; those outside `boundary` don't count.
    """
    search = [root for root in dict.fromkeys(roots) if is_local(root, boundary)]
    graph = ImportGraph()
    waiting = list(entries)
    for found in imports_in(source):
        waiting += _follow(found, boundary / "__main__.py", search, graph.external)
    while waiting and len(graph.files) < _MAX_FILES:
        file = waiting.pop()
        if file in graph.files or not is_local(file, boundary):
            continue
        graph.files.add(file)
        for found in imports_of(file):
            waiting += _follow(found, file, search, graph.external)
    return graph


def _follow(found: Import, file: Path, search: Sequence[Path], external: set[str]) -> list[Path]:
    """Files that one import reaches; names that none of the roots has are added to `external`."""
    if found.level:
        base = file.parents[min(found.level, len(file.parents)) - 1]
        return _files(base, found)
    if external.issuperset(found.dotted):
        return []
    for root in search:
        if files := _files(root, found):
            return files
    external.update(found.dotted)
    return []


def _files(root: Path, found: Import) -> list[Path]:
    """Files of `a.b.c` and of the submodules named after `import`, with the `__init__` of each package on the way."""
    parts = found.module.split(".") if found.module else []
    files = _package_files(root) if found.level else []
    place = root
    for part in parts:
        files += _module_files(place, part)
        place /= part
    for name in found.names:
        files += _module_files(place, name)
    return files


def _module_files(folder: Path, name: str) -> list[Path]:
    package = _package_files(folder / name)
    return package or [path for path in (folder / f"{name}{suffix}" for suffix in _SUFFIXES) if path.is_file()]


def _package_files(folder: Path) -> list[Path]:
    init = folder / "__init__.py"
    return [init] if init.is_file() else []


def imports_of(file: Path) -> list[Import]:
    """All imports of one file; none for one that can't be read or is an extension module."""
    try:
        return [] if file.suffix in _SUFFIXES[1:] else imports_in(file.read_bytes())
    except OSError:
        return []


def imports_in(source: bytes | str) -> list[Import]:
    """All imports in Python source, those inside functions too but not those only type checkers see.

    None for what is no Python.
    """
    try:
        tree = ast.parse(source, READ_AS)
    except (SyntaxError, ValueError, RecursionError):
        return []
    return [found for node in _nodes(tree) for found in _imports_at(node)]


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += getattr(node, "orelse", []) if _is_type_checking(node) else ast.iter_child_nodes(node)


def _is_type_checking(node: ast.AST) -> bool:
    test = getattr(node, "test", None) if isinstance(node, ast.If) else None
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"


def _imports_at(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield Import(node.module or "", tuple(alias.name for alias in node.names), node.level)
    elif isinstance(node, ast.Call) and (name := _dynamic_import(node)):
        yield Import(name)


def _dynamic_import(call: ast.Call) -> str:
    """The module's name in `importlib.import_module("name")` and the like, else nothing."""
    called = getattr(call.func, "id", getattr(call.func, "attr", ""))
    if called not in _DYNAMIC or not call.args or not isinstance(call.args[0], ast.Constant):
        return ""
    name = call.args[0].value
    return name if isinstance(name, str) and not name.startswith(".") else ""
