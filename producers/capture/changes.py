"""Applies a captured diff to a checkout exactly, submodules included."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ...events.errors import TasktapeError
from .git import EXACT, NETWORK_TIMEOUT, GitError, git
from .repository import declared_submodules

_PREFIXED: Final = re.compile(rb'"?[a-z]/.* "?[a-z]/')


class DiffConflictError(TasktapeError):
    """The uncommitted changes don't fit the commit."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"the task's diff does not apply in {folder}: {reason}. Edit the task's diff, or clear it.")
        self.folder = folder
        self.reason = reason


def apply_changes(root: Path, diff: Path) -> None:
    """Apply what `diff` (an absolute path) says of the repository itself. Raises `DiffConflictError`."""
    _apply(root, diff, "--include=.gitmodules")
    of_submodules = (f"--exclude={pattern}" for path in declared_submodules(root) for pattern in _patterns(path))
    _apply(root, diff, "--exclude=.gitmodules", *of_submodules)


def update_submodules(root: Path, diff: Path | None, env: Mapping[str, str]) -> None:
    """Check submodules out at the commits that checkout and diff name, then apply the changes made inside them.

    A submodule's new commit is applied to the index, where `git submodule update` reads it.
    Raises `DiffConflictError` and `GitError`.
    """
    modules = [_patterns(path) for path in declared_submodules(root)]
    if modules and diff:
        _apply(root, diff, "--cached", *(f"--include={link}" for link, _ in modules))
    if modules:
        update = ("submodule", "--quiet", "update", "--init", "--recursive")
        git(root, *EXACT, *update, env=env, timeout=NETWORK_TIMEOUT)
    if modules and diff:
        _apply(root, diff, *(f"--include={inside}" for _, inside in modules))


def _patterns(path: str) -> tuple[str, str]:
    """Patterns of `git apply` for a submodule's own entry and for all that lies in it."""
    literal = re.sub(r"([*?\[\\])", r"\\\1", path)
    return literal, f"{literal}/*"


def _apply(root: Path, diff: Path, *options: str) -> None:
    try:
        git(root, *EXACT, "apply", "--whitespace=nowarn", f"-p{_prefixes(diff)}", *options, str(diff))
    except GitError as error:
        raise DiffConflictError(root, error.reason) from None


def _prefixes(diff: Path) -> int:
    """How many folders its paths begin with that are none: one (`a/` and `b/`, or others), or none with `noprefix`."""
    with diff.open("rb") as lines:
        names = next((line[11:].strip() for line in lines if line.startswith(b"diff --git ")), b"a/ b/")
    half = len(names) // 2
    return 0 if names[:half] == names[half + 1 :] or not _PREFIXED.match(names) else 1
