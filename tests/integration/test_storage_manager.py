"""`StorageManager` on a folder, on S3 and on a web server."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tasktape.producers.archives import pack
from tasktape.producers.storage import StorageManager
from tasktape.producers.storage_places import StorageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TASKTAPE_HOME", str(tmp_path / "home"))
    StorageManager.set_cache_file_limit(100)
    return tmp_path / "home"


class Files(SimpleHTTPRequestHandler):
    """Gives files of a folder, and takes them with PUT."""

    def do_PUT(self) -> None:
        path = Path(self.translate_path(self.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    root = tmp_path / "web"
    root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: Files(*args, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty place."""
    match kind:
        case "folder":
            return str(tmp_path / "remote")
        case "file-url":
            return (tmp_path / "remote folder").as_uri()
        case "s3":
            return f"s3://{request.getfixturevalue('bucket')}/prefix"
        case _:
            return str(request.getfixturevalue("web"))


@pytest.fixture(params=["folder", "file-url", "s3", "http"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty place of each kind."""
    return place(request.param, request, tmp_path)


@pytest.fixture(params=["folder", "file-url", "s3"])
def listable(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty place of each kind that can tell what it holds."""
    return place(request.param, request, tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source" / "data ü.bin"
    path.parent.mkdir()
    path.write_bytes(b"some data")
    return path


def test_an_uploaded_file_is_there_and_comes_back(base: str, source: Path) -> None:
    url = f"{base}/sub/data.bin"
    assert not StorageManager.exists_file(url)
    assert StorageManager.upload_file(str(source), url) == url
    assert StorageManager.exists_file(url)
    assert StorageManager.get_file_size_bytes(url) == 9
    assert (StorageManager.get_metadata(url, return_full_path=True)) == {"name": url, "size": 9}
    copy = StorageManager.get_local_copy(url)
    assert copy is not None
    assert Path(copy).read_bytes() == b"some data"
    assert Path(copy).name == "data.bin"


def test_a_remote_file_is_fetched_once_unless_forced(base: str, source: Path) -> None:
    url = f"{base}/data.bin"
    StorageManager.upload_file(str(source), url)
    first = StorageManager.get_local_copy(url)
    source.write_bytes(b"newer data")
    StorageManager.upload_file(str(source), url)
    again, forced = StorageManager.get_local_copy(url), StorageManager.get_local_copy(url, force_download=True)
    assert first == again == forced
    assert Path(str(forced)).read_bytes() == b"newer data"


def test_archives_are_unpacked_on_request_and_only_then(base: str, source: Path, tmp_path: Path) -> None:
    pack(tmp_path / "x.zip", [(source, "inner/data.bin")])
    url = StorageManager.upload_file(str(tmp_path / "x.zip"), f"{base}/x.zip")
    for _ in range(2):
        folder = Path(str(StorageManager.get_local_copy(url)))
        assert (folder / "inner" / "data.bin").read_bytes() == b"some data"
    packed = Path(str(StorageManager.get_local_copy(url, extract_archive=False)))
    assert packed.read_bytes() == (tmp_path / "x.zip").read_bytes()


def test_what_is_not_there_gives_none_and_a_warning(base: str, caplog: pytest.LogCaptureFixture) -> None:
    assert StorageManager.get_local_copy(f"{base}/missing.bin") is None
    assert StorageManager.get_file_size_bytes(f"{base}/missing.bin") is None
    assert StorageManager.get_metadata(f"{base}/missing.bin") is None
    assert StorageManager.download_file(f"{base}/missing.bin") is None
    assert "missing.bin" in caplog.text


def test_an_upload_in_the_background_arrives(base: str, source: Path) -> None:
    url = StorageManager.upload_file(str(source), f"{base}/late.bin", wait_for_upload=False)
    for thread in threading.enumerate():
        if thread.name == "tasktape-upload":
            thread.join()
    assert StorageManager.exists_file(url)


def test_a_folder_goes_there_and_back_with_its_sub_folders(listable: str, source: Path, tmp_path: Path) -> None:
    (source.parent / "sub").mkdir()
    (source.parent / "sub" / "b.txt").write_text("b")
    assert StorageManager.upload_folder(str(source.parent), listable) == listable
    names = StorageManager.list(listable)
    assert names is not None
    assert sorted(name.removeprefix("prefix/") for name in names) == ["data ü.bin", "sub/b.txt"]
    full = StorageManager.list(listable, return_full_path=True, with_metadata=True)
    assert full is not None
    assert {entry["name"]: entry["size"] for entry in full} == {
        f"{listable}/data ü.bin": 9,
        f"{listable}/sub/b.txt": 1,
    }
    target = tmp_path / "back"
    assert StorageManager.download_folder(listable, str(target)) == str(target)
    assert sorted(path.name for path in target.rglob("*") if path.is_file()) == ["b.txt", "data ü.bin"]
    assert StorageManager.download_folder(listable, str(tmp_path / "some"), match_wildcard="*.txt")
    assert [path.name for path in (tmp_path / "some").rglob("*") if path.is_file()] == ["b.txt"]


def test_a_wildcard_chooses_what_is_uploaded(listable: str, source: Path) -> None:
    (source.parent / "b.txt").write_text("b")
    StorageManager.upload_folder(str(source.parent), listable, match_wildcard="*.txt")
    names = StorageManager.list(listable)
    assert names is not None
    assert [name.removeprefix("prefix/") for name in names] == ["b.txt"]


def test_a_downloaded_file_keeps_its_path_and_is_not_overwritten_unasked(
    bucket: str, source: Path, tmp_path: Path
) -> None:
    url = StorageManager.upload_file(str(source), f"s3://{bucket}/sub/data.bin")
    path = Path(str(StorageManager.download_file(url, str(tmp_path / "to"))))
    assert path == tmp_path / "to" / "sub" / "data.bin"
    path.write_bytes(b"mine")
    StorageManager.download_file(url, str(tmp_path / "to"))
    assert path.read_bytes() == b"mine"
    StorageManager.download_file(url, str(tmp_path / "to"), overwrite=True)
    assert path.read_bytes() == b"some data"


def test_an_empty_file_is_an_error_unless_allowed(bucket: str, source: Path) -> None:
    source.write_bytes(b"")
    url = StorageManager.upload_file(str(source), f"s3://{bucket}/empty.bin")
    assert StorageManager.download_file(url) is None
    assert StorageManager.download_file(url, skip_zero_size_check=True) is not None


def test_the_cache_lets_go_of_what_was_not_used_for_longest(web: str, source: Path, home: Path) -> None:
    StorageManager.set_cache_file_limit(3)
    urls = [StorageManager.upload_file(str(source), f"{web}/{number}.bin") for number in range(5)]
    copies = []
    for url in urls:
        copies.append(StorageManager.get_local_copy(url))
        StorageManager.get_local_copy(urls[0])
    kept = {str(path) for path in (home / "cache" / "global").rglob("*.bin")}
    assert kept == {copies[0], copies[3], copies[4]}


def test_caches_of_different_contexts_do_not_disturb_each_other(web: str, source: Path) -> None:
    StorageManager.set_cache_file_limit(1, "small")
    url = StorageManager.upload_file(str(source), f"{web}/0.bin")
    other = StorageManager.upload_file(str(source), f"{web}/1.bin")
    first = StorageManager.get_local_copy(url)
    small = [StorageManager.get_local_copy(each, cache_context="small") for each in (url, other)]
    assert [Path(str(path)).exists() for path in (first, *small)] == [True, False, True]


def test_a_home_that_can_not_be_written_does_not_stop_downloads(
    web: str, source: Path, home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home.write_text("a file where the folder should be")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    url = StorageManager.upload_file(str(source), f"{web}/0.bin")
    copy = StorageManager.get_local_copy(url)
    assert copy is not None
    assert Path(copy).read_bytes() == b"some data"


@pytest.mark.parametrize(
    ("url", "advice"),
    [("gs://b/x", "AWS_ENDPOINT_URL"), ("azure://a/x", "mount"), ("ftp://h/x", "ftp:// is not supported")],
)
def test_schemes_without_support_say_what_to_do(
    url: str, advice: str, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StorageError, match=advice):
        StorageManager.upload_file(str(source), url)
    assert StorageManager.get_local_copy(url) is None
    assert advice in caplog.text


def test_an_upload_that_fails_is_tried_again(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasktape.producers.storage._PAUSE", 0)
    tries = []

    def copy_on_third_try(*arguments: str) -> None:
        tries.append(arguments)
        if len(tries) < 3:
            raise OSError("away")
        real(*arguments)

    real: Any = shutil.copyfile
    monkeypatch.setattr("shutil.copyfile", copy_on_third_try)
    target = source.parent / "target"
    assert StorageManager.upload_file(str(source), str(target)) == str(target)
    tries.clear()
    with pytest.raises(StorageError, match="away"):
        StorageManager.upload_file(str(source), str(target), retries=2)


def test_a_source_that_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        StorageManager.upload_file(str(tmp_path / "nowhere"), str(tmp_path / "x"))
    assert StorageManager.upload_folder(str(tmp_path / "nowhere"), str(tmp_path / "x")) is None
