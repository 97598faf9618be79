"""Local copies of remote files: a folder per file, the longest unused one goes when there are too many."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..events.blobs import make_private_folder, safe_name
from .archives import is_archive, unpack

DEFAULT_LIMIT: Final = 100
_UNPACKED: Final = "unpacked"
_NEW: Final = ".new-"


class Cache:
    """At most `limit` files, each in a folder of its own named after its key. Threads and processes may share it.

    A copy stays valid until it was not used for longer than `limit` others.
    """

    def __init__(self, root: Path, limit: int = DEFAULT_LIMIT) -> None:
        self.root = root
        self.limit = limit

    def file(
        self,
        key: str,
        name: str,
        fill: Callable[[Path], None],
        *,
        is_good: Callable[[Path], bool] = Path.is_file,
        fresh: bool = False,
    ) -> Path:
        """Return the copy for `key`; where there is none (or `fresh` or not `is_good`) let `fill` write one first.

        `name` is the copy's file name. What `fill` raises comes through, and leaves nothing behind.
        """
        folder = self._folder(key)
        path = folder / safe_name(name)
        if fresh or not path.is_file() or not is_good(path):
            self._replace(folder, lambda new: fill(new / path.name))
        self._touch(folder)
        return path

    def unpacked(self, path: Path) -> Path:
        """Return the folder with the contents of a cached archive; `path` itself where it is none."""
        if not is_archive(path.name):
            return path
        folder = path.parent / _UNPACKED
        if not folder.is_dir():
            self._replace(folder, lambda new: unpack(path, new))
        return folder

    def unpacked_at(self, key: str, archive: Path) -> Path:
        """Return a folder with the contents of an archive that lies elsewhere, unpacked once for `key`."""
        folder = self._folder(key)
        if not folder.is_dir():
            self._replace(folder, lambda new: unpack(archive, new))
        self._touch(folder)
        return folder

    def _folder(self, key: str) -> Path:
        return self.root / hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def _replace(self, folder: Path, fill: Callable[[Path], None]) -> None:
        """Fill a new folder, then put it in place of the old one."""
        make_private_folder(folder.parent)
        new = Path(tempfile.mkdtemp(prefix=_NEW, dir=folder.parent))
        try:
            fill(new)
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process has put its own there: as good as ours
                new.rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _touch(self, folder: Path) -> None:
        """Note the use of an entry, and let go of those that were not used for longest."""
        with contextlib.suppress(OSError):
            os.utime(folder)
        entries = sorted(self._entries(), key=_used_at, reverse=True)
        for entry in entries[self.limit :]:
            shutil.rmtree(entry, ignore_errors=True)

    def _entries(self) -> list[Path]:
        return [path for path in self.root.iterdir() if not path.name.startswith(_NEW)]


def _used_at(folder: Path) -> float:
    """When an entry was last used; 0 for one that another process has just removed."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
