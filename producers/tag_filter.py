"""ClearML's lists of tags as a condition: plain tags are joined by *or*, `-tag` excludes, `__$all` and the like group.

An operator holds for the tags that follow it, up to the next one; `__$not` for the next tag alone. Groups are joined by
*and*. `["__$all", "a", "b", "__$or", "d", "__$not", "e"]` means a and b and (d or not e).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

_ALL: Final = frozenset({"__$all", "__$and"})
_ANY: Final = frozenset({"__$any", "__$or"})
_NOT: Final = "__$not"


@dataclass
class _Group:
    """Tags with a flag: whether they are excluded."""

    every: bool
    terms: list[tuple[str, bool]] = field(default_factory=list)

    def matches(self, tags: Collection[str]) -> bool:
        """Whether a task with these tags is meant. Plain groups exclude whatever has an excluded tag."""
        if self.every:
            return all((tag in tags) is not excluded for tag, excluded in self.terms)
        return any((tag in tags) is not excluded for tag, excluded in self.terms)


@dataclass
class TagFilter:
    """A list of tags, understood."""

    groups: list[_Group]

    def matches(self, tags: Collection[str]) -> bool:
        """Whether a task with these tags is meant."""
        return all(group.matches(tags) for group in self.groups)


def tag_filter(listed: Iterable[str | None]) -> TagFilter:
    """Understand a list of tags. Without any operator, an excluded tag excludes even where another tag is wanted."""
    tags = [tag for tag in listed if tag]
    if not any(tag in _ALL | _ANY for tag in tags):
        terms = list(_terms(tags))
        wanted = [term for term in terms if not term[1]]
        groups = [_Group(every=False, terms=wanted), _Group(every=True, terms=[term for term in terms if term[1]])]
    else:
        groups = list(_groups(tags))
    return TagFilter([group for group in groups if group.terms])


def _groups(tags: Iterable[str]) -> Iterator[_Group]:
    group = _Group(every=False)
    pending: list[str] = []
    for tag in tags:
        if tag in _ALL | _ANY:
            group.terms = list(_terms(pending))
            yield group
            group, pending = _Group(every=tag in _ALL), []
        else:
            pending.append(tag)
    group.terms = list(_terms(pending))
    yield group


def _terms(tags: Iterable[str]) -> Iterator[tuple[str, bool]]:
    excluded = False
    for tag in tags:
        if tag == _NOT:
            excluded = True
        else:
            yield tag.removeprefix("-"), excluded or tag.startswith("-")
            excluded = False
