"""A bare repository per address and machine that every checkout is made from, by all processes at once.

It holds the branches and tags of its remote, and whatever single commits and bundles were asked for. Nothing in it is
ever collected: a checkout needs its commit for as long as it lives.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .git import EXACT, NETWORK_TIMEOUT, GitError, ask, git


class Mirror:
    """The mirror of one address below `mirrors`; `env` are the variables with which git may open it."""

    def __init__(self, url: str, mirrors: Path, env: Mapping[str, str]) -> None:
        self.url = url
        self.folder = mirrors / _name(url)
        self._env = env

    def commit(self, name: str) -> str:
        """The commit of this name in full, from the remote if need be; empty where that does not have it either.

        Raises `GitError` where the remote does not answer and the mirror alone is not enough.
        """
        with self._locked():
            if self.folder.exists() and (known := resolved(self.folder, name)):
                return known
            self._fetch_all()
            if known := resolved(self.folder, name):
                return known
            with suppress(GitError):  # many servers have what no branch leads to; a bundle may bring it otherwise
                self._fetch(self.folder, name)
            return resolved(self.folder, name)

    def newest(self, branch: str) -> str:
        """The commit that a branch or tag of the remote is at now; its default branch where none is named.

        Empty where there is none of that name. Raises `GitError` where the remote does not answer.
        """
        with self._locked():
            if not self.folder.exists():
                self._fetch_all()
            names = self._ask_remote(branch)
            if not names:
                return ""
            self._fetch(self.folder, names[0])
            return resolved(self.folder, "FETCH_HEAD")

    def add(self, bundle: Path) -> None:
        """Take in the commits of a bundle, which may build on those the remote has."""
        with self._locked():
            git(self.folder, "fetch", "--quiet", "--no-tags", str(bundle), "HEAD")

    def lay_out(self, commit: str, target: Path) -> None:
        """Check a commit out in `target`, new or empty, as a worktree. `forget_removed` tidies up once it is gone."""
        options = ("--quiet", "--force", "--detach")
        add = ("worktree", "add", *options, "--", str(target), commit)
        git(self.folder, *EXACT, *add, env=self._env, timeout=NETWORK_TIMEOUT)

    def lend(self, target: Path) -> None:
        """Make `target` a repository of its own that sees the mirror's commits."""
        git(target, "init", "--quiet")
        objects = f"{self.folder / 'objects'}\n"
        (target / ".git/objects/info/alternates").write_text(objects, encoding="utf-8")
        git(target, "remote", "add", "origin", self.url)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with self.folder.with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _fetch_all(self) -> None:
        """Fetch branches and tags; a new mirror is there whole or not at all."""
        if self.folder.exists():
            self._fetch(self.folder)
            return
        incoming = self.folder.with_suffix(".incoming")
        shutil.rmtree(incoming, ignore_errors=True)
        git(self.folder.parent, "init", "--quiet", "--bare", "--", str(incoming))
        git(incoming, "config", "gc.auto", "0")
        git(incoming, "remote", "add", "origin", self.url)
        self._fetch(incoming)
        incoming.rename(self.folder)

    def _fetch(self, folder: Path, *names: str) -> None:
        fetch = ("fetch", "--quiet", "--force", "--tags", "--", "origin", *names)
        git(folder, *fetch, env=self._env, timeout=NETWORK_TIMEOUT)

    def _ask_remote(self, branch: str) -> list[str]:
        """Full names the remote has for a branch or tag, branches first."""
        wanted = [f"refs/heads/{branch}", f"refs/tags/{branch}"] if branch else ["HEAD"]
        answer = git(self.folder, "ls-remote", "--", "origin", *wanted, env=self._env, timeout=NETWORK_TIMEOUT)
        return [line.partition("\t")[2] for line in answer.decode(errors="surrogateescape").splitlines()]


def resolved(folder: Path, name: str) -> str:
    """The full hash of a commit that the repository holds, else nothing."""
    return ask(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")


def forget_removed(mirror: Path) -> None:
    """Tidy up after worktrees that are gone, those of processes that died too."""
    with suppress(GitError):
        git(mirror, "worktree", "prune", "--expire=now")


def _name(url: str) -> str:
    """A folder name for people to recognise, and a hash for machines."""
    readable = "".join(c if c.isalnum() else "-" for c in url.rstrip("/").removesuffix(".git").rpartition("/")[2])
    return f"{readable[:40]}-{hashlib.sha256(url.encode()).hexdigest()[:16]}.git"
