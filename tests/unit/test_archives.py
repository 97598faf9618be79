"""Archives are unpacked into their folder and nowhere else."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tasktape.producers.archives import ArchiveError, is_archive, pack, unpack


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zipped(path: Path, name: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"evil")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "folder").mkdir(parents=True)
    return tmp_path / "in" / "folder"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_packed_archive_unpacks_to_the_same_files(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a")
    script = tmp_path / "run.sh"
    script.write_bytes(b"#!/bin/sh")
    script.chmod(0o755)
    pack(tmp_path / "x.zip", [(tmp_path / "a.txt", "a.txt"), (script, "deep/er/ü 😀.sh")])
    unpack(tmp_path / "x.zip", folder)
    assert tree(folder) == {"a.txt": b"a", "deep/er/ü 😀.sh": b"#!/bin/sh"}
    assert (folder / "deep/er/ü 😀.sh").stat().st_mode & 0o100


def test_a_tar_archive_with_folders_and_links_within_it_unpacks(tmp_path: Path, folder: Path) -> None:
    archive = tar(
        tmp_path / "x.tar.gz",
        (member("d", tarfile.DIRTYPE), b""),
        (member("d/a"), b"data"),
        (member("d/soft", tarfile.SYMTYPE, "a"), b""),
        (member("hard", tarfile.LNKTYPE, "d/a"), b""),
    )
    unpack(archive, folder)
    assert tree(folder) == {"d/a": b"data", "d/soft": b"data", "hard": b"data"}


@pytest.mark.parametrize("name", ["../evil", "/evil", "d/../../evil"])
def test_members_with_paths_that_lead_out_are_refused(tmp_path: Path, folder: Path, name: str) -> None:
    for archive in (tar(tmp_path / "x.tgz", (member(name), b"evil")), zipped(tmp_path / "x.zip", name)):
        with pytest.raises(ArchiveError, match="outside"):
            unpack(archive, folder)
    assert list(tmp_path.rglob("evil")) == []


@pytest.mark.parametrize("link", ["..", "../..", "/tmp", "/etc/passwd"])
def test_links_that_lead_out_are_refused(tmp_path: Path, folder: Path, link: str) -> None:
    archive = tar(tmp_path / "x.tgz", (member("way", tarfile.SYMTYPE, link), b""), (member("way/evil"), b"evil"))
    with pytest.raises(ArchiveError, match="outside"):
        unpack(archive, folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_refused(tmp_path: Path, folder: Path, kind: bytes) -> None:
    with pytest.raises(ArchiveError, match="neither a file nor a folder"):
        unpack(tar(tmp_path / "x.tgz", (member("odd", kind), b"")), folder)


@pytest.mark.parametrize("name", ["x.zip", "x.tgz", "x.tar.gz"])
def test_damaged_archives_are_an_archive_error(tmp_path: Path, folder: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not an archive")
    assert is_archive(name)
    with pytest.raises(ArchiveError, match=name):
        unpack(tmp_path / name, folder)
