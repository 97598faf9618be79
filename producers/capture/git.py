"""Runs git so that neither the user's configuration, locale and hooks nor a missing terminal change what it says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Final
from urllib.parse import urlsplit, urlunsplit

from ...events.errors import TasktapeError

TIMEOUT: Final = 300.0
"""Seconds one local git command may take."""
NETWORK_TIMEOUT: Final = 3600.0
"""Seconds a clone, a fetch or a checkout with its filters may take."""
EXACT: Final = ("-c", "core.autocrlf=false", "-c", "core.safecrlf=false", "-c", "core.symlinks=true")
"""Options with which what is checked out and applied is what was captured, byte for byte."""

_STEADY: Final = (
    "--no-pager",
    "--literal-pathspecs",
    "-c", "safe.directory=*",
    "-c", "core.quotePath=false",
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "advice.detachedHead=false",
    "-c", "protocol.file.allow=always",
)  # fmt: skip
_REPOSITORY_VARIABLES: Final = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_DIFF_OPTS",
    "GIT_EXTERNAL_DIFF",
)


class GitError(TasktapeError):
    """A git command failed."""

    def __init__(self, folder: Path, command: str, reason: str) -> None:
        super().__init__(f"git {command} failed in {folder}: {reason}")
        self.folder = folder
        self.command = command
        self.reason = reason


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment git runs in: this process's, without what would point it at another repository."""
    clean = {name: value for name, value in os.environ.items() if name not in _REPOSITORY_VARIABLES}
    return clean | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"} | dict(extra or {})


def git(
    folder: Path,
    *arguments: str,
    stdin: bytes | None = None,
    stdout: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> bytes:
    """Run one git command in `folder` and return what it wrote (nothing where `stdout` is a file to write to).

    Raises `GitError` where there is no git, where it fails, and where it takes longer than `timeout` seconds.
    """
    try:
        done = subprocess.run(
            ["git", *_STEADY, *arguments],
            cwd=folder,
            env=environment(env),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise GitError(folder, arguments[0], _last_words(error.stderr)) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GitError(folder, arguments[0], str(error)) from None
    return done.stdout or b""


def _last_words(stderr: bytes) -> str:
    """What git said at the end, in at most a few lines and without credentials."""
    lines = stderr.decode(errors="replace").strip().splitlines()[-4:]
    return " / ".join(" ".join(map(without_credentials, line.split())) for line in lines) or "no message"


def ask(folder: Path, *arguments: str) -> str:
    """Like `git`, for a one-line answer; empty where git fails."""
    try:
        return os.fsdecode(git(folder, *arguments)).strip("\n")
    except GitError:
        return ""


def paths(answer: bytes) -> list[str]:
    """File names of an answer made with `-z`."""
    return [os.fsdecode(name) for name in answer.split(b"\0") if name]


def pathspecs(names: Iterable[str]) -> bytes:
    """File names as `--pathspec-from-file=- --pathspec-file-nul` takes them."""
    return b"\0".join(os.fsencode(name) for name in names)


def without_credentials(url: str) -> str:
    """The URL without password or token; the user of an ssh address stays, since it is part of the address."""
    parts = urlsplit(url) if "://" in url else None
    if parts is None or "@" not in parts.netloc:
        return url
    user, _, host = parts.netloc.rpartition("@")
    keep = user.partition(":")[0] + "@" if "ssh" in parts.scheme else ""
    return urlunsplit(parts._replace(netloc=keep + host))
