"""`StorageManager`: files in folders, on S3 and on web servers, through one set of calls and with a local cache."""

from __future__ import annotations

import fnmatch
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from ..events.blobs import make_private_folder
from ..events.errors import TasktapeError
from .archives import is_archive
from .cache import DEFAULT_LIMIT, Cache
from .session import process
from .storage_places import StorageError, local_path, name_of, place_of, scheme_of
from .warn import LOGGER

if TYPE_CHECKING:
    from ..events.settings import Settings

_T = TypeVar("_T")
GLOBAL: Final = "global"
_RETRIES: Final = 3
_PAUSE: Final = 0.5
_limits: dict[str, int] = {}


def cache_of(context: str | None = None) -> Cache:
    """The cache of a context, below the home; below the machine's temporary folder where the home can't be written."""
    name = context or GLOBAL
    settings = process.session.settings if process.session else _settings()
    return Cache(_writable(settings.home / "cache") / name, _limits.get(name, DEFAULT_LIMIT))


def _settings() -> Settings:
    from ..events.settings import load_settings  # noqa: PLC0415  heavy

    return load_settings()


def _writable(folder: Path) -> Path:
    try:
        make_private_folder(folder)
    except OSError:
        return Path(tempfile.gettempdir()) / f"tasktape-{os.getuid()}" / "cache"
    return folder if os.access(folder, os.W_OK) else Path(tempfile.gettempdir()) / f"tasktape-{os.getuid()}" / "cache"


class StorageManager:
    """Copies files from and to folders, `file://`, `s3://`, `http://` and `https://`.

    Reading returns None and logs a warning where a file can't be had; writing raises `StorageError`.
    """

    @classmethod
    def get_local_copy(
        cls,
        remote_url: str,
        cache_context: str | None = None,
        extract_archive: bool = True,
        name: str | None = None,
        force_download: bool = False,
    ) -> str | None:
        """Return a local path of a file: its own where it is local, else of a copy in the cache.

        Args:
            remote_url: A path or URL.
            cache_context: Name of the cache (default `global`).
            extract_archive: Unpack `.zip`, `.tgz` and `.tar.gz` and return the folder.
            name: File name of the copy (default: that of the URL).
            force_download: Fetch it again even if a copy is there.

        """
        copy = partial(_local_copy, remote_url, cache_of(cache_context), name, force_download, extract_archive)
        return _warned(lambda: str(copy()))

    @classmethod
    def upload_file(
        cls, local_file: str, remote_url: str, wait_for_upload: bool = True, retries: int | None = None
    ) -> str:
        """Copy a local file to a URL (file name included) and return the URL.

        Without `wait_for_upload` it goes in the background; the interpreter waits for it before it ends.

        Raises:
            StorageError: It did not go, `retries` times (default 3); in the background that is logged.

        """
        upload = partial(_upload, Path(local_file).expanduser(), str(remote_url), retries or _RETRIES)
        if wait_for_upload:
            upload()
        else:
            threading.Thread(target=_warned, args=(upload,), name="tasktape-upload").start()
        return str(remote_url)

    @classmethod
    def upload_folder(
        cls, local_folder: str, remote_url: str, match_wildcard: str | None = None, retries: int | None = None
    ) -> str | None:
        """Copy a folder's files, or those whose name matches, to below a URL.

        Returns the URL, or None where one did not go.
        """
        root = Path(local_folder).expanduser()
        if not root.is_dir():
            LOGGER.warning("%s is no folder: nothing was uploaded", root, extra={"action": "storage_no_folder"})
            return None
        files = [path for path in sorted(root.rglob(match_wildcard or "*")) if path.is_file()]
        target = str(remote_url).rstrip("/")
        uploads = (
            partial(_upload, path, f"{target}/{path.relative_to(root).as_posix()}", retries or _RETRIES)
            for path in files
        )
        return remote_url if all(_in_parallel(uploads)) else None

    @classmethod
    def download_file(
        cls,
        remote_url: str,
        local_folder: str | None = None,
        overwrite: bool = False,
        skip_zero_size_check: bool = False,
        silence_errors: bool = False,
    ) -> str | None:
        """Copy a file into a folder (default: the cache), below its path on the remote side.

        `s3://bucket/sub/file.ext` becomes `local_folder/sub/file.ext`. A file that is there stays unless `overwrite`.
        Returns its path, or None where it can't be had or is empty and `skip_zero_size_check` is not set.
        """
        below = local_path(remote_url) if scheme_of(remote_url) in {"", "file"} else Path(urlsplit(remote_url).path)
        target = _folder(local_folder) / str(below).lstrip("/")
        download = partial(_download, remote_url, target, overwrite=overwrite, may_be_empty=skip_zero_size_check)
        return _warned(lambda: str(download()), silent=silence_errors)

    @classmethod
    def download_folder(
        cls,
        remote_url: str,
        local_folder: str | None = None,
        match_wildcard: str | None = None,
        overwrite: bool = False,
        skip_zero_size_check: bool = False,
        silence_errors: bool = False,
        max_workers: int | None = None,
    ) -> str | None:
        """Copy all files below a URL, or those whose URL matches, into a folder (default: the cache).

        Their paths there are the ones `list` gives. Returns the folder, or None where one did not come.
        """
        folder = _folder(local_folder)
        names = cls.list(remote_url)
        wanted = [n for n in names or [] if fnmatch.fnmatch(_full(remote_url, n), match_wildcard or "*")]
        if not wanted:
            if not silence_errors:
                LOGGER.warning("%s has no files to download", remote_url, extra={"action": "storage_empty"})
            return None if names is None else str(folder)
        downloads = (
            partial(
                _download,
                _full(remote_url, name),
                folder / name,
                overwrite=overwrite,
                may_be_empty=skip_zero_size_check,
            )
            for name in wanted
        )
        return str(folder) if all(_in_parallel(downloads, max_workers, silent=silence_errors)) else None

    @classmethod
    def list(
        cls,
        remote_url: str,
        return_full_path: bool = False,
        with_metadata: bool = False,
        read_hash: bool = False,  # noqa: ARG003  objects carry no hash of their own
    ) -> list[Any] | None:
        """Return the files below a URL: relative to a folder, or by their keys in a bucket.

        Args:
            remote_url: A folder, or on S3 any prefix of keys.
            return_full_path: Give whole URLs.
            with_metadata: Give dicts with `name` and `size` (bytes).
            read_hash: Of no effect.

        """
        found = _warned(lambda: list(place_of(remote_url).below(remote_url)))
        return found and [
            {"name": name, "size": size} if with_metadata else name
            for name, size in ((_full(remote_url, f.name) if return_full_path else f.name, f.size) for f in found)
        ]

    @classmethod
    def exists_file(cls, remote_url: str) -> bool:
        """Return whether there is such a file; folders are none."""
        return not remote_url.endswith("/") and cls.get_file_size_bytes(remote_url, silence_errors=True) is not None

    @classmethod
    def get_file_size_bytes(cls, remote_url: str, silence_errors: bool = False) -> int | None:
        """Return a file's size in bytes, None where there is none."""
        size = _warned(lambda: place_of(remote_url).size(remote_url), silent=silence_errors)
        if size is None and not silence_errors:
            LOGGER.warning("%s is not there", remote_url, extra={"action": "storage_not_there"})
        return size

    @classmethod
    def get_metadata(
        cls,
        remote_url: str,
        return_full_path: bool = False,
        read_hash: bool = False,  # noqa: ARG003  objects carry no hash of their own
    ) -> dict[str, Any] | None:
        """Return a file's `name` and `size` (bytes), None where there is none."""
        size = cls.get_file_size_bytes(remote_url)
        name = remote_url if return_full_path else urlsplit(remote_url).path.lstrip("/")
        return None if size is None else {"name": name, "size": size}

    @classmethod
    def set_cache_file_limit(cls, cache_file_limit: int, cache_context: str | None = None) -> int:
        """Set how many files a cache holds from now on in this process, and return that number.

        Raises:
            StorageError: It is less than one.

        """
        if cache_file_limit < 1:
            raise StorageError(f"a cache holds one file at least, not {cache_file_limit}.")
        _limits[cache_context or GLOBAL] = cache_file_limit
        return cache_file_limit


