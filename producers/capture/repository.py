"""What a git repository holds of the code that runs: remote, branch, commit, uncommitted changes, unpublished commits.

The diff is against HEAD, staged or not, and says the same whatever the user has configured: binary files, renames and
modes included, fixed prefixes, no colours, no external tools. Without a commit it is against the empty tree.
Changes inside submodules follow those of the repository itself, with their paths seen from its root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from .git import GitError, ask, git, paths, without_credentials

_DIFF: Final = (
    "diff",
    "--binary",
    "--full-index",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--find-renames",
    "--unified=3",
    "--inter-hunk-context=0",
    "--diff-algorithm=myers",
    "--submodule=short",
    "--ignore-submodules=dirty",
    "-O/dev/null",
)
_KNOWN_ADDRESS: Final = re.compile(r"(https?|ssh|git|git\+ssh|file|s3)://|[\w.-]+@[\w.-]+:")


@dataclass(frozen=True)
class Repository:
    """A working tree: `url` without credentials, empty where there is no remote; `commit` is empty before the first."""

    root: Path
    url: str
    branch: str
    commit: str
    remote: str


def find(folder: Path) -> Repository | None:
    """The repository whose working tree holds `folder`; None where there is none, or no git to ask."""
    root = ask(folder, "rev-parse", "--show-toplevel")
    return read(Path(root)) if root else None


def read(root: Path) -> Repository:
    """Describe the repository whose working tree starts at `root`."""
    branch = ask(root, "symbolic-ref", "--quiet", "--short", "HEAD")
    remote = _remote(root, branch)
    return Repository(
        root=root,
        url=_url(root, remote) if remote else "",
        branch=branch,
        commit=ask(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"),
        remote=remote,
    )


def _remote(root: Path, branch: str) -> str:
    """The remote the branch follows, else `origin`, else the first."""
    known = ask(root, "remote").split("\n")
    followed = ask(root, "config", "--get", f"branch.{branch}.remote") if branch else ""
    return next((name for name in (followed, "origin", known[0]) if name and name in known), "")


def _url(root: Path, remote: str) -> str:
    """Address others can use: as it stands, since its rewriting is this user's own, unless it is an abbreviation."""
    raw = ask(root, "config", "--get", f"remote.{remote}.url")
    url = raw if _KNOWN_ADDRESS.match(raw) else ask(root, "remote", "get-url", remote)
    local = Path(os.path.normpath(root / Path(url).expanduser()))
    return str(local) if not _KNOWN_ADDRESS.match(url) and local.exists() else without_credentials(url)


def write_diff(repository: Repository, target: IO[bytes]) -> None:
    """Write all uncommitted changes of tracked files. Raises `GitError`."""
    base = repository.commit or _empty_tree(repository.root)
    _write_diff(repository.root, base, "", target)
    for path in submodules(repository.root):
        _write_diff(repository.root / path, "HEAD", path + "/", target)


def _write_diff(root: Path, base: str, prefix: str, target: IO[bytes]) -> None:
    target.flush()
    git(root, *_DIFF, f"--src-prefix=a/{prefix}", f"--dst-prefix=b/{prefix}", base, "--", stdout=target)


def _empty_tree(root: Path) -> str:
    return ask(root, "hash-object", "-t", "tree", "/dev/null")


def submodules(root: Path, below: str = "") -> Iterator[str]:
    """Paths of the submodules that are checked out, nested ones too, seen from the outermost root."""
    for path in declared_submodules(root):
        if (root / path / ".git").exists():
            yield below + path
            yield from submodules(root / path, f"{below}{path}/")


def declared_submodules(root: Path) -> list[str]:
    """Paths that `.gitmodules` names."""
    if not (root / ".gitmodules").is_file():
        return []
    try:
        answer = git(root, "config", "-z", "-f", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$")
    except GitError:
        return []
    return [entry.partition("\n")[2] for entry in paths(answer)]


def untracked(repository: Repository, files: Iterable[Path]) -> list[Path]:
    """Those of `files` that the commit and the diff don't hold, in order. Raises `GitError`."""
    tracked = set(paths(git(repository.root, "ls-files", "-z", "--cached", "--recurse-submodules")))
    return sorted(file for file in files if file.relative_to(repository.root).as_posix() not in tracked)


def is_published(repository: Repository) -> bool:
    """Whether the commit can be had from the remote, as far as this clone knows."""
    return bool(repository.remote) and not ask(repository.root, "rev-list", "--max-count=1", *_unpublished(repository))


def write_bundle(repository: Repository, target: Path) -> None:
    """Write the commits the remote lacks as a git bundle; all of them where there is no remote. Raises `GitError`."""
    git(repository.root, "bundle", "create", str(target), *_unpublished(repository))


def _unpublished(repository: Repository) -> list[str]:
    return ["HEAD", "--not", f"--remotes={repository.remote}"] if repository.remote else ["HEAD"]


def unpublished_submodules(repository: Repository) -> list[str]:
    """Submodules whose commit no remote of theirs has: others can't check them out."""
    found = ((path, read(repository.root / path)) for path in submodules(repository.root))
    return [path for path, submodule in found if not is_published(submodule)]
