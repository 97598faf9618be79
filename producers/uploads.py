"""Blobs on their way to a store that is slow or away: kept in files beside the spool, brought there by a thread.

A blob's reference depends on nothing but its content, so the event that names it need not wait. A store in a folder
gets its blobs at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..events.blobs import open_blob_store
from ..events.errors import BlobError
from .warn import forget, warn_once

if TYPE_CHECKING:
    from ..events.parts import BlobRef
    from .images import Payload

FOLDER: Final = "uploads"
_PAUSES: Final = (1.0, 5.0, 15.0, 60.0)


class Uploads:
    """Takes payloads for blob stores. `folder` gives where to keep them, None where there is no such place."""

    def __init__(self, folder: Callable[[], Path | None]) -> None:
        self._folder = folder
        self._lock = threading.RLock()  # taken by itself, as in `Journal`
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._waiting = False
        self._failures = 0
        self._stopped = False

    def put(self, store_url: str, payload: Payload) -> BlobRef:
        """Store a payload, now or later, and return its reference. Raises `BlobError` where it can't even be kept."""
        store = open_blob_store(store_url)
        if not store_url.startswith("s3://"):
            with contextlib.suppress(BlobError):
                return store.put_bytes(payload.data, payload.content_type, payload.name)
        digest = hashlib.sha256(payload.data).hexdigest()
        ref = store.ref(digest, len(payload.data), payload.content_type, payload.name)
        self._keep(store_url, payload, digest)
        self._wake()
        return ref

    def _keep(self, store_url: str, payload: Payload, digest: str) -> None:
        """Write the payload, then its note: a payload without a note was never promised to anybody."""
        folder = self._folder()
        note = {"store": store_url, "content_type": payload.content_type, "name": payload.name}
        try:
            if folder is None:
                raise BlobError(f"{payload.name}: neither {store_url} nor the spool can be written")
            kept = folder / FOLDER
            kept.mkdir(mode=0o700, exist_ok=True)
            (kept / f"{digest}.blob").write_bytes(payload.data)
            (kept / f"{digest}.new").write_text(json.dumps(note), encoding="utf-8")
            (kept / f"{digest}.new").rename(kept / f"{digest}.json")
        except OSError as error:
            raise BlobError(f"{payload.name} can't be kept in {folder}: {error}") from error

    def _wake(self) -> None:
        with self._lock:
            self._waiting = True
            if self._thread is None and not self._stopped:
                thread = threading.Thread(target=self._run, name="tasktape-uploads", daemon=True)
                with contextlib.suppress(RuntimeError):  # the interpreter is going down: others will do it
                    thread.start()
                    self._thread = thread
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._stopped:
            with self._lock:
                self._changed.wait_for(lambda: self._waiting or self._stopped)
                self._waiting = False
            try:
                self._upload_all()
            except Exception as error:  # noqa: BLE001  the payloads are kept: they are tried again, whatever it was
                warn_once("uploads", f"{error} What was to be stored is kept here and tried again.")
                with self._lock:
                    self._waiting = True
                    self._failures += 1
                    pause = _PAUSES[min(self._failures, len(_PAUSES)) - 1]
                    self._changed.wait_for(lambda: self._stopped, pause)

    def _upload_all(self) -> None:
        if (folder := self._folder()) is not None:
            upload_all(folder, lambda: self._stopped)
        self._failures = 0
        forget("uploads")
        with self._lock:
            self._changed.notify_all()

    def finish(self, timeout: float) -> bool:
        """Wait for what is on its way, unless the store is away, and stop; whether nothing is left."""
        deadline = time.monotonic() + timeout
        with self._lock:
            while self._is_left() and self._thread is not None and not self._failures:
                left = deadline - time.monotonic()
                if left <= 0 or (not self._changed.wait(min(left, 1.0)) and time.monotonic() >= deadline):
                    break
            self._stopped = True
            self._changed.notify_all()
        return not self._is_left()

    def _is_left(self) -> bool:
        return self._thread is not None and (folder := self._folder()) is not None and is_left(folder)


def is_left(folder: Path) -> bool:
    """Whether payloads wait in this spool folder."""
    return any((folder / FOLDER).glob("*.json"))


def upload_all(folder: Path, stop: Callable[[], bool]) -> None:
    """Bring the payloads in a spool folder to their stores. Raises `BlobError` where a store does not take them."""
    for path in sorted((folder / FOLDER).glob("*.json")):
        if stop():
            return
        note = json.loads(path.read_text(encoding="utf-8"))
        content = path.with_suffix(".blob")
        open_blob_store(note["store"]).put_file(content, note["content_type"], note["name"])
        path.unlink()
        content.unlink()
