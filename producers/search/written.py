"""Ranges and objectives as people write them: `uniform(0, 1)`, `choice(adam, sgd)`, `validation/accuracy:max`. Pure.

A range is its kind with numbers in brackets, or values in brackets: quoted, or bare up to the next comma. What can't be
read is shown with a mark below the place.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ..errors import InvalidArgumentError
from ..parameters import from_text
from .objectives import Objective
from .parameters import (
    DiscreteParameterRange,
    LogUniformParameterRange,
    Parameter,
    UniformIntegerParameterRange,
    UniformParameterRange,
)

_PIECE: Final = re.compile(r"""\s+|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'\[\](){},]+|[\[\](){},]""", re.DOTALL)
_HEAD: Final = re.compile(r"\s*([A-Za-z]*)\s*(?=[\[(])")
_NAMED: Final = re.compile(r"([a-z]+)\s*=\s*")
_PAIRS: Final = {"(": ")", "[": "]", "{": "}"}
_SIGNS: Final = ("min", "max", "min_global", "max_global")
_CONTAINERS: Final = frozenset({"bool", "list", "tuple", "set", "dict"})
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "none": None, "null": None}
_HOW: Final = "write uniform(MIN, MAX), loguniform(MIN, MAX), int(MIN, MAX), choice(A, B, …) or [A, B, …]"


class WrittenError(InvalidArgumentError):
    """A text can't be read; `column`, counted from 1, says where."""

    def __init__(self, text: str, column: int, reason: str) -> None:
        line = "".join(letter if letter.isprintable() else "�" for letter in text)
        super().__init__(f"column {column}: {reason}\n  {line}\n  {' ' * (column - 1)}^")
        self.text = text
        self.column = column
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Item:
    """What stands between two commas, and in which column; `word` is what quotes hold, None without quotes."""

    text: str
    column: int
    word: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A parameter's name and its range, as far as they can be understood without the task. `text` is all of it."""

    text: str
    name: str
    kind: str
    column: int
    items: tuple[Item, ...]

    def range(self, name: str, type_name: str = "") -> Parameter:
        """The range, for the parameter `name` of the task, which holds values of the type that is named.

        Raises `WrittenError` where it can't be one.
        """
        try:
            return _KINDS[self.kind](self, name, type_name)
        except WrittenError:
            raise
        except InvalidArgumentError as error:
            raise WrittenError(self.text, self.column, str(error)) from error


def parameter(text: str) -> Written:
    """Read `NAME=RANGE`. Raises `WrittenError`."""
    name, equals, rest = text.partition("=")
    if not equals or not name.strip():
        raise WrittenError(text, len(name) + 1 if name.strip() else 1, "write it as NAME=RANGE.")
    start = len(name) + 1
    head = _HEAD.match(text, start)
    if head is None:
        raise WrittenError(text, _first(text, start), f"this is no range: {_HOW}.")
    kind, column = head[1].lower() or "choice", head.start(1) + 1
    if kind not in _KINDS or (text[head.end()] == "[" and head[1]):
        raise WrittenError(text, column, f"there are no ranges {rest.strip().partition('(')[0]!r}: {_HOW}.")
    return Written(text, name.strip(), kind, column, tuple(_items(text, head.end())))


def objective(text: str) -> Objective:
    """Read `TITLE/SERIES:SIGN`; the last slash parts title and series. Raises `WrittenError`."""
    name, _, sign = text.rpartition(":")
    if sign not in _SIGNS:
        column = len(name) + 2 if name else len(text) + 1
        raise WrittenError(text, column, f"an objective ends with one of :{', :'.join(_SIGNS)}.")
    title, _, series = name.rpartition("/")
    if not title or not series:
        raise WrittenError(text, 1, "an objective is TITLE/SERIES:SIGN; that of a single value is Summary/NAME:SIGN.")
    return Objective(title, series, sign.removesuffix("_global"), sign.endswith("_global"))


def _first(text: str, start: int) -> int:
    """The column of the first letter from a place on."""
    return len(text) - len(text[start:].lstrip()) + 1


def _items(text: str, start: int) -> Iterator[Item]:
    """What the bracket at a place holds; the text ends with that bracket."""
    opened: list[int] = []
    begin = start + 1
    for piece, at in _pieces(text, start):
        if piece in _PAIRS:
            opened.append(at)
        elif piece in _PAIRS.values() and _PAIRS[text[opened.pop()]] != piece:
            raise WrittenError(text, at + 1, f"{piece!r} closes nothing that was opened.")
        if (piece == "," and len(opened) == 1) or not opened:
            yield _item(text, begin, at)
            begin = at + 1
        if not opened:
            if text[at + 1 :].strip():
                raise WrittenError(text, _first(text, at + 1), "the range is over here: nothing may follow.")
            return
    raise WrittenError(text, opened[-1] + 1, "this bracket is never closed.")


