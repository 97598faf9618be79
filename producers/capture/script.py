"""Puts together what another machine needs to run this process's script again: its `Script`."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from ...events.parts import BlobRef, Script
from . import repository as repositories
from .entry import Entry, real
from .git import GitError
from .imports import ImportGraph, is_local, walk
from .repository import Repository

if TYPE_CHECKING:
    from ...events.blobs import BlobStore

INLINE_LIMIT: Final = 256 * 1024
"""Larger diffs and sources go to the blob store, in bytes."""


@dataclass(frozen=True)
class Captured:
    """A `Script` without requirements, the imports of its code, and what does not travel with it, in sentences."""

    script: Script
    imports: ImportGraph
    boundary: Path
    notes: list[str] = field(default_factory=list)


def capture(entry: Entry, blobs: BlobStore, *, use_repository: bool = True, memory: Path | None = None) -> Captured:
    """Find out what `entry` runs. What is large, and files git does not track, go to `blobs`.

    Without a repository, without git and with `use_repository` False the script travels whole, with the modules
    beside it that it imports. `memory` is a folder that remembers which commits are in the blob store already.
    Raises `BlobError` where the store does not take something.
    """
    capturer = _Capturer(entry, blobs, memory)
    found = repositories.find(capturer.place) if use_repository else None
    if found is None:
        return capturer.alone()
    try:
        return capturer.in_repository(found)
    except GitError as error:
        note = f"the repository at {found.root} can't be read ({error.reason}): the script travels alone."
        return dataclasses.replace(capturer.alone(), notes=[note])


@dataclass(frozen=True)
class _Capturer:
    entry: Entry
    blobs: BlobStore
    memory: Path | None

    @property
    def place(self) -> Path:
        """The folder the code lies in: the script's, or where the interpreter was started for all else."""
        file = self.entry.file
        return self.entry.working_dir if file is None or self.entry.module or self.entry.is_installed else file.parent

    def alone(self) -> Captured:
        boundary = self.place
        imports = self._imports(boundary, [boundary])
        whole = self._whole(boundary)
        files = imports.files - {self.entry.file} if whole["source"] else imports.files
        return Captured(Script(**self._plain() | whole | self._packed(boundary, files)), imports, boundary)

    def in_repository(self, found: Repository) -> Captured:
        root = found.root
        imports = self._imports(root, self.entry.roots)
        inside = self.entry.file is not None and is_local(self.entry.file, root)
        parts = [
            self._plain(),
            self._checkout(found),
            self._entry_point(root) if inside else self._whole(root),
            self._diff(found),
            {"bundle": self._bundle(found)},
            self._packed(root, repositories.untracked(found, imports.files)),
        ]
        script = Script(**{name: value for part in parts for name, value in part.items()})
        return Captured(script, imports, root, _notes(found))

    def _plain(self) -> dict[str, Any]:
        entry = self.entry
        version = "{}.{}.{}".format(*sys.version_info)
        point = f"-m {entry.module}" if entry.module else entry.name
        return {"entry_point": point, "arguments": entry.arguments, "python_version": version}

    def _imports(self, boundary: Path, roots: Iterable[Path]) -> ImportGraph:
        """Follow the imports of the script, and of the user's own modules that are loaded already, whoever did it."""
        loaded = ((name, real(file)) for name, file in self.entry.loaded.items())
        rooted = [(file, root) for name, file in loaded if is_local(file, boundary) and (root := _root(name, file))]
        search = list(roots)
        if search != [boundary]:
            search += [root for _, root in rooted]
        files = [file for file, root in rooted if root in search]
        script = self.entry.file
        return walk([*files, *([script] if script else [])], search, boundary, self._foreign_source(boundary))

    def _foreign_source(self, boundary: Path) -> str:
        """The text of an entry that is no file below `boundary`."""
        file = self.entry.file
        if file is None:
            return self.entry.source
        return "" if is_local(file, boundary) else _text(file.read_bytes()) or ""

    def _whole(self, boundary: Path) -> dict[str, Any]:
        """The lone script itself; empty for a module (whose files travel as such) and for what is no short text."""
        entry = self.entry
        if entry.module:
            return {"source": ""}
        name = entry.name if entry.file is None or is_local(entry.file, boundary) else f"{entry.file.stem}_entry.py"
        return {
            "source": entry.source if entry.file is None else _text(entry.file.read_bytes()) or "",
            "entry_point": name,
        }

    def _checkout(self, found: Repository) -> dict[str, Any]:
        return {
            "repository": found.url if found.commit else "",
            "branch": found.branch,
            "commit": found.commit,
            "working_dir": self._folder(found.root).relative_to(found.root).as_posix(),
        }

    def _entry_point(self, root: Path) -> dict[str, Any]:
        if self.entry.module or self.entry.file is None:
            return {}
        return {"entry_point": Path(os.path.relpath(self.entry.file, self._folder(root))).as_posix()}

    def _folder(self, root: Path) -> Path:
        """Where in the repository the script was started; its root for one started from outside."""
        return self.entry.working_dir if self.entry.working_dir.is_relative_to(root) else root

    def _diff(self, found: Repository) -> dict[str, Any]:
        with tempfile.NamedTemporaryFile(suffix=".diff") as file:
            repositories.write_diff(found, file)
            text = _short_text(file)
            if text is not None:
                return {"diff": text}
            return {"diff_blob": self.blobs.put_file(Path(file.name), "text/x-diff", "changes.diff")}

    def _bundle(self, found: Repository) -> BlobRef | None:
        """The commits that the remote does not have; stored once per commit."""
        if not found.commit or repositories.is_published(found):
            return None
        note = self.memory / f"{found.commit}-{found.remote.replace('/', '_') or 'whole'}.json" if self.memory else None
        known = self._known(note)
        if known is None:
            known = self._store_bundle(found)
            _remember(note, known)
        return known

    def _store_bundle(self, found: Repository) -> BlobRef:
        folder = Path(
            tempfile.mkdtemp()
        )  # a TemporaryDirectory goes when the interpreter ends: before this thread does
        try:
            target = folder / f"{found.commit[:12]}.bundle"
            repositories.write_bundle(found, target)
            return self.blobs.put_file(target, "application/x-git-bundle")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _known(self, note: Path | None) -> BlobRef | None:
        """The bundle an earlier run of this commit has stored, if the blob store still holds it."""
        if note is None or not note.is_file():
            return None
        known = BlobRef.model_validate_json(note.read_bytes())
        return known if known.uri.startswith(_address(self.blobs.url)) and self.blobs.exists(known) else None

    def _packed(self, root: Path, files: Iterable[Path]) -> dict[str, Any]:
        if not (listed := list(files)):
            return {"untracked": None}
        from .tree import pack  # noqa: PLC0415  tarfile and gzip, for those who have such files

        return {"untracked": self.blobs.put_bytes(pack(root, listed), "application/gzip", "untracked.tar.gz")}


def _address(url: str) -> str:
    """Beginning of the references into the blob store at `url`."""
    return url if "://" in url else Path(url).as_uri()


def _remember(note: Path | None, stored: BlobRef) -> None:
    if note is not None:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(stored.model_dump_json(), encoding="utf-8")


def _notes(found: Repository) -> list[str]:
    unpublished = repositories.unpublished_submodules(found)
    return [
        f"submodule {path!r} is at a commit that no remote has: push it, or no agent finds it." for path in unpublished
    ]


def _root(name: str, file: Path) -> Path | None:
    """The folder of `sys.path` from which `file` is the module `name`; None where the two don't agree."""
    place = file.parent if file.stem == "__init__" else file.with_name(file.name.partition(".")[0])
    parts = name.split(".")
    return place.parents[len(parts) - 1] if list(place.parts[-len(parts) :]) == parts else None


def _short_text(file: IO[bytes]) -> str | None:
    file.seek(0)
    return _text(file.read(INLINE_LIMIT + 1))


def _text(content: bytes) -> str | None:
    """The text these bytes are, exactly; None where they are none or too many."""
    try:
        return content.decode() if len(content) <= INLINE_LIMIT else None
    except UnicodeDecodeError:
        return None
