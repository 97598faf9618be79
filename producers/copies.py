"""Local copies of what artifacts and models refer to: verified where it has a hash, cached by content or by URL."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from ..events.blobs import fetch_blob
from ..events.errors import TasktapeError
from ..events.parts import BlobRef
from .outputs import outputs_of
from .session import process
from .storage import cache_of
from .storage_places import StorageError, local_path, name_of, place_of, scheme_of
from .upload_spool import copy_in

_CONTEXT = "outputs"


def local_copy(ref: BlobRef, *, extract: bool, fresh: bool = False) -> Path:
    """Path of a local copy of what a reference names; of the folder with its contents where `extract` unpacks it.

    What has no hash was never uploaded, only noted where it lies: a local file then is its own copy.
    Raises `TasktapeError` where it can't be had, or is not what it should be.
    """
    if not ref.sha256 and scheme_of(ref.uri) in {"", "file"}:
        path = local_path(ref.uri)
        if not path.exists():
            raise StorageError(f"{path} is not there")
        return path
    cache = cache_of(_CONTEXT)
    key, fill = (ref.sha256, partial(_fetch, ref)) if ref.sha256 else (ref.uri, partial(_download, ref.uri))
    path = cache.file(key, name_of(ref.uri), fill, is_good=partial(_is_whole, ref), fresh=fresh)
    return cache.unpacked(path) if extract else path


def _fetch(ref: BlobRef, target: Path) -> None:
    """Fetch a blob; one that has not reached its destination yet comes from the upload spool."""
    waiting = outputs_of(process.session).uploader.content_of(ref.uri) if process.session else None
    try:
        fetch_blob(ref, target)
    except TasktapeError:
        if waiting is None or copy_in(waiting, target) != (ref.sha256, ref.size):
            raise


def _download(url: str, target: Path) -> None:
    place_of(url).download(url, target)


def _is_whole(ref: BlobRef, path: Path) -> bool:
    """Whether nobody has changed a copy since it was made; unknown, so yes, where there is no hash."""
    if not ref.sha256:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == ref.sha256
