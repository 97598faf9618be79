"""Packs files into one archive that is the same for the same content, and unpacks it without leaving its folder."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ...events.errors import TasktapeError


class UnsafeArchiveError(TasktapeError):
    """An archive holds a file that would land outside the folder it is unpacked into."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the archive of untracked files names {name!r}, outside its folder: it was not made by us.")
        self.name = name


def pack(root: Path, files: Iterable[Path]) -> bytes:
    """A compressed tar of `files`, named relative to `root`; links become what they point to, times are left out."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for file in sorted(files):
            archive.addfile(_header(root, file), io.BytesIO(file.read_bytes()))
    return packed.getvalue()


def _header(root: Path, file: Path) -> tarfile.TarInfo:
    header = tarfile.TarInfo(file.relative_to(root).as_posix())
    status = file.stat()
    header.size, header.mode = status.st_size, status.st_mode & 0o777
    return header


def unpack(archive: Path, target: Path) -> None:
    """Write the archive's files below `target`, over what is there. Raises `UnsafeArchiveError`."""
    with tarfile.open(archive) as opened:
        for member in opened:
            path = target / _safe(member)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            content = opened.extractfile(member)
            path.write_bytes(content.read() if content else b"")
            path.chmod(member.mode & 0o777)


def _safe(member: tarfile.TarInfo) -> PurePosixPath:
    name = PurePosixPath(member.name)
    if not member.isfile() or name.is_absolute() or ".." in name.parts:
        raise UnsafeArchiveError(member.name)
    return name
