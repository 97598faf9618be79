"""The source of one function or class as it stands in its module, with the names it needs from there.

What decorators have put around a function is looked through: the source is the one a person has written.
"""

from __future__ import annotations

import ast
import inspect
import symtable
import sys
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from types import CodeType, FunctionType
from typing import Any, Final

from ...events.errors import TasktapeError
from ..capture.imports import READ_AS
from .literals import literal

COMPONENT: Final = "PipelineDecorator.component"
_MISSING: Final = object()
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_Edit = tuple[tuple[int, int], tuple[int, int], str]
"""Line and column of its start and of its end, and the new text."""


class FunctionSourceError(TasktapeError, ValueError):
    """A function can't travel as source. `step` is the step it was for, where that is known."""

    def __init__(self, name: str, reason: str, step: str = "") -> None:
        where = f"step {step!r}: " if step else ""
        super().__init__(f"{where}{name!r} can't go into a step's script: {reason}")
        self.name = name
        self.reason = reason
        self.step = step


@dataclass(frozen=True)
class Definition:
    """A function or class: its source, and the names it refers to outside itself, resolved by `namespace`.

    `needed` are those it may come to when it runs, `vital` those without which it can't even be defined; `named` has
    those of annotations as well. `enclosed` are variables of a function around it.
    """

    name: str
    text: str
    namespace: Mapping[str, Any]
    module: str
    named: frozenset[str]
    needed: frozenset[str]
    vital: frozenset[str]
    enclosed: frozenset[str]


def read_definition(thing: Any, *, as_step: bool = False) -> Definition:
    """Read a function or class; `as_step` leaves out the decorator that made it a component.

    Raises `FunctionSourceError` where there is no source, or none that stands by itself.
    """
    original = unwrapped(thing)
    name = getattr(original, "__name__", None) or type(original).__name__
    if not isinstance(original, (FunctionType, type)):
        raise FunctionSourceError(name, f"a {type(original).__name__} has no source of Python. Wrap it in a function.")
    text, node = _parsed(original, name)
    namespace = _namespace(original)
    edits = list(_defaults(node, original)) if isinstance(original, FunctionType) else []
    if as_step:
        edits += _component_decorators(node, namespace)
    text = _edited(text, edits)
    evaluated = text if isinstance(node, ast.ClassDef) else f"from __future__ import annotations\n{text}"
    enclosed = frozenset(name for name, _ in _closure(original)) if isinstance(original, FunctionType) else frozenset()
    try:
        return Definition(
            name=node.name,
            text=text,
            namespace=namespace,
            module=original.__module__,
            named=_global_names(text),
            needed=_global_names(evaluated),
            vital=_global_names(evaluated, deep=False) | enclosed,
            enclosed=enclosed,
        )
    except SyntaxError as error:
        reason = f"by itself it is no Python ({error.msg}). Does it change a variable of a function around it?"
        raise FunctionSourceError(name, reason) from error


def unwrapped(thing: Any) -> Any:
    """The function that a person wrote, without what decorators have put around it."""
    thing = inspect.unwrap(thing) if callable(thing) else thing
    while (inner := _wrapped(thing)) is not None:
        thing = inspect.unwrap(inner)
    return thing


def _wrapped(function: Any) -> Any:
    """The function inside one that a decorator made without `functools.wraps`: one whose source names that decorator.

    A function that only uses another of its surroundings is not decorated by them.
    """
    if not isinstance(function, FunctionType) or "<locals>" not in function.__qualname__:
        return None
    makers = {part.rpartition(".")[2] for part in function.__qualname__.split(".<locals>.")[:-1]}
    inside = (value for _, value in _closure(function) if isinstance(value, FunctionType))
    return next((value for value in inside if makers & _decorator_names(value)), None)


def _decorator_names(function: FunctionType) -> set[str]:
    try:
        _, node = _parsed(inspect.unwrap(function), function.__name__)
    except FunctionSourceError:
        return set()
    called = (item.func if isinstance(item, ast.Call) else item for item in node.decorator_list)
    return {ast.unparse(item).rpartition(".")[2] for item in called}


