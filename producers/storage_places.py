"""Places a URL can name: the local file system, S3 and HTTP, each with the same few operations."""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from ..events.blobs import CHUNK, path_of, replacing
from ..events.blobs_s3 import blob_errors, s3_client, split_s3
from ..events.errors import BlobError, TasktapeError

if TYPE_CHECKING:
    from http.client import HTTPResponse

_T = TypeVar("_T")
HTTP_TIMEOUT: Final = 30.0
_MISSING: Final = {404, 410}
_ELSEWHERE: Final = {
    "gs": "Google Cloud Storage answers as S3 too: set AWS_ENDPOINT_URL=https://storage.googleapis.com and use s3://",
    "azure": "Azure Blob Storage is not supported: mount the container and use its folder",
}


class StorageError(TasktapeError, ValueError):
    """A file can't be read from or written to the place its URL names."""


class Found(NamedTuple):
    """A file below a URL: its path relative to there (to the bucket on S3), and its size in bytes."""

    name: str
    size: int


class Place(ABC):
    """Files behind URLs of one scheme. Methods raise `StorageError` where the place does not do what was asked."""

    @abstractmethod
    def size(self, url: str) -> int | None:
        """Return a file's size in bytes, None where there is no such file."""

    @abstractmethod
    def download(self, url: str, target: Path) -> None:
        """Copy a file to `target`, whole or not at all."""

    @abstractmethod
    def upload(self, source: Path, url: str) -> None:
        """Copy `source` to where `url` says."""

    @abstractmethod
    def below(self, url: str) -> Iterator[Found]:
        """Yield all files whose URL begins with `url`."""

    @abstractmethod
    def delete(self, url: str) -> None:
        """Remove a file; one that is not there is no error."""


class LocalPlace(Place):
    """Paths and `file://` URLs."""

    def size(self, url: str) -> int | None:
        """Return a file's size in bytes, None where there is no such file."""
        path = local_path(url)
        return path.stat().st_size if path.is_file() else None

    def download(self, url: str, target: Path) -> None:
        """Copy a file to `target`, whole or not at all."""
        with storage_errors(url), local_path(url).open("rb") as source, replacing(target) as copy:
            shutil.copyfileobj(source, copy, CHUNK)

    def upload(self, source: Path, url: str) -> None:
        """Copy `source`; folders that are missing are made."""
        target = local_path(url)
        with storage_errors(url):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def below(self, url: str) -> Iterator[Found]:
        """Yield all files within a folder."""
        root = local_path(url)
        for folder, _, names in os.walk(root):
            for path in (Path(folder, name) for name in sorted(names)):
                yield Found(path.relative_to(root).as_posix(), path.stat().st_size)

    def delete(self, url: str) -> None:
        """Remove a file; one that is not there is no error."""
        with storage_errors(url):
            local_path(url).unlink(missing_ok=True)


class S3Place(Place):
    """Objects at `s3://bucket/key`."""

    def size(self, url: str) -> int | None:
        """Return an object's size in bytes, None where there is none."""
        bucket, key = split_s3(url)
        with storage_errors(url), blob_errors(url):
            listed = s3_client().list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        return next((found["Size"] for found in listed.get("Contents", []) if found["Key"] == key), None)

    def download(self, url: str, target: Path) -> None:
        """Copy an object to `target`, whole or not at all."""
        bucket, key = split_s3(url)
        with storage_errors(url), blob_errors(url), replacing(target) as copy:
            s3_client().download_fileobj(bucket, key, copy)

    def upload(self, source: Path, url: str) -> None:
        """Copy `source` to the object, in parts where it is large."""
        bucket, key = split_s3(url)
        with storage_errors(url), blob_errors(url):
            s3_client().upload_file(str(source), bucket, key)

    def below(self, url: str) -> Iterator[Found]:
        """Yield all objects whose key begins as the URL's does, by their whole key."""
        bucket, prefix = split_s3(url)
        with storage_errors(url), blob_errors(url):
            for page in s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                yield from (Found(found["Key"], found["Size"]) for found in page.get("Contents", []))

    def delete(self, url: str) -> None:
        """Remove an object; one that is not there is no error."""
        bucket, key = split_s3(url)
        with storage_errors(url), blob_errors(url):
            s3_client().delete_object(Bucket=bucket, Key=key)


class HttpPlace(Place):
    """Files a web server gives with GET and, where it allows that, takes with PUT and DELETE."""

    def size(self, url: str) -> int | None:
        """Return what the server says of a file's size, 0 where it does not say; None where there is no such file."""
        headers = self._ask(url, "HEAD", lambda response: response.headers)
        return None if headers is None else int(headers.get("Content-Length") or 0)

    def download(self, url: str, target: Path) -> None:
        """Copy a file to `target`, whole or not at all."""

        def save(response: HTTPResponse) -> bool:
            with replacing(target) as copy:
                shutil.copyfileobj(response, copy, CHUNK)
            return True

        if self._ask(url, "GET", save) is None:
            raise StorageError(f"{url} is not there")

    def upload(self, source: Path, url: str) -> None:
        """Send `source` with PUT."""
        with storage_errors(url), source.open("rb") as body:
            self._ask(url, "PUT", lambda _: True, body, {"Content-Length": str(source.stat().st_size)})

    def below(self, url: str) -> Iterator[Found]:
        """Raise `StorageError`: web servers have no lists."""
        raise StorageError(f"{url}: files on a web server can't be listed")

    def delete(self, url: str) -> None:
        """Remove a file with DELETE."""
        self._ask(url, "DELETE", lambda _: True)

    def _ask(
        self,
        url: str,
        method: str,
        use: Callable[[HTTPResponse], _T],
        body: IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> _T | None:
        """Send a request and use its answer; None where the server does not know the URL."""
        import urllib.error  # noqa: PLC0415  heavy
        import urllib.request  # noqa: PLC0415  heavy
        from http.client import HTTPException  # noqa: PLC0415  heavy

        request = urllib.request.Request(url, body, dict(headers or {}), method=method)  # noqa: S310  http or https
        try:
            with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT) as response:  # noqa: S310  the same
                return use(response)
        except urllib.error.HTTPError as error:
            with error:
                if error.code in _MISSING:
                    return None
                raise StorageError(f"{url}: {error}") from error
        except (OSError, HTTPException) as error:
            raise StorageError(f"{url}: {error}") from error


_PLACES: Final[dict[str, Place]] = {
    "": LocalPlace(),
    "file": LocalPlace(),
    "s3": S3Place(),
    "http": HttpPlace(),
    "https": HttpPlace(),
}


def place_of(url: str) -> Place:
    """The place behind a URL or path. Raises `StorageError` that says what to do for schemes without support."""
    scheme = scheme_of(url)
    if scheme in _PLACES:
        return _PLACES[scheme]
    known = "use a folder, file://, s3://, http:// or https://"
    raise StorageError(f"{url}: {_ELSEWHERE.get(scheme, f'{scheme}:// is not supported: {known}')}.")


def scheme_of(url: str) -> str:
    """Scheme of a URL, empty for a path."""
    return urlsplit(url).scheme if "://" in url else ""


def local_path(url: str) -> Path:
    """Path of a path or `file://` URL."""
    return path_of(url) if scheme_of(url) == "file" else Path(url).expanduser()


def name_of(url: str) -> str:
    """The file name a URL ends in."""
    if not scheme_of(url):
        return Path(url).name
    return unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn what the system, the network or boto3 raises into a `StorageError` about `url`."""
    try:
        yield
    except (OSError, BlobError) as error:
        raise StorageError(f"{url}: {error}") from error