def _local_copy(url: str, cache: Cache, name: str | None, fresh: bool, extract: bool) -> Path:
    if scheme_of(url) in {"", "file"}:
        path = local_path(url)
        if not path.exists():
            raise StorageError(f"{path} is not there")
        state = path.stat()
        key = f"{path.absolute()} {state.st_size} {state.st_mtime_ns}"
        return cache.unpacked_at(key, path) if extract and path.is_file() and is_archive(path.name) else path
    copy = cache.file(url, name or name_of(url), partial(place_of(url).download, url), fresh=fresh)
    return cache.unpacked(copy) if extract else copy


def _upload(source: Path, url: str, attempts: int) -> str:
    place = place_of(url)
    if not source.is_file():
        raise StorageError(f"{source} is no file: nothing was uploaded to {url}")
    for attempt in range(attempts):
        try:
            place.upload(source, url)
        except StorageError:
            if attempt + 1 == attempts:
                raise
            time.sleep(_PAUSE * 2**attempt)
        else:
            break
    return url


def _download(url: str, target: Path, *, overwrite: bool, may_be_empty: bool) -> Path:
    if overwrite or not target.exists():
        place_of(url).download(url, target)
    if not may_be_empty and target.stat().st_size == 0:
        raise StorageError(f"{url} is an empty file")
    return target


def _folder(given: str | None) -> Path:
    return Path(given).expanduser().absolute() if given else cache_of().root


def _full(url: str, name: str) -> str:
    """Whole URL of a file that `list` gave for `url`."""
    if scheme_of(url) == "s3":
        return f"s3://{urlsplit(url).netloc}/{name}"
    return f"{url.rstrip('/')}/{name}"


def _in_parallel(
    jobs: Iterable[Callable[[], object]], workers: int | None = None, *, silent: bool = False
) -> list[bool]:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  heavy

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda job: _warned(job, silent=silent) is not None, jobs))


def _warned(job: Callable[[], _T], *, silent: bool = False) -> _T | None:
    """Result of a job; None after a warning where it failed."""
    try:
        return job()
    except TasktapeError as error:
        if not silent:
            LOGGER.warning("%s", error, extra={"action": "storage_failed"})
        return None
