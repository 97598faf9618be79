"""Content reaches its destination and then its event the log, whatever dies or is away in between."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasktape.events.base import Event, Meta, Stamper
from tasktape.events.blobs import FolderStore, open_blob_store
from tasktape.events.errors import BlobError
from tasktape.events.parts import Artifact, BlobRef
from tasktape.events.settings import Settings
from tasktape.events.task_events import ArtifactUploaded
from tasktape.events.wire import read_event
from tasktape.producers.spool_folder import roots
from tasktape.producers.upload_spool import UPLOADS
from tasktape.producers.uploader import Content, Uploader, UploadReport, recover_uploads

Until = Callable[[Callable[[], bool]], None]


class Said(list[Event]):
    """What was emitted."""

    @property
    def names(self) -> list[str]:
        """Artifact names, in order."""
        return [event.artifact.name for event in self if isinstance(event, ArtifactUploaded)]


def uploaded(name: str) -> Callable[[BlobRef, Meta], ArtifactUploaded]:
    """Events for an artifact of this name."""

    def event(ref: BlobRef, meta: Meta) -> ArtifactUploaded:
        artifact = Artifact(name=name, type="custom", uri=ref.uri, size=ref.size, sha256=ref.sha256)
        return ArtifactUploaded(meta=meta, task="t", run=1, artifact=artifact)

    return event


def text(data: str) -> Content:
    return Content(name="a.txt", content_type="text/plain", write=lambda path: path.write_text(data))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", log=f"sqlite:///{tmp_path}/log.db")


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def uploader(settings: Settings, said: Said) -> Iterator[Uploader]:
    uploader = Uploader(settings, Stamper(), said.append)
    yield uploader
    uploader.close(0)


def spool(settings: Settings) -> list[Path]:
    return sorted((settings.home / "uploads").rglob("note.json"))


def content_of(event: Event) -> bytes:
    assert isinstance(event, ArtifactUploaded)
    artifact = event.artifact
    ref = BlobRef(uri=artifact.uri, size=artifact.size, sha256=artifact.sha256)
    with open_blob_store(ref.uri).open(ref) as file:
        return file.read()


def test_into_a_folder_content_goes_at_once(settings: Settings, uploader: Uploader, said: Said, tmp_path: Path) -> None:
    source = tmp_path / "data.bin"
    source.write_bytes(b"file")
    uploader.send(Content(name="data.bin", source=source), settings.blobs, "k1", uploaded("file"))
    uploader.send(text("written"), settings.blobs, "k2", uploaded("written"))
    assert said.names == ["file", "written"]
    assert [content_of(event) for event in said] == [b"file", b"written"]
    assert spool(settings) == []


def test_to_s3_content_goes_in_the_background_and_its_event_follows(
    settings: Settings, uploader: Uploader, said: Said, bucket: str
) -> None:
    for number in range(20):
        uploader.send(text(f"content {number}"), f"s3://{bucket}/p", f"k{number % 3}", uploaded(f"a{number}"))
    assert uploader.wait(30)
    assert sorted(said.names) == sorted(f"a{number}" for number in range(20))
    for chain in range(3):
        mine = [f"a{number}" for number in range(20) if number % 3 == chain]
        assert [name for name in said.names if name in mine] == mine
    assert content_of(said[0]).startswith(b"content")
    assert list(roots(settings, UPLOADS)[0].iterdir()) == []


def test_later_changes_of_the_source_do_not_reach_the_upload(
    uploader: Uploader, said: Said, bucket: str, tmp_path: Path
) -> None:
    source = tmp_path / "model.pt"
    for epoch in range(3):
        source.write_text(f"epoch {epoch}")
        uploader.send(Content(name="model.pt", source=source), f"s3://{bucket}", "model", uploaded(f"epoch {epoch}"))
    source.unlink()
    assert uploader.wait(30)
    assert [content_of(event) for event in said] == [b"epoch 0", b"epoch 1", b"epoch 2"]


def test_while_s3_is_away_content_waits_and_waiting_for_it_ends_early(
    uploader: Uploader, said: Said, bucket: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    ref, waiting = uploader.send(text("kept"), f"s3://{bucket}", "k", uploaded("late"))
    assert waiting is not None
    assert uploader.wait(None) is False
    assert said == []
    kept = uploader.content_of(ref.uri)
    assert kept is not None
    assert kept.read_text() == "kept"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    until(lambda: bool(said))
    assert said.names == ["late"]
    assert content_of(said[0]) == b"kept"


def test_what_waits_at_the_end_of_a_process_is_brought_on_by_the_next(
    settings: Settings,
    uploader: Uploader,
    said: Said,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for number in range(3):
        uploader.send(text(f"content {number}"), f"s3://{bucket}", "k", uploaded(f"a{number}"))
    assert uploader.close(30) == 3
    assert "3 uploads wait" in caplog.text
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    following = Uploader(settings, Stamper(), said.append)
    assert following.adopt() == 3
    assert following.wait(30)
    assert said.names == ["a0", "a1", "a2"]
    assert following.close(0) == 0
    assert list(roots(settings, UPLOADS)[0].iterdir()) == []


def send_and_hang(settings: Settings, bucket: str, ready: Any) -> None:
    """Child process: send while S3 is away, then wait to be killed."""
    os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    uploader = Uploader(settings, Stamper(), Said().append)
    uploader.send(text("of the dead"), f"s3://{bucket}", "k", uploaded("orphan"))
    roots(settings, UPLOADS)[0].joinpath("torn").mkdir()
    ready.set()
    threading.Event().wait()


def test_a_kill_loses_nothing_and_sync_brings_it_to_the_log(settings: Settings, bucket: str) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    child = context.Process(target=send_and_hang, args=(settings, bucket, ready))
    child.start()
    assert ready.wait(60)
    assert recover_uploads(settings) == UploadReport(0, 0)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert recover_uploads(settings) == UploadReport(uploaded=1, waiting=0)
    with settings.open_log() as log, log.read(log.start_positions(["tasktape.tasks"])) as reader:
        (record,) = reader.poll(timeout=10)
    assert content_of(read_event(record, codec=settings.codec())) == b"of the dead"
    assert recover_uploads(settings) == UploadReport(0, 0)


def test_what_can_not_be_brought_on_stays(
    settings: Settings, uploader: Uploader, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    uploader.send(text("kept"), f"s3://{bucket}", "k", uploaded("a"))
    uploader.close(0)
    assert recover_uploads(settings) == UploadReport(uploaded=0, waiting=1)
    assert len(spool(settings)) == 1


def test_content_that_was_not_whole_when_its_process_died_is_forgotten(settings: Settings, said: Said) -> None:
    torn = roots(settings, UPLOADS)[0] / "session" / "000000"
    torn.mkdir(parents=True)
    (torn / "content").write_text("half")
    (torn.parent / "lock").touch()
    following = Uploader(settings, Stamper(), said.append)
    assert following.adopt() == 0
    assert not torn.parent.exists()


def test_files_go_after_their_upload_and_not_before(
    uploader: Uploader, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("a")
    folder.mkdir()
    (folder / "b").write_text("b")
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    uploader.send(Content(name="f", source=file, delete=(file, folder)), f"s3://{bucket}", "k", uploaded("a"))
    uploader.wait(None)
    assert file.exists()
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    until(lambda: not file.exists() and not folder.exists())


def test_another_event_can_be_said_while_the_upload_waits_but_not_after(
    uploader: Uploader, said: Said, bucket: str, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    ref, waiting = uploader.send(text("x"), f"s3://{bucket}", "k", uploaded("old"))
    assert waiting is not None
    assert uploader.say_instead(waiting, uploaded("new")(ref, waiting.event.meta))
    uploader.wait(None)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    until(lambda: bool(said))
    assert said.names == ["new"]
    assert not uploader.say_instead(waiting, uploaded("late")(ref, waiting.event.meta))


def test_an_event_of_an_upload_has_a_place_of_its_own_in_the_session(
    uploader: Uploader, said: Said, bucket: str
) -> None:
    """A projection takes a number below all it knows for a copy, so the number is given when the event is said."""
    _, waiting = uploader.send(text("x"), f"s3://{bucket}", "k", uploaded("a"))
    assert waiting is not None
    asked = waiting.event.meta
    uploader.wait(30)
    assert said[0].meta.event_id == asked.event_id
    assert said[0].meta.seq > asked.seq


def test_a_folder_that_can_not_be_written_now_gets_its_content_later(
    uploader: Uploader, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    put = FolderStore.put_file
    away = [True]

    def put_file(self: FolderStore, *arguments: Any) -> BlobRef:
        if away[0]:
            raise BlobError("the share is not mounted")
        return put(self, *arguments)

    monkeypatch.setattr(FolderStore, "put_file", put_file)
    source = tmp_path / "source"
    source.write_text("share")
    uploader.send(Content(name="source", source=source), str(tmp_path / "share"), "k", uploaded("a"))
    assert said == []
    away[0] = False
    until(lambda: bool(said))
    assert content_of(said[0]) == b"share"
    assert hashlib.sha256(b"share").hexdigest() in str(said[0])


def test_without_room_for_a_copy_a_file_is_uploaded_while_the_caller_waits(
    uploader: Uploader, said: Said, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tasktape.producers.upload_spool.SpoolFolder.create", no_room)
    source = tmp_path / "source"
    source.write_text("data")
    uploader.send(Content(name="source", source=source), f"s3://{bucket}", "k", uploaded("a"))
    assert said.names == ["a"]
    with pytest.raises(BlobError, match="No space left"):
        uploader.send(text("x"), f"s3://{bucket}", "k", uploaded("b"))


def test_what_the_writer_raises_comes_through_and_leaves_nothing(
    settings: Settings, uploader: Uploader, said: Said
) -> None:
    def fail(path: Path) -> None:
        path.write_text("half")
        raise TypeError("can't pickle")

    with pytest.raises(TypeError, match="can't pickle"):
        uploader.send(Content(name="x", write=fail), settings.blobs, "k", uploaded("a"))
    assert said == []
    assert list((settings.home / "uploads").rglob("content")) == []
