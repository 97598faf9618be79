"""Where a process keeps its rings and its spool, and whose they are: a folder with a lock that dies with its owner.

`{home}/spool/<log>/<session>/` holds `lock` (flock), `*.ring` and `*.spool`. Whoever gets the lock of a folder owns
what is in it, and has to bring it to that log: it was not said to any other. The lock appears in a new folder already
held, and before that nobody takes the folder for one; it goes when it is empty. Beside them, `refused` holds what the
log does not take.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .warn import warn_once

if TYPE_CHECKING:
    from ..events.settings import Settings

SPOOL: Final = "spool"
LOCK: Final = "lock"
REFUSED: Final = "refused"
_NEW_LOCK: Final = ".lock"


def roots(settings: Settings, kind: str = SPOOL) -> tuple[Path, Path]:
    """Folders of what waits for the settings' log: in the home, and where that can't be written.

    The second one is of this user alone, in the machine's temporary folder, which homes share.
    """
    return settings.home / kind / _digest(settings.log), _shared() / _digest(str(settings.home), settings.log) / kind


def _shared() -> Path:
    return Path(tempfile.gettempdir()) / f"tasktape-{os.getuid()}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:16]


class SpoolFolder:
    """A spool folder this process owns, as long as `release` or `remove` was not called."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def create(cls, root: Path, name: str) -> SpoolFolder:
        """Make a folder and own it. Raises `OSError` where that is impossible."""
        _make_private(root)
        path = root / name
        path.mkdir(mode=0o700)
        try:
            return cls(path, _held_lock(path))
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            raise

    @classmethod
    def take_over(cls, path: Path) -> SpoolFolder | None:
        """Own a folder that another process left; None while that process lives, or when the folder is gone."""
        try:
            lock = os.open(path / LOCK, os.O_RDWR)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), (path / LOCK).stat()):  # else its last owner removed it meanwhile
                return cls(path, lock)
        os.close(lock)
        return None

    def release(self) -> None:
        """Leave the folder to whoever comes next."""
        os.close(self._lock)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()


def _held_lock(folder: Path) -> int:
    new = folder / _NEW_LOCK
    lock = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(folder / LOCK)
    except OSError:
        os.close(lock)
        raise
    return lock


def _make_private(root: Path) -> None:
    """Make the folder; under a shared temporary folder nobody else may have made it first."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    ours = [path for path in (root, *root.parents) if path.is_relative_to(_shared())]
    if any(path.stat().st_uid != os.getuid() for path in ours):
        raise PermissionError(f"{root} belongs to somebody else")


def left_behind(root: Path) -> Iterator[SpoolFolder]:
    """Take over, one by one, the folders whose owners are dead."""
    for path in spool_folders(root):
        if (folder := SpoolFolder.take_over(path)) is not None:
            yield folder


def spool_folders(root: Path) -> list[Path]:
    """All spool folders, oldest first, whoever owns them."""
    try:
        return sorted(path for path in root.iterdir() if (path / LOCK).exists())
    except OSError:
        return []


class SpoolPlace:
    """The spool folder of this process, made when it is first needed: in the home, else in a temporary folder."""

    def __init__(self, possible: tuple[Path, Path], name: str) -> None:
        self._roots = possible
        self._name = name
        self._lock = threading.Lock()
        self.folder: SpoolFolder | None = None

    def path(self) -> Path | None:
        """The folder's path; None while it can't be made, which is tried again each time."""
        with self._lock:
            for root in self._roots if self.folder is None else ():
                try:
                    self.folder = SpoolFolder.create(root, self._name)
                except OSError as error:
                    self._warn(root, error)
                    if error.errno == errno.ENOSPC:
                        break
                else:
                    break
            return None if self.folder is None else self.folder.path

    def release(self) -> None:
        """Leave what is in the folder to whoever comes next."""
        if self.folder is not None:
            self.folder.release()

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        if self.folder is not None:
            self.folder.remove()

    @property
    def root(self) -> Path:
        """The folder that holds this process's spool folder, or is to hold it."""
        return self._roots[0] if self.folder is None else self.folder.path.parent

    def _warn(self, root: Path, error: OSError) -> None:
        warn_once(
            f"no_spool_in_{root}",
            f"{root} can't be written ({error.strerror}): what is reported is kept elsewhere until it is on the log "
            f"({self._roots[-1]}, or memory). Set TASKTAPE_HOME to a folder that can be written.",
        )
