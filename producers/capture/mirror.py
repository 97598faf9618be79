"""Bare clones that every checkout is made from, one per address and machine; and credentials to get them with."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from .git import NETWORK_TIMEOUT, GitError, ask, git

_HELPER = '!f() { echo "username=$TASKTAPE_GIT_USER"; echo "password=$TASKTAPE_GIT_PASSWORD"; }; f'


@dataclass(frozen=True)
class Credentials:
    """User and password or token for http remotes. They are handed to git in its environment, for one host alone."""

    user: str
    password: str = field(repr=False)

    def environment(self, url: str) -> dict[str, str]:
        """Variables that make git use them for the host of `url`; none for an address that is not http."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"}:
            return {}
        given = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
        return {
            "TASKTAPE_GIT_USER": self.user,
            "TASKTAPE_GIT_PASSWORD": self.password,
            "GIT_CONFIG_COUNT": str(given + 1),
            f"GIT_CONFIG_KEY_{given}": f"credential.{parts.scheme}://{parts.netloc.rpartition('@')[2]}.helper",
            f"GIT_CONFIG_VALUE_{given}": _HELPER,
        }


def refreshed_mirror(url: str, commit: str, mirrors: Path, env: Mapping[str, str]) -> Path:
    """The mirror of `url`, which has `commit` if the remote does; a branch's head (no commit) is always asked for anew.

    Raises `GitError` where the remote does not answer and the mirror alone is not enough.
    """
    mirror = mirrors / _name(url)
    mirrors.mkdir(parents=True, exist_ok=True)
    with _lock(mirror.with_suffix(".lock")):
        if not mirror.exists():
            _clone(url, mirror, env)
        elif not (commit and has_commit(mirror, commit)):
            git(mirror, "fetch", "--quiet", "--tags", "origin", env=env, timeout=NETWORK_TIMEOUT)
        if commit and not has_commit(mirror, commit):
            _fetch_commit(mirror, commit, env)
    return mirror


def has_commit(folder: Path, commit: str) -> bool:
    """Whether the repository holds the commit."""
    return bool(ask(folder, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"))


def _clone(url: str, mirror: Path, env: Mapping[str, str]) -> None:
    incoming = mirror.with_suffix(".incoming")
    shutil.rmtree(incoming, ignore_errors=True)
    git(mirror.parent, "clone", "--quiet", "--mirror", "--", url, str(incoming), env=env, timeout=NETWORK_TIMEOUT)
    git(incoming, "config", "gc.auto", "0")
    incoming.rename(mirror)


def _fetch_commit(mirror: Path, commit: str, env: Mapping[str, str]) -> None:
    """Ask for a commit that no branch leads to; many servers have it still, and a bundle may bring it otherwise."""
    try:
        git(mirror, "fetch", "--quiet", "origin", commit, env=env, timeout=NETWORK_TIMEOUT)
    except GitError:
        return


def _name(url: str) -> str:
    """A folder name for people to recognise, and a hash for machines."""
    readable = "".join(c if c.isalnum() else "-" for c in url.rstrip("/").removesuffix(".git").rpartition("/")[2])
    return f"{readable[:40]}-{hashlib.sha256(url.encode()).hexdigest()[:16]}.git"


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
