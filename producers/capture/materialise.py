"""The way back: lays a captured `Script` out in a folder, so that an agent runs exactly what the user ran.

Repositories come through a bare mirror per address, which processes of one machine share, and are checked out at the
exact commit; a bundle adds the commits its remote lacks, then come the diff and the files git does not track.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...events.blobs import fetch_blob
from ...events.errors import TasktapeError
from ...events.parts import BlobRef, Script
from .changes import apply_changes, update_submodules
from .git import EXACT, NETWORK_TIMEOUT, ask, git
from .mirror import Credentials, refreshed_mirror
from .tree import unpack


class NothingToRunError(TasktapeError):
    """A task names neither code nor a place to get it from."""

    def __init__(self) -> None:
        super().__init__(
            "this task has no script: it was made in an interactive shell or without one. Set it with `set_script`, "
            "or create the task from a file.",
        )


class CommitNotFoundError(TasktapeError):
    """The commit is neither on the remote nor in the task's bundle."""

    def __init__(self, repository: str, commit: str) -> None:
        super().__init__(
            f"commit {commit} is not in {repository}: was it rewritten there? Push it again, or reset the task."
        )
        self.repository = repository
        self.commit = commit


@dataclass(frozen=True)
class Checkout:
    """Code ready to run: start it in `working_dir` as `python <entry_point>`, where that may be `-m module`."""

    root: Path
    working_dir: Path
    entry_point: str
    commit: str = ""


def materialise(script: Script, target: Path, *, mirrors: Path, credentials: Credentials | None = None) -> Checkout:
    """Lay `script` out in `target`, an empty or new folder; `mirrors` holds one bare clone per repository address.

    Raises `NothingToRunError`, `CommitNotFoundError`, `DiffConflictError`, `GitError` where git or its remote fails,
    and `BlobError` where the blob store does.
    """
    if not (script.repository or script.source or script.untracked or _has_history(script)):
        raise NothingToRunError
    target.mkdir(parents=True, exist_ok=True)
    env = credentials.environment(script.repository) if credentials else {}
    commit = _check_out(script, target, mirrors, env)
    with tempfile.TemporaryDirectory() as scratch:
        if diff := _diff(script, Path(scratch)):
            apply_changes(target, diff)
        update_submodules(target, diff, env)
        if script.untracked:
            unpack(fetch_blob(script.untracked, Path(scratch) / "untracked.tar.gz"), target)
    return _entry(script, target, commit)


def _has_history(script: Script) -> bool:
    """Whether git is needed though there is no repository to clone."""
    return bool(script.bundle or script.diff or script.diff_blob)


def _entry(script: Script, target: Path, commit: str) -> Checkout:
    working_dir = target / (script.working_dir or ".")
    working_dir.mkdir(parents=True, exist_ok=True)
    if script.source:
        (working_dir / script.entry_point).write_bytes(script.source.encode())
    return Checkout(target, working_dir, script.entry_point, commit)


def _diff(script: Script, folder: Path) -> Path | None:
    """The script's diff as a file in `folder`; None where it has none."""
    file = folder / "changes.diff"
    if script.diff_blob:
        return fetch_blob(script.diff_blob, file)
    if not script.diff:
        return None
    file.write_bytes(script.diff.encode())
    return file


def _check_out(script: Script, target: Path, mirrors: Path, env: Mapping[str, str]) -> str:
    """Bring `target` to the script's commit; returns that, or nothing where there is no commit to start from."""
    if script.repository:
        mirror = refreshed_mirror(script.repository, script.commit, mirrors, env)
        git(target, "clone", "--quiet", "--no-checkout", str(mirror), ".")
        git(target, "config", "remote.origin.url", script.repository)
    elif _has_history(script):
        git(target, "init", "--quiet")
    else:
        return ""
    if script.bundle:
        _fetch_bundle(script.bundle, target)
    return _check_out_commit(script, target, env)


def _fetch_bundle(bundle: BlobRef, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = fetch_blob(bundle, Path(folder) / "commits.bundle")
        git(target, "fetch", "--quiet", "--no-tags", str(file), "HEAD")


def _check_out_commit(script: Script, target: Path, env: Mapping[str, str]) -> str:
    branch = script.branch or "HEAD"
    wanted = [script.commit] if script.commit else [f"origin/{branch}", branch] if script.repository else []
    commit = next(
        filter(None, (ask(target, "rev-parse", "--verify", "--quiet", f"{n}^{{commit}}") for n in wanted)), ""
    )
    if commit:
        git(target, *EXACT, "checkout", "--quiet", "--force", "--detach", commit, env=env, timeout=NETWORK_TIMEOUT)
    elif wanted:
        raise CommitNotFoundError(script.repository, script.commit or branch)
    return commit
