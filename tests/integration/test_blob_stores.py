"""One contract for both blob stores: a folder, and S3 over HTTP."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasktape.events.blobs import BlobStore, FolderStore, fetch_blob, open_blob_store, path_of, safe_name
from tasktape.events.blobs_s3 import S3Store, split_s3
from tasktape.events.errors import BlobError
from tasktape.events.parts import BlobRef

BIG = 20 * 2**20
NAMES = ["weights.pt", "a b/../c\\d.tar.gz", "Grüße 😀.txt", "<b>'\"\n.html", ".hidden", "x" * 10_000 + ".npz", ""]


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """An empty store of each kind."""
    if request.param == "folder":
        opened = open_blob_store(str(tmp_path / "blobs"))
        assert type(opened) is FolderStore
        return opened
    opened = open_blob_store(f"s3://{request.getfixturevalue('bucket')}/some/prefix")
    assert type(opened) is S3Store
    return opened


@pytest.fixture
def spoil(request: pytest.FixtureRequest) -> Callable[[BlobRef, bytes], None]:
    """Overwrites what lies in a store, past the store."""

    def overwrite(ref: BlobRef, data: bytes) -> None:
        if ref.uri.startswith("file:"):
            path_of(ref.uri).write_bytes(data)
        else:
            bucket, key = split_s3(ref.uri)
            request.getfixturevalue("s3").put_object(Bucket=bucket, Key=key, Body=data)

    return overwrite


def test_bytes_come_back_with_their_hash_size_and_type(store: BlobStore) -> None:
    ref = store.put_bytes(b"some content", content_type="text/plain", name="a.txt")
    assert ref.sha256 == hashlib.sha256(b"some content").hexdigest()
    assert (ref.size, ref.content_type) == (12, "text/plain")
    with store.open(ref) as file:
        assert file.read() == b"some content"


@pytest.mark.parametrize("size", [0, 1, BIG])
def test_a_file_of_any_size_comes_back_through_its_reference_alone(store: BlobStore, size: int, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(size))
    ref = store.put_file(source)
    assert ref.uri.endswith("/source.bin")
    copy = fetch_blob(ref, tmp_path / "not" / "yet" / "there.bin")
    assert copy.read_bytes() == source.read_bytes()


def test_equal_content_is_stored_once(store: BlobStore) -> None:
    assert store.put_bytes(b"same", name="n") == store.put_bytes(b"same", name="n")


@pytest.mark.parametrize("name", NAMES)
def test_any_name_makes_a_plain_address_that_works(store: BlobStore, name: str) -> None:
    ref = store.put_bytes(b"content", name=name)
    last = ref.uri.rpartition("/")[2]
    assert last.isascii()
    assert len(last) <= 120
    assert store.exists(ref)
    with open_blob_store(ref.uri).open(ref) as file:
        assert file.read() == b"content"


def test_the_suffix_of_a_name_is_kept() -> None:
    assert safe_name("x" * 1000 + ".csv.gz").endswith(".gz")
    assert safe_name("model.pt") == "model.pt"


def test_what_was_deleted_is_gone_and_deleting_again_is_no_error(store: BlobStore, tmp_path: Path) -> None:
    ref = store.put_bytes(b"content")
    assert store.exists(ref)
    store.delete(ref)
    store.delete(ref)
    assert not store.exists(ref)
    with pytest.raises(BlobError, match="blob"):
        store.fetch(ref, tmp_path / "copy")


@pytest.mark.parametrize("damage", [b"", b"cOntent", b"content and more"])
def test_damage_is_found_and_leaves_no_file(
    store: BlobStore, spoil: Callable[[BlobRef, bytes], None], damage: bytes, tmp_path: Path
) -> None:
    ref = store.put_bytes(b"content")
    spoil(ref, damage)
    with pytest.raises(BlobError, match="damaged"):
        store.fetch(ref, tmp_path / "into" / "copy")
    with pytest.raises(BlobError, match="damaged"):
        store.open(ref)
    assert list((tmp_path / "into").iterdir()) == []


def test_a_fetch_replaces_an_older_file(store: BlobStore, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    target.write_bytes(b"older")
    assert store.fetch(store.put_bytes(b"newer"), target).read_bytes() == b"newer"


def test_threads_may_store_and_fetch_at_once(store: BlobStore, tmp_path: Path) -> None:
    def round_trip(number: int) -> bool:
        data = bytes([number % 3]) * 100_000
        ref = store.put_bytes(data, name="shared")
        return store.fetch(ref, tmp_path / str(number)).read_bytes() == data

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(24)))


def test_a_file_that_is_not_there_is_a_blob_error(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(BlobError, match=r"missing\.bin"):
        store.put_file(tmp_path / "missing.bin")


def write_often(root: str, seed: int) -> None:
    """Child process: store the same contents as all others."""
    store = open_blob_store(root)
    for number in range(20):
        store.put_bytes(bytes([number]) * 200_000, name="same")
    store.put_bytes(bytes([seed]), name="own")


def test_processes_that_write_the_same_content_at_once_do_no_harm(tmp_path: Path) -> None:
    root = str(tmp_path / "blobs")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_often, args=(root, seed)) for seed in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    files = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert len(files) == 20 + 3
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name for path in files)


def test_a_folder_is_for_its_user_alone(tmp_path: Path) -> None:
    store = open_blob_store(f"file://{tmp_path}/new/blobs")
    path = path_of(store.put_bytes(b"x").uri)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    folders = [path.parent, path.parent.parent, tmp_path / "new" / "blobs", tmp_path / "new"]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_a_folder_that_can_not_be_made_is_a_blob_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BlobError, match="can't be stored"):
        open_blob_store(str(tmp_path / "file" / "blobs")).put_bytes(b"x")


def test_an_s3_that_does_not_answer_is_a_blob_error(monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BlobError, match=f"s3://{bucket}/.*127.0.0.1:9"):
        open_blob_store(f"s3://{bucket}").put_bytes(b"x")


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_does_not_exist_is_a_blob_error() -> None:
    with pytest.raises(BlobError, match=r"s3://nobodys-bucket/.*NoSuchBucket"):
        open_blob_store("s3://nobodys-bucket").put_bytes(b"x")


def test_a_source_that_changes_during_the_upload_is_an_error_and_leaves_nothing(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_blob_store(f"s3://{bucket}")
    source = tmp_path / "growing"
    source.write_bytes(b"a" * 100)
    exists = S3Store.exists

    def change_then_ask(self: S3Store, ref: BlobRef) -> bool:
        source.write_bytes(b"b" * 100)
        return exists(self, ref)

    monkeypatch.setattr(S3Store, "exists", change_then_ask)
    with pytest.raises(BlobError, match="changed"):
        store.put_file(source)
    monkeypatch.setattr(S3Store, "exists", exists)
    digest = hashlib.sha256(b"a" * 100).hexdigest()
    ref = BlobRef(uri=f"s3://{bucket}/{digest[:2]}/{digest}/growing", size=100, sha256=digest)
    assert not store.exists(ref)


@pytest.mark.parametrize("url", ["gs://bucket/x", "azure://account/x", "s3://", "ftp://host/x"])
def test_an_address_that_is_no_store_is_named(url: str) -> None:
    with pytest.raises(BlobError, match=url):
        open_blob_store(url)
