"""Content that waits for its destination: each in a folder of its own, with a note that says where to and what then.

`{home}/uploads/<log>/<session>/<number>/` holds `content` and `note.json`. The note comes last: what has none is not
whole. The folders' owners are those of `spool_folder`: what a dead process left is taken over by the next one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..events.base import Event, Part, uuid7
from ..events.blobs import CHUNK, HashingWriter, replacing
from ..events.catalogue import EVENT_TYPES
from ..events.parts import BlobRef
from .spool_folder import SpoolFolder, left_behind, roots, spool_folders

if TYPE_CHECKING:
    from ..events.settings import Settings

UPLOADS: Final = "uploads"
CONTENT: Final = "content"
NOTE: Final = "note.json"


class Note(Part):
    """What is to be done with content: where it goes, the event to say then, and the files that may go afterwards.

    Uploads with one `key` are done in the order they were asked for.
    """

    key: str
    destination: str
    name: str
    ref: BlobRef
    event_type: str
    event: str
    delete: list[str]


class Waiting:
    """One content that waits, in a folder that this process owns."""

    def __init__(self, folder: Path, owner: SpoolFolder, note: Note) -> None:
        self.folder = folder
        self.owner = owner
        self.note = note

    @property
    def content(self) -> Path:
        """The file to upload."""
        return self.folder / CONTENT

    @property
    def event(self) -> Event:
        """The event to say when it is uploaded."""
        return EVENT_TYPES[self.note.event_type].model_validate_json(self.note.event)

    def say_instead(self, event: Event) -> None:
        """Say another event when it is uploaded."""
        self.note = self.note.model_copy(update={"event": event.model_dump_json()})
        self.write_note()

    def write_note(self) -> None:
        """Make the upload certain: from here on it survives this process."""
        with replacing(self.folder / NOTE) as file:
            file.write(self.note.model_dump_json().encode())
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        """Forget it, since it is done."""
        shutil.rmtree(self.folder, ignore_errors=True)


class UploadSpool:
    """The folder of one process's waiting uploads, made when it is first needed. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._roots = roots(settings, UPLOADS)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._folder: SpoolFolder | None = None

    def new_folder(self) -> tuple[Path, SpoolFolder]:
        """Make a folder for one upload. Raises `OSError` where neither the home nor the temporary folder takes it."""
        with self._lock:
            if self._folder is None:
                self._folder = _first_possible(self._roots)
            path = self._folder.path / f"{next(self._numbers):06}"
            path.mkdir(mode=0o700)
            return path, self._folder

    def owns(self, folder: SpoolFolder) -> bool:
        """Whether the folder is this spool's own, not a dead process's."""
        return folder is self._folder

    def tidy(self) -> None:
        """Remove the folder where nothing waits in it; the next upload makes another."""
        with self._lock:
            if self._folder is not None and not _upload_folders(self._folder):
                self._folder.remove()
                self._folder = None

    def close(self) -> None:
        """Leave what waits to the next process; the folder goes where nothing waits."""
        with self._lock:
            if self._folder is not None:
                leave(self._folder)
            self._folder = None


def _first_possible(possible: tuple[Path, ...]) -> SpoolFolder:
    *others, last = possible
    for root in others:
        with contextlib.suppress(OSError):
            return SpoolFolder.create(root, uuid7())
    return SpoolFolder.create(last, uuid7())


def leave(folder: SpoolFolder) -> None:
    """Give up a folder: removed where nothing waits in it, else for whoever comes next."""
    if _upload_folders(folder):
        folder.release()
    else:
        folder.remove()


def copy_in(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file to where it survives this process; returns SHA-256 and size of what was copied."""
    with source.open("rb") as original, target.open("xb") as copy:
        hashed = HashingWriter(copy)
        shutil.copyfileobj(original, hashed, CHUNK)
        copy.flush()
        os.fsync(copy.fileno())
    return hashed.hexdigest(), hashed.size


def left_uploads(settings: Settings) -> list[Waiting]:
    """Take over what dead processes left, oldest first."""
    return [waiting for root in roots(settings, UPLOADS) for owner in left_behind(root) for waiting in _take(owner)]


def has_left_uploads(settings: Settings) -> bool:
    """Whether there is any folder of uploads, without looking whose."""
    return any(spool_folders(root) for root in roots(settings, UPLOADS))


def _take(owner: SpoolFolder) -> list[Waiting]:
    found = [Waiting(path, owner, note) for path in _upload_folders(owner) if (note := _note(path))]
    if not found:
        owner.remove()
    return found


def _note(path: Path) -> Note | None:
    try:
        return Note.model_validate_json((path / NOTE).read_bytes())
    except (OSError, ValueError):  # its process was killed before the content was whole
        return None


def _upload_folders(owner: SpoolFolder) -> list[Path]:
    return sorted(path for path in owner.path.iterdir() if path.is_dir())
