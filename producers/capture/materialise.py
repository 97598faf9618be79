"""The way back: lays a captured `Script` out in a folder, so that an agent runs exactly what the user ran.

Repositories come through a bare mirror per address, which processes of one machine share, and are checked out as its
worktrees at the exact commit; a bundle adds the commits its remote lacks, then come the diff and the files git does not
track. Submodules are recorded in the configuration of their repository, which worktrees share: a commit that has some
is checked out in a repository of its own, which borrows the mirror's objects.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...events.blobs import fetch_blob
from ...events.errors import TasktapeError
from ...events.parts import Script
from .changes import apply_changes, update_submodules
from .git import EXACT, NETWORK_TIMEOUT, ask, git
from .git_access import GitAccess
from .mirror import Mirror, resolved


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


class OutsideError(TasktapeError):
    """A script would be written outside the folder it is laid out in."""

    def __init__(self, script: Script) -> None:
        place = f"{script.working_dir}/{script.entry_point}"
        super().__init__(f"the script would be written to {place!r}, outside its folder. Correct it with `set_script`.")


@dataclass(frozen=True)
class Checkout:
    """Code ready to run: start it in `working_dir` as `python <entry_point>`, where that may be `-m module`.

    `mirror` is the repository that `root` is a worktree of: `forget_removed` it once `root` is gone.
    """

    root: Path
    working_dir: Path
    entry_point: str
    commit: str = ""
    mirror: Path | None = None


def materialise(script: Script, target: Path, *, mirrors: Path, access: GitAccess | None = None) -> Checkout:
    """Lay `script` out in `target`, an empty or new folder; `mirrors` holds a bare repository for each address.

    Raises `NothingToRunError`, `CommitNotFoundError`, `DiffConflictError`, `OutsideError`, `GitError` where git or its
    remote fails, and `BlobError` where the blob store does.
    """
    if not (script.repository or script.source or script.untracked or _has_history(script)):
        raise NothingToRunError
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, (access or GitAccess()).opened() as env:
        layout = _Layout(script, target, Path(scratch), env)
        commit, mirror = layout.check_out(mirrors)
        layout.change()
    return _entry(script, target, commit, mirror)


def _has_history(script: Script) -> bool:
    """Whether git is needed though there is no repository to clone."""
    return bool(script.bundle or script.diff or script.diff_blob)


def _entry(script: Script, target: Path, commit: str, mirror: Path | None) -> Checkout:
    working_dir = target / (script.working_dir or ".")
    written = working_dir / script.entry_point if script.source else working_dir
    if not written.resolve().is_relative_to(target.resolve()):
        raise OutsideError(script)
    working_dir.mkdir(parents=True, exist_ok=True)
    if script.source:
        written.write_bytes(script.source.encode())
    return Checkout(target, working_dir, script.entry_point, commit, mirror)


class _Layout:
    """One script on its way into `target`; what it brings from the blob store lies in `scratch` meanwhile."""

    def __init__(self, script: Script, target: Path, scratch: Path, env: Mapping[str, str]) -> None:
        self._script = script
        self._target = target
        self._scratch = scratch
        self._env = env
        self._diff = self._fetched_diff()

    def check_out(self, mirrors: Path) -> tuple[str, Path | None]:
        """Bring the target to the script's commit; returns that, and the mirror it is a worktree of, where it is."""
        if self._script.repository:
            return self._from_mirror(Mirror(self._script.repository, mirrors, self._env))
        return (self._from_bundle() if _has_history(self._script) else ""), None

    def change(self) -> None:
        """Add what was not committed."""
        if self._diff:
            apply_changes(self._target, self._diff)
        update_submodules(self._target, self._diff, self._env)
        if self._script.untracked:
            from .tree import unpack  # noqa: PLC0415  tarfile and gzip, for tasks that have such files

            unpack(fetch_blob(self._script.untracked, self._scratch / "untracked.tar.gz"), self._target)

    def _fetched_diff(self) -> Path | None:
        """The script's diff as a file; None where it has none."""
        file = self._scratch / "changes.diff"
        if self._script.diff_blob:
            return fetch_blob(self._script.diff_blob, file)
        if not self._script.diff:
            return None
        file.write_bytes(self._script.diff.encode())
        return file

    def _fetched_bundle(self) -> Path | None:
        bundle = self._script.bundle
        return fetch_blob(bundle, self._scratch / "commits.bundle") if bundle else None

    def _from_mirror(self, mirror: Mirror) -> tuple[str, Path | None]:
        wanted = self._script.commit
        commit = mirror.commit(wanted) if wanted else mirror.newest(self._script.branch)
        if wanted and not commit and (bundle := self._fetched_bundle()):
            mirror.add(bundle)
            commit = resolved(mirror.folder, wanted)
        if not commit:
            raise CommitNotFoundError(self._script.repository, wanted or self._script.branch or "HEAD")
        if self._has_submodules(mirror.folder, commit):
            mirror.lend(self._target)
            self._check_out_here(commit)
            return commit, None
        mirror.lay_out(commit, self._target)
        return commit, mirror.folder

    def _from_bundle(self) -> str:
        git(self._target, "init", "--quiet")
        if bundle := self._fetched_bundle():
            git(self._target, "fetch", "--quiet", "--no-tags", str(bundle), "HEAD")
        wanted = self._script.commit
        commit = resolved(self._target, wanted) if wanted else ""
        if commit:
            self._check_out_here(commit)
        elif wanted:
            raise CommitNotFoundError(self._script.repository, wanted)
        return commit

    def _check_out_here(self, commit: str) -> None:
        checkout = ("checkout", "--quiet", "--force", "--detach", commit)
        git(self._target, *EXACT, *checkout, env=self._env, timeout=NETWORK_TIMEOUT)

    def _has_submodules(self, mirror: Path, commit: str) -> bool:
        """Whether the commit, or the diff, has any: where the diff only mentions their file that is no harm."""
        brings_some = self._diff is not None and b".gitmodules" in self._diff.read_bytes()
        return brings_some or bool(ask(mirror, "ls-tree", "--name-only", commit, "--", ".gitmodules"))
