"""Blob store: large payloads by their SHA-256, in a folder or under an S3 prefix. Events hold references to them."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Final, cast
from urllib.parse import unquote, urlsplit

from .errors import BlobError
from .parts import BlobRef

CHUNK: Final = 1 << 20
UNKNOWN_TYPE: Final = "application/octet-stream"
_NAME_LENGTH: Final = 100
_IN_MEMORY: Final = 8 << 20


class BlobStore(ABC):
    """Stores what it is given under `SHA-256/name` and hands it back verified; content is never overwritten.

    References are absolute: whoever can reach the place can open them with `fetch_blob`, whatever its own settings.
    Every method raises `BlobError` where the place can't be reached or does not hold what it should. Any number of
    threads and processes may use one place at once.
    """

    url: str

    def put_file(self, path: Path, content_type: str = "", name: str = "") -> BlobRef:
        """Store a file; `name` is the last part of its address (default: the file's own name)."""
        try:
            with Path(path).open("rb") as source:
                return self._put(source, content_type, name or Path(path).name)
        except OSError as error:
            raise BlobError(f"{path} can't be stored in {self.url}: {error}") from error

    def put_bytes(self, data: bytes, content_type: str = "", name: str = "") -> BlobRef:
        """Store bytes."""
        try:
            return self._put(io.BytesIO(data), content_type, name)
        except OSError as error:
            raise BlobError(f"{len(data)} bytes can't be stored in {self.url}: {error}") from error

    def open(self, ref: BlobRef) -> BinaryIO:
        """Open a blob for reading; all of it has been verified. The caller closes it."""
        verified = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY))  # noqa: SIM115  the caller closes it
        try:
            self._fetch_into(ref, verified)
        except BaseException:
            verified.close()
            raise
        verified.seek(0)
        return verified

    def fetch(self, ref: BlobRef, target: Path) -> Path:
        """Write a blob to the file `target`, whole and verified or not at all; returns `target`."""
        try:
            with replacing(target) as file:
                self._fetch_into(ref, file)
        except OSError as error:
            raise BlobError(f"{ref.uri} can't be written to {target}: {error}") from error
        return target

    def _fetch_into(self, ref: BlobRef, target: IO[bytes]) -> None:
        hashed = HashingWriter(target)
        self._read(ref.uri, hashed)
        if (hashed.size, hashed.hexdigest()) != (ref.size, ref.sha256):
            raise BlobError(f"{ref.uri} is damaged: {hashed.size} bytes of other content, expected {ref.size}")

    @abstractmethod
    def ref(self, sha256: str, size: int, content_type: str = "", name: str = "") -> BlobRef:
        """Return the reference that content with this hash gets here, whether or not it is stored yet."""

    @abstractmethod
    def exists(self, ref: BlobRef) -> bool:
        """Return whether the blob is there."""

    @abstractmethod
    def delete(self, ref: BlobRef) -> None:
        """Remove the blob; one that is not there is no error."""

    @abstractmethod
    def _put(self, source: BinaryIO, content_type: str, name: str) -> BlobRef:
        """Store all of `source`."""

    @abstractmethod
    def _read(self, uri: str, target: HashingWriter) -> None:
        """Copy what lies at `uri`."""


class HashingWriter:
    """Writes through to a file and hashes what passes."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Write all of `data`."""
        self._hash.update(data)
        self.size += len(data)
        return self._target.write(data)

    def hexdigest(self) -> str:
        """SHA-256 of all that was written."""
        return self._hash.hexdigest()


class FolderStore(BlobStore):
    """A folder, on this machine or shared by several. Files have mode 0600, folders 0700."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.url = str(root)

    def _put(self, source: BinaryIO, content_type: str, name: str) -> BlobRef:
        make_private_folder(self._root)
        handle, temporary = tempfile.mkstemp(dir=self._root, prefix=".incoming-")
        try:
            with os.fdopen(handle, "wb") as file:
                hashed = HashingWriter(file)
                shutil.copyfileobj(source, hashed, CHUNK)
                file.flush()
                os.fsync(file.fileno())
            ref = self.ref(hashed.hexdigest(), hashed.size, content_type, name)
            path = path_of(ref.uri)
            make_private_folder(path.parent)
            Path(temporary).replace(path)
            sync_folder(path.parent)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return ref

    def ref(self, sha256: str, size: int, content_type: str = "", name: str = "") -> BlobRef:
        """Return the reference that content with this hash gets here, whether or not it is stored yet."""
        uri = (self._root / address(sha256, name)).as_uri()
        return BlobRef(uri=uri, size=size, sha256=sha256, content_type=content_type or UNKNOWN_TYPE)

    def _read(self, uri: str, target: HashingWriter) -> None:
        try:
            with path_of(uri).open("rb") as source:
                shutil.copyfileobj(source, target, CHUNK)
        except OSError as error:
            raise BlobError(f"{uri} can't be read: {error}") from error

    def exists(self, ref: BlobRef) -> bool:
        """Return whether the file is there."""
        return path_of(ref.uri).is_file()

    def delete(self, ref: BlobRef) -> None:
        """Remove the file; one that is not there is no error."""
        path = path_of(ref.uri)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise BlobError(f"{ref.uri} can't be deleted: {error}") from error


def open_blob_store(url: str) -> BlobStore:
    """Open the store at a folder, a `file://` URL or `s3://bucket/prefix`. Raises `BlobError` for any other."""
    scheme, separator, _ = url.partition("://")
    if not separator:
        return FolderStore(Path(url).expanduser().absolute())
    if scheme == "file":
        return FolderStore(path_of(url))
    if scheme == "s3":
        from .blobs_s3 import S3Store  # noqa: PLC0415  imported only where used

        return S3Store.at(url)
    raise BlobError(f"{url!r} is no place for blobs: use a folder or s3://bucket/prefix.")


def fetch_blob(ref: BlobRef, target: Path) -> Path:
    """Write the blob a reference names to the file `target`, verified; wherever it was stored."""
    return open_blob_store(ref.uri).fetch(ref, target)


def address(sha256: str, name: str) -> str:
    """Place of a blob within its store: by its content, ending in a name that people and programs recognise."""
    return f"{sha256[:2]}/{sha256}/{safe_name(name)}"


def safe_name(name: str) -> str:
    """A file name every store takes: letters, digits and `.-_+=@`, at most 100 characters, its suffix kept."""
    clean = re.sub(r"[^A-Za-z0-9._+=@-]", "_", name).lstrip(".") or "blob"
    stem, dot, suffix = clean.rpartition(".")
    return clean if len(clean) <= _NAME_LENGTH else f"{stem[: _NAME_LENGTH - 20]}{dot}{suffix[-19:]}"


def path_of(uri: str) -> Path:
    """Path of a `file://` URI."""
    return Path(unquote(urlsplit(uri).path))


def make_private_folder(path: Path) -> None:
    """Create a folder and its missing parents, for this user alone (0700)."""
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)


def sync_folder(path: Path) -> None:
    """Make a folder's entries survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `target` (mode 0600) when the block ends well, and vanishes when it does not."""
    make_private_folder(target.parent)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".incoming-")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)
