"""Zip and tar archives: made from files, and unpacked so that nothing lands outside the folder it should."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from ..events.blobs import CHUNK
from ..events.errors import TasktapeError

if TYPE_CHECKING:
    import tarfile

SUFFIXES: Final = (".zip", ".tgz", ".tar.gz")


class ArchiveError(TasktapeError, ValueError):
    """An archive can't be read, or holds something that must not be unpacked."""


def is_archive(name: str) -> bool:
    """Whether a file of this name is one that `unpack` takes."""
    return name.lower().endswith(SUFFIXES)


def pack(archive: Path, files: Iterable[tuple[Path, str]], *, compress: bool = True) -> None:
    """Write a zip archive of files, each under the name given with it."""
    import zipfile  # noqa: PLC0415  heavy

    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(archive, "w", method, strict_timestamps=False) as packed:
        for path, name in files:
            packed.write(path, name)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a folder.

    Raises `ArchiveError` for a damaged one, and for members with absolute or upward paths, links that lead out of the
    folder, and devices (CVE-2007-4559 and the like); what came before them may be in the folder by then.
    """
    import tarfile  # noqa: PLC0415  heavy
    import zipfile  # noqa: PLC0415  heavy

    try:
        if archive.name.lower().endswith(".zip"):
            _unpack_zip(archive, folder)
        else:
            _unpack_tar(archive, folder)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise ArchiveError(f"{archive} can't be unpacked: {error}") from error


def _unpack_zip(archive: Path, folder: Path) -> None:
    import zipfile  # noqa: PLC0415  heavy

    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            target = _inside(folder, member.filename)
            if member.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            with packed.open(member) as source:
                _write(source, target, member.external_attr >> 16)


def _unpack_tar(archive: Path, folder: Path) -> None:
    import tarfile  # noqa: PLC0415  heavy

    with tarfile.open(archive) as packed:
        for member in packed:
            target = _inside(folder, member.name)
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            elif member.issym():
                _inside(folder, str(PurePosixPath(member.name).parent / member.linkname))
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(member.linkname)
            else:
                _write_member(packed, member, target)


def _write_member(packed: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = packed.extractfile(member) if member.isreg() or member.islnk() else None
    if source is None:
        raise ArchiveError(f"{member.name!r} is neither a file nor a folder: it is not unpacked")
    with source:
        _write(source, target, member.mode)


def _write(source: IO[bytes], target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as copy:
        shutil.copyfileobj(source, copy, CHUNK)
    if mode & 0o100:
        target.chmod(0o755)


def _inside(folder: Path, name: str) -> Path:
    """Where a member goes. Raises `ArchiveError` where that is outside the folder, links resolved."""
    target = folder / name
    if not target.resolve().is_relative_to(folder.resolve()):
        raise ArchiveError(f"{name!r} would land outside the folder: it is not unpacked")
    return target
