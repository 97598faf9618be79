"""The imports a function finds in its module, each as a line that does no harm where what it imports is missing."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from ..capture.entry import notebook_source
from ..capture.imports import READ_AS

GUARD: Final = "optional_import"
RUNTIME: Final = "tasktape.producers.pipelines.step_run"
_COMPUTED: Final = (ast.Call, ast.Attribute, ast.Await, ast.NamedExpr, ast.comprehension)


@dataclass(frozen=True)
class ImportLine:
    """An import statement, or a `try` around some; and the names it binds."""

    text: str
    names: frozenset[str]


def module_imports(module: str) -> list[ImportLine]:
    """The imports at the top of a module, in their order."""
    package = getattr(sys.modules.get(module), "__package__", "") or ""
    return [line for node in _body(module) for line in _lines(node, package)]


def constants(module: str) -> frozenset[str]:
    """Names that a module gives values which it says in full: without a call or anything else that may differ."""
    assigned = (node for node in _body(module) if isinstance(node, (ast.Assign, ast.AnnAssign)) and _is_said(node))
    return frozenset(name for node in assigned for name in _bound(node))


def _is_said(node: ast.Assign | ast.AnnAssign) -> bool:
    return node.value is not None and not any(isinstance(inner, _COMPUTED) for inner in ast.walk(node.value))


def _body(module: str) -> list[ast.stmt]:
    """The statements of a module, or of a notebook's cells; none for what is not all Python."""
    found = sys.modules.get(module)
    try:
        return ast.parse(_text(found), READ_AS).body if found else []
    except (SyntaxError, ValueError):
        return []


def import_of(name: str, value: Any) -> ImportLine | None:
    """A line that binds `name` to a module, or to what a module holds under the name it was defined with."""
    if isinstance(value, ModuleType):
        bound = value.__name__ == name
        text = f"import {name}" if bound else f"import {value.__name__} as {name}"
        return ImportLine(text, frozenset({name}))
    module, original = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if not module or not original or getattr(sys.modules.get(module), original, None) is not value:
        return None
    text = f"from {module} import {original}" + ("" if original == name else f" as {name}")
    return ImportLine(text, frozenset({name}))


def _text(module: ModuleType) -> str:
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return notebook_source(module)


def _lines(node: ast.stmt, package: str) -> Iterator[ImportLine]:
    if isinstance(node, ast.Import):
        yield from (_line(ast.Import([alias])) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from _from_lines(node, package)
    elif isinstance(node, ast.Try) and all(isinstance(inner, (ast.Import, ast.ImportFrom)) for inner in node.body):
        yield _line(node)
    elif isinstance(node, ast.With) and ast.unparse(node.items[0]) == f"{GUARD}()":
        yield from (line for inner in node.body for line in _lines(inner, package))


def _from_lines(node: ast.ImportFrom, package: str) -> Iterator[ImportLine]:
    module = _absolute(node, package)
    if module and module not in {"__future__", RUNTIME}:
        yield from (_line(ast.ImportFrom(module, [alias], 0)) for alias in node.names)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The module's whole name; empty for one relative to no package."""
    relative = "." * node.level + (node.module or "")
    try:
        return importlib.util.resolve_name(relative, package)
    except ImportError:
        return ""


def _line(node: ast.stmt) -> ImportLine:
    return ImportLine(ast.unparse(node), frozenset(_bound(node)))


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that imports and assignments bind."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.alias):
            yield inner.asname or inner.name.partition(".")[0]
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id