def _pieces(text: str, start: int) -> Iterator[tuple[str, int]]:
    while start < len(text):
        found = _PIECE.match(text, start)
        if found is None:
            raise WrittenError(text, start + 1, "this quote is never closed.")
        yield found[0], start
        start = found.end()


def _item(text: str, begin: int, end: int) -> Item:
    held, column = text[begin:end].strip(), _first(text[:end], begin)
    if not held:
        raise WrittenError(text, column, "a value is missing here; an empty text is written ''.")
    whole = _PIECE.fullmatch(held)
    is_quoted = whole is not None and held[0] in "'\""
    return Item(held, column, _unquoted(text, held, column) if is_quoted else None)


def _unquoted(text: str, held: str, column: int) -> str:
    try:
        return str(ast.literal_eval(held))
    except (SyntaxError, ValueError) as error:
        raise WrittenError(text, column, "Python can't read this text.") from error


def _numbers(written: Written, names: Sequence[str]) -> dict[str, float]:
    """The numbers that a range is given, by place or by name."""
    found: dict[str, float] = {}
    for place, item in enumerate(written.items):
        named = _NAMED.match(item.text)
        name = named[1] if named else (names[place] if place < len(names) else "")
        if name not in names or name in found:
            raise WrittenError(written.text, item.column, f"{written.kind} takes {', '.join(names)}, each once.")
        start = named.end() if named else 0
        found[name] = _number(written, item.text[start:], item.column + start)
    if missing := [name for name in ("min", "max") if name not in found]:
        raise WrittenError(
            written.text, len(written.text.rstrip()), f"{' and '.join(missing)} of the range is missing."
        )
    return found


def _number(written: Written, text: str, column: int) -> float:
    for reader in (int, float):
        with suppress(ValueError):
            return reader(text)
    raise WrittenError(written.text, column, f"{text!r} is no number.")


def _check_type(written: Written, name: str, type_name: str, numbers: Mapping[str, float]) -> None:
    """Refuse a range of numbers for what the task holds as something else."""
    if type_name in _CONTAINERS:
        reason = f"{name} is of the type {type_name} in the base task: give its values, as in choice(A, B)."
        raise WrittenError(written.text, written.column, reason)
    if written.kind == "uniform" and type_name == "int" and all(isinstance(number, int) for number in numbers.values()):
        low, high = numbers["min"], numbers["max"]
        reason = f"{name} is a whole number in the base task: write int({low}, {high}), or {low}.0 where fractions do."
        raise WrittenError(written.text, written.column, reason)


def _uniform(written: Written, name: str, type_name: str) -> Parameter:
    numbers = _numbers(written, ("min", "max", "step"))
    _check_type(written, name, type_name, numbers)
    return UniformParameterRange(name, numbers["min"], numbers["max"], numbers.get("step"))


def _log_uniform(written: Written, name: str, type_name: str) -> Parameter:
    numbers = _numbers(written, ("min", "max", "base", "step"))
    _check_type(written, name, type_name, numbers)
    return LogUniformParameterRange(name, numbers["min"], numbers["max"], numbers.get("base", 10), numbers.get("step"))


def _whole(written: Written, name: str, type_name: str) -> Parameter:
    numbers: dict[str, Any] = _numbers(written, ("min", "max", "step"))
    _check_type(written, name, type_name, numbers)
    return UniformIntegerParameterRange(name, numbers["min"], numbers["max"], numbers.get("step", 1))


def _choice(written: Written, name: str, type_name: str) -> Parameter:
    return DiscreteParameterRange(name, [_value(written, item, type_name) for item in written.items])


def _value(written: Written, item: Item, type_name: str) -> Any:
    """A value in the type that the task has; where that is not known, what it looks like."""
    if type_name in {"", "NoneType"}:
        return _guessed(item.text) if item.word is None else item.word
    try:
        value = from_text(item.text if item.word is None else item.word, type_name)
    except ValueError as error:
        raise WrittenError(written.text, item.column, f"{item.text} is no {type_name}.") from error
    return list(value) if isinstance(value, (tuple, set)) else value


def _guessed(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for reader in (int, float, json.loads):
        with suppress(ValueError):
            return reader(text)
    return text


_KINDS: Final[dict[str, Callable[[Written, str, str], Parameter]]] = {
    "uniform": _uniform,
    "loguniform": _log_uniform,
    "int": _whole,
    "uniformint": _whole,
    "choice": _choice,
}
