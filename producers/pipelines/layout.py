"""Where the steps of a pipeline stand when it is drawn, however many they are.

Steps stand in columns by how deep they lie below the first ones. A column that is too tall goes on in the next, and
columns that don't fit go on below, as lines of a text do: so 500 steps beside each other, or one after the other, can
be read as well as five. The time it takes grows with the number of steps and edges alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")

TALLEST: Final = 12
"""Steps in a column."""
ACROSS: Final = 8
"""Columns beside each other."""
HALF_WIDTH: Final = 0.42
HALF_HEIGHT: Final = 0.36
_GAP: Final = 0.8
_SMOOTH: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
Parents = Mapping[str, Sequence[str]]
"""The steps by name, each with the names of those it depends on; names that are no step's are left out."""


class Place(NamedTuple):
    """The middle of a step's box: columns from 0 to the right, rows from 0 downwards, in the band that begins at."""

    x: float
    y: float
    top: float


class Layout(NamedTuple):
    """Places of steps by name, and how many columns and rows they take."""

    places: dict[str, Place]
    across: int
    rows: float


def layout(parents: Parents) -> Layout:
    """Return the places of steps."""
    columns = [column for layer in _layers(parents) for column in _columns(layer)]
    places: dict[str, Place] = {}
    top = 0.0
    for band in _cut(columns, ACROSS):
        tallest = max(map(len, band))
        for x, column in enumerate(band):
            first = top + (tallest - len(column)) / 2
            places |= {name: Place(x, first + row, top) for row, name in enumerate(column)}
        top += tallest + _GAP
    return Layout(places, min(len(columns), ACROSS), max(top - _GAP, 0.0))


def way(start: Place, end: Place) -> list[tuple[float, float]]:
    """Return the points of the line from a step to one that depends on it; to a band below it goes between the two."""
    if start.top == end.top and start.x < end.x:
        first, last = start.x + HALF_WIDTH, end.x - HALF_WIDTH
        shares = _SMOOTH if start.y != end.y else (0.0, 1.0)
        rise = end.y - start.y
        return [(first + (last - first) * t, start.y + rise * t * t * (3 - 2 * t)) for t in shares]
    between = end.top - HALF_HEIGHT - _GAP / 2
    below, above = (start.x, start.y + HALF_HEIGHT), (end.x, end.y - HALF_HEIGHT)
    return [below, (start.x, between), (end.x, between), above]


def _layers(parents: Parents) -> Iterator[list[str]]:
    """Steps by depth; within one, each near those it depends on, so that fewer lines cross."""
    by_depth: defaultdict[int, list[str]] = defaultdict(list)
    for name, depth in _depths(parents).items():
        by_depth[depth].append(name)
    shares: dict[str, float] = {}
    for depth in sorted(by_depth):
        layer = sorted(by_depth[depth], key=lambda name: _middle([shares[p] for p in parents[name] if p in shares]))
        yield layer
        shares |= {name: (place + 0.5) / len(layer) for place, name in enumerate(layer)}


def _middle(shares: Sequence[float]) -> float:
    return sum(shares) / len(shares) if shares else 0.5


def _depths(parents: Parents) -> dict[str, int]:
    """How long the longest way to each step is; steps that wait for themselves are taken as first ones."""
    known = {name: [parent for parent in found if parent in parents] for name, found in parents.items()}
    children: defaultdict[str, list[str]] = defaultdict(list)
    for name, found in known.items():
        for parent in found:
            children[parent].append(name)
    left = {name: len(found) for name, found in known.items()}
    depths = dict.fromkeys(known, 0)
    ready = [name for name, count in left.items() if not count]
    for name in ready:
        for child in children[name]:
            depths[child] = max(depths[child], depths[name] + 1)
            left[child] -= 1
            if not left[child]:
                ready.append(child)
    return {name: 0 if left[name] else depth for name, depth in depths.items()}


def _columns(layer: Sequence[str]) -> Iterator[Sequence[str]]:
    """The columns of a layer, about equally tall."""
    count = -(-len(layer) // TALLEST)
    return _cut(layer, -(-len(layer) // count))


def _cut(row: Sequence[T], length: int) -> Iterator[Sequence[T]]:
    return (row[start : start + length] for start in range(0, len(row), length))
