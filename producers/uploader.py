"""The way of artifacts and models to where they are kept: at once into a folder, in the background to anywhere else.

When `send` returns the content is safe: at its destination, or in the upload spool, which outlives this process. The
event that names it is said once it is at its destination. While that does not answer, uploads are tried again, by this
process, by the next one on this machine, by agents and by `tasktape sync`.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..events.base import Event, Meta, Stamper
from ..events.blobs import BlobStore, FolderStore, open_blob_store
from ..events.errors import BlobError, TasktapeError
from ..events.parts import BlobRef
from .outbox import Outbox
from .upload_chains import Chains
from .upload_spool import (
    CONTENT,
    Note,
    UploadSpool,
    Waiting,
    copy_in,
    has_left_uploads,
    leave,
    left_uploads,
)
from .warn import LOGGER, forget, warn_once

if TYPE_CHECKING:
    from ..events.settings import Settings
    from .spool_folder import SpoolFolder

THREADS: Final = 4
_UNREACHABLE: Final = "upload_waits"
_LEAST_PATIENCE: Final = 30.0
_SLOWEST: Final = 1e6
EventOf = Callable[[BlobRef, Meta], Event]
"""Makes the event to say once content is where its reference says."""


@dataclass(frozen=True)
class Content:
    """A file to upload: one that exists (`source`), or one that `write` makes at the path it is given.

    `name` is its file name at the destination; the files in `delete` go when it is there.
    """

    name: str
    content_type: str = ""
    source: Path | None = None
    write: Callable[[Path], object] | None = None
    delete: tuple[Path, ...] = ()


class Uploader:
    """Uploads for one process. Thread-safe; its threads are daemons and never keep a process from ending.

    `stamp` and `emit` are those of the process's session.
    """

    def __init__(self, settings: Settings, stamp: Callable[[], Meta], emit: Callable[[Event], None]) -> None:
        self._settings = settings
        self._stamp = stamp
        self._emit = emit
        self._spool = UploadSpool(settings)
        self._chains = Chains()
        self._threads: list[threading.Thread] = []

    def adopt(self) -> int:
        """Take over what dead processes left; returns how many uploads that are."""
        uploads = left_uploads(self._settings)
        self._enqueue(uploads)
        return len(uploads)

    def send(self, content: Content, destination: str, key: str, event_of: EventOf) -> tuple[BlobRef, Waiting | None]:
        """Bring content on its way to the blob store at `destination`; safe when this returns.

        Returns its reference there, and what waits where it is not there yet. What `write` raises comes through.
        Raises `BlobError` where neither the destination nor the upload spool takes it.
        """
        store = open_blob_store(destination)
        is_direct = isinstance(store, FolderStore) and key not in self._chains
        if is_direct and content.source is not None and (ref := self._store_now(store, content, event_of)):
            return ref, None
        try:
            waiting = self._keep(content, store, key, event_of)
        except OSError as error:
            return self._store_unkept(store, content, event_of, error), None
        if is_direct and self._try(waiting):
            return waiting.note.ref, None
        self._enqueue([waiting])
        return waiting.note.ref, waiting

    def say_instead(self, waiting: Waiting, event: Event) -> bool:
        """Say another event when the upload is done; False where it is done already."""
        with self._chains.lock:
            if not waiting.folder.exists():
                return False
            waiting.say_instead(event)
            return True

    def content_of(self, uri: str) -> Path | None:
        """The file that waits to become the blob at `uri`."""
        return next((waiting.content for waiting in self._chains if waiting.note.ref.uri == uri), None)

    def patience(self) -> float:
        """Seconds within which what waits should be uploaded: half a minute, and one more for each megabyte."""
        return _LEAST_PATIENCE + sum(waiting.note.ref.size for waiting in self._chains) / _SLOWEST

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all is uploaded, or nothing more can be done now since destinations do not answer.

        Returns whether all is uploaded.
        """
        done = self._chains.wait(timeout)
        self._spool.tidy()
        return done

    def close(self, timeout: float) -> int:
        """Wait as `wait` does, then leave what is not uploaded to others; returns how many that are."""
        self.wait(timeout)
        left = self._chains.close()
        if left:
            LOGGER.warning(
                "%d uploads wait in %s: the next task or agent on this machine, or `tasktape sync`, brings them on.",
                len(left),
                left[0].owner.path,
                extra={"action": "uploads_left"},
            )
        for owner in {waiting.owner.path: waiting.owner for waiting in left}.values():
            self._let_go(owner)
        self._spool.close()
        return len(left)

    def _store_now(self, store: BlobStore, content: Content, event_of: EventOf) -> BlobRef | None:
        """Store a file at once; None where that does not work now."""
        try:
            return self._store(store, content, event_of)
        except BlobError:
            return None

    def _store_unkept(self, store: BlobStore, content: Content, event_of: EventOf, error: OSError) -> BlobRef:
        """Upload a file while the caller waits, since there is no room to keep a copy of it."""
        if content.source is None:
            raise BlobError(f"{content.name} can't be kept until it is uploaded: {error}") from error
        return self._store(store, content, event_of)

    def _store(self, store: BlobStore, content: Content, event_of: EventOf) -> BlobRef:
        assert content.source is not None  # noqa: S101  both callers have looked
        ref = store.put_file(content.source, content.content_type, content.name)
        self._emit(event_of(ref, self._stamp()))
        _delete(content.delete)
        return ref

    def _keep(self, content: Content, store: BlobStore, key: str, event_of: EventOf) -> Waiting:
        """Put content into the upload spool, with all that is needed to finish without this process."""
        folder, owner = self._spool.new_folder()
        try:
            sha256, size = _fill(folder, content)
            ref = store.ref(sha256, size, content.content_type, content.name)
            event = event_of(ref, self._stamp())
            note = Note(
                key=key,
                destination=store.url,
                name=content.name,
                ref=ref,
                event_type=type(event).__name__,
                event=event.model_dump_json(),
                delete=[str(path) for path in content.delete],
            )
            waiting = Waiting(folder, owner, note)
            waiting.write_note()
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return waiting

    def _enqueue(self, uploads: Iterable[Waiting]) -> None:
        with self._chains.lock:
            self._chains.add(uploads)
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            for _ in range(min(THREADS, len(self._chains)) - len(self._threads)):
                thread = threading.Thread(target=self._work, name="tasktape-uploader", daemon=True)
                with contextlib.suppress(RuntimeError):  # the interpreter is going down: others bring it on
                    thread.start()
                    self._threads.append(thread)

    def _work(self) -> None:
        while (chain := self._chains.take()) is not None:
            waiting = chain.uploads[0]
            if self._try(waiting):
                self._forget_owner(waiting)
                self._chains.done(chain)
            else:
                self._chains.failed(chain)

    def _try(self, waiting: Waiting) -> bool:
        """Upload one content and say its event; whether that worked."""
        try:
            self._upload(waiting)
        except (TasktapeError, OSError) as error:
            warn_once(_UNREACHABLE, f"an upload waits and is tried again: {error}")
            return False
        forget(_UNREACHABLE)
        return True

    def _upload(self, waiting: Waiting) -> None:
        note = waiting.note
        ref = open_blob_store(note.destination).put_file(waiting.content, note.ref.content_type, note.name)
        if ref != note.ref:
            raise BlobError(f"{waiting.content} was changed while it waited: it is not uploaded as {note.ref.uri}")
        with self._chains.lock:
            event = waiting.event
            meta = self._stamp().model_copy(update={"event_id": event.meta.event_id})
            self._emit(event.model_copy(update={"meta": meta}))
            waiting.remove()
        _delete(Path(name) for name in note.delete)

    def _forget_owner(self, done: Waiting) -> None:
        """Remove a dead process's folder once nothing else of it waits."""
        if all(waiting is done or waiting.owner is not done.owner for waiting in self._chains):
            self._let_go(done.owner)

    def _let_go(self, owner: SpoolFolder) -> None:
        if not self._spool.owns(owner):
            leave(owner)


@dataclass(frozen=True)
class UploadReport:
    """How many uploads were brought to their destinations, and how many still wait."""

    uploaded: int
    waiting: int

    def __str__(self) -> str:
        return f"{self.uploaded} uploads brought on, {self.waiting} still wait."


def recover_uploads(settings: Settings) -> UploadReport:
    """Try once to bring on what dead processes left; what does not go stays. For agents and `tasktape sync`."""
    if not has_left_uploads(settings):
        return UploadReport(0, 0)
    stamp = Stamper()
    outbox = Outbox(settings, stamp)
    uploader = Uploader(settings, stamp, outbox.emit)
    adopted = uploader.adopt()
    uploader.wait()
    waiting = uploader.close(0)
    outbox.close()
    return UploadReport(adopted - waiting, waiting)


def _fill(folder: Path, content: Content) -> tuple[str, int]:
    """Bring content into its folder; returns SHA-256 and size."""
    path = folder / CONTENT
    if content.source is not None:
        return copy_in(content.source, path)
    assert content.write is not None  # noqa: S101  a content has one of both
    content.write(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            LOGGER.warning(
                "%s was uploaded, but could not be deleted: %s", path, error, extra={"action": "upload_not_deleted"}
            )