def _global_names(text: str, *, deep: bool = True) -> frozenset[str]:
    """Names that a source refers to outside itself; without `deep` those of its outermost level alone."""
    top = symtable.symtable(text, READ_AS, "exec")
    waiting, found = [top], set()
    while waiting:
        table = waiting.pop()
        waiting += table.get_children() if deep else []
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                found.add(symbol.get_name())
    return frozenset(found)


def _parsed(thing: Any, name: str) -> tuple[str, _Definition]:
    """The source with its syntax; of an indented one as Python itself would write it."""
    text = _source(thing, name)
    try:
        if text[:1].isspace():
            text = ast.unparse(ast.parse(f"if True:\n{text}", READ_AS).body[0].body[0])  # type: ignore[attr-defined]
        node = ast.parse(text, READ_AS).body[0]
    except SyntaxError:
        node = None
    if isinstance(node, _Definition):
        return text, node
    raise FunctionSourceError(name, "a lambda has no source of its own. Define it with `def`.")


def _source(thing: Any, name: str) -> str:
    try:
        return inspect.getsource(thing).rstrip() + "\n"
    except (OSError, TypeError, SyntaxError) as error:
        reason = f"its source is not to be had ({error}). Define it in a file or in a notebook's cell."
        raise FunctionSourceError(name, reason) from error


def _namespace(thing: Any) -> Mapping[str, Any]:
    """The names that a function finds around it: those of the functions it is defined in, then those of its module."""
    if isinstance(thing, FunctionType):
        return ChainMap(dict(_closure(thing)), thing.__globals__)
    return vars(sys.modules[thing.__module__])


def _closure(function: FunctionType) -> Iterator[tuple[str, Any]]:
    code: CodeType = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not bound yet
            continue


def _component_decorators(node: _Definition, namespace: Mapping[str, Any]) -> Iterator[_Edit]:
    """Cut out whole lines, from such a decorator to the next one or to the definition."""
    starts = [item.lineno for item in node.decorator_list] + [node.lineno]
    for item, start, end in zip(node.decorator_list, starts, starts[1:], strict=False):
        if _makes_component(item.func if isinstance(item, ast.Call) else item, namespace):
            yield (start, 0), (end, 0), ""


def _makes_component(decorator: ast.expr, namespace: Mapping[str, Any]) -> bool:
    """Whether it is ours under whatever name; one that can't be looked up here is judged by its name."""
    found = _looked_up(decorator, namespace)
    if found is _MISSING:
        return isinstance(decorator, ast.Attribute) and decorator.attr == COMPONENT.rpartition(".")[2]
    found = getattr(found, "func", found)
    return getattr(found, "__qualname__", "") == COMPONENT


def _looked_up(expression: ast.expr, namespace: Mapping[str, Any]) -> Any:
    if isinstance(expression, ast.Name):
        return namespace.get(expression.id, _MISSING)
    if isinstance(expression, ast.Attribute):
        return getattr(_looked_up(expression.value, namespace), expression.attr, _MISSING)
    return _MISSING


def _defaults(node: _Definition, function: FunctionType) -> Iterator[_Edit]:
    """Write the values of defaults that are computed from something else, where they are plain."""
    assert not isinstance(node, ast.ClassDef)  # noqa: S101  it is a function's
    named = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    values = function.__kwdefaults__ or {}
    pairs = [(default, values.get(argument.arg, _MISSING)) for argument, default in named if default is not None]
    pairs += zip(node.args.defaults, function.__defaults__ or (), strict=False)
    for default, value in pairs:
        text = literal(value)
        if text is not None and not _is_literal(default):
            start = (default.lineno, default.col_offset)
            yield start, (default.end_lineno or 0, default.end_col_offset or 0), text


def _is_literal(expression: ast.expr) -> bool:
    try:
        ast.literal_eval(expression)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _edited(text: str, edits: Iterable[_Edit]) -> str:
    """The text with parts replaced; a column counts bytes, as Python's parser does."""
    content = text.encode()
    starts = [0, *accumulate(len(line) for line in content.splitlines(keepends=True))]
    for (line, column), (end_line, end_column), new in sorted(edits, reverse=True):
        start, end = starts[line - 1] + column, starts[end_line - 1] + end_column
        content = content[:start] + new.encode() + content[end:]
    return content.decode()
