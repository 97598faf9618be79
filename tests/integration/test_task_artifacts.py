"""A task's artifacts from upload to reading them elsewhere, on the embedded log."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasktape.events.errors import LogUnavailableError
from tasktape.producers.artifact_formats import ArtifactError
from tasktape.producers.outputs import outputs_of
from tasktape.producers.session import Session, change_session
from tasktape.producers.task import Task


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TASKTAPE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tasktape.producers.capture.install", lambda *_: [], raising=False)
    monkeypatch.chdir(tmp_path)
    change_session(None)
    yield tmp_path / "home"
    change_session(None)


@pytest.fixture
def task(home: Path) -> Iterator[Task]:  # noqa: ARG001  it sets the home
    task = Task.init("project/sub", "a task")
    yield task
    task.close()


def elsewhere(task: Task) -> Task:
    """The same task as others see it."""
    task.flush(wait_for_uploads=True)
    found = Task.get_task(task.id)
    assert found is not None
    return found


def test_artifacts_are_read_back_here_and_elsewhere_as_what_they_were(task: Task, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# notes")
    objects: dict[str, Any] = {"array": np.arange(3), "dict": {"a": [1, None]}, "text": "hello", "list": [1, "x"]}
    for name, value in objects.items():
        assert task.upload_artifact(name, value, metadata={"rows": 3})
    task.upload_artifact("frame", pd.DataFrame({"a": [1, 2]}))
    task.upload_artifact("file", tmp_path / "notes.md")
    for reader in (task, elsewhere(task)):
        found = reader.artifacts
        assert list(found) == ["array", "dict", "file", "frame", "list", "text"]
        np.testing.assert_array_equal(found["array"].get(), np.arange(3))
        assert [found[name].get() for name in ("dict", "text", "list")] == [{"a": [1, None]}, "hello", [1, "x"]]
        assert found["frame"].get()["a"].tolist() == [1, 2]
        assert found["file"].get().read_text() == "# notes"
        assert found["dict"].metadata == {"rows": "3"}
        assert (found["dict"].type, found["dict"].mode) == ("dict", "output")
        assert found["dict"].timestamp.tzinfo is not None


def test_an_artifact_keeps_what_the_object_was_at_the_call_and_the_same_name_replaces_it(task: Task) -> None:
    values = [1, 2]
    task.upload_artifact("values", values)
    values.append(3)
    first = task.artifacts["values"]
    task.upload_artifact("values", values)
    assert first.get() == [1, 2]
    assert task.artifacts["values"].get() == [1, 2, 3]


def test_a_name_that_is_not_there_is_told_with_those_that_are(task: Task) -> None:
    task.upload_artifact("here", 1)
    with pytest.raises(KeyError, match=r"'gone'.*'here'"):
        task.artifacts["gone"]
    assert task.artifacts.get("gone") is None


@pytest.mark.parametrize("value", [threading.Lock(), lambda: 1, (number for number in [1])])
def test_what_can_not_be_stored_is_false_and_a_warning(
    task: Task, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert task.upload_artifact("bad", value) is False
    assert "'bad'" in caplog.text
    assert "serialization_function" in caplog.text
    assert task.artifacts.get("bad") is None


@pytest.mark.parametrize("value", [Path("/nowhere/at/all"), type("Odd", (), {"__reduce__": lambda _: 1 / 0})()])
def test_trouble_of_any_kind_stays_out_of_the_training(task: Task, value: Any) -> None:
    assert task.upload_artifact("odd", value) is False


@pytest.mark.parametrize("name", ["a/b", "quote'\"", "<b>html</b>", "new\nline", "😀", "x" * 10_000, ".."])
def test_any_name_works(task: Task, name: str) -> None:
    assert task.upload_artifact(name, {"a": 1})
    assert elsewhere(task).artifacts[name].get() == {"a": 1}


def test_originals_are_deleted_on_request_and_only_then(task: Task, tmp_path: Path) -> None:
    for name in ("kept", "gone"):
        (tmp_path / name).write_text(name)
        task.upload_artifact(name, tmp_path / name, delete_after_upload=name == "gone")
    assert (tmp_path / "kept").exists()
    assert not (tmp_path / "gone").exists()
    assert task.artifacts["gone"].get().read_text() == "gone"


def test_a_url_is_noted_as_a_link(task: Task) -> None:
    task.upload_artifact("link", "https://example.invalid/data.csv")
    found = elsewhere(task).artifacts["link"]
    assert (found.url, found.hash, found.size) == ("https://example.invalid/data.csv", "", 0)


def test_a_folder_comes_back_as_a_folder(task: Task, tmp_path: Path) -> None:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "sub" / "a.txt").write_text("a")
    task.upload_artifact("data", tmp_path / "data")
    copy = elsewhere(task).artifacts["data"].get_local_copy()
    assert copy is not None
    assert (Path(copy) / "sub" / "a.txt").read_text() == "a"
    packed = task.artifacts["data"].get_local_copy(extract_archive=False)
    assert str(packed).endswith("data.zip")


def test_a_damaged_copy_is_fetched_again_and_a_damaged_original_is_an_error(task: Task, home: Path) -> None:
    task.upload_artifact("text", "right")
    artifact = task.artifacts["text"]
    copy = Path(str(artifact.get_local_copy()))
    copy.write_text("wrong")
    assert Path(str(artifact.get_local_copy())).read_text() == "right"
    (stored,) = (home / "blobs").rglob("text.txt")
    stored.write_text("wrong")
    with pytest.raises(ArtifactError, match="damaged"):
        artifact.get(force_download=True)


def test_outputs_go_to_a_place_that_was_named_under_folders_people_understand(task: Task, tmp_path: Path) -> None:
    task.output_uri = str(tmp_path / "out put")
    task.upload_artifact("my data", {"a": 1})
    (stored,) = (tmp_path / "out put").rglob("*.json")
    folder = stored.relative_to(tmp_path / "out put").parts
    assert folder[:4] == ("project", "sub", f"a_task.{task.id}", "artifacts")
    assert folder[4] == "my_data"
    assert task.artifacts["my data"].get() == {"a": 1}


def test_a_place_without_support_is_replaced_by_the_blob_store(
    task: Task, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task.output_uri = "gs://bucket/x"
    assert task.upload_artifact("data", {"a": 1})
    assert "gs://bucket/x" in caplog.text
    assert task.artifacts["data"].url.startswith((home / "blobs").as_uri())


def test_while_s3_is_away_an_artifact_can_be_read_here_and_the_others_see_it_later(
    task: Task, bucket: str, monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], bool]], None]
) -> None:
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    task.output_uri = f"s3://{bucket}/out"
    assert task.upload_artifact("data", {"a": 1}, wait_on_upload=True)
    assert task.artifacts["data"].get() == {"a": 1}
    assert elsewhere(task).artifacts.get("data", None) is not None
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    outputs = outputs_of(task._session)
    url = task.artifacts["data"].url
    until(lambda: outputs.uploader.content_of(url) is None)
    change_session(None)
    assert elsewhere(task).artifacts["data"].get(force_download=True) == {"a": 1}


def test_with_the_log_away_a_running_task_knows_its_own_artifacts(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    task.upload_artifact("data", {"a": 1})

    def away(_: Session) -> None:
        raise LogUnavailableError("kafka://nowhere", "no answer")

    monkeypatch.setattr(Session, "queries", away)
    assert task.artifacts["data"].get() == {"a": 1}


def test_a_registered_table_follows_the_frame(task: Task) -> None:
    frame = pd.DataFrame({"a": [1, 1]})
    task.register_artifact("table", frame, metadata={"of": "tests"}, uniqueness_columns=["a"])
    assert task.get_registered_artifacts()["table"] is frame
    task.flush(wait_for_uploads=True)
    first = task.artifacts["table"]
    assert first.type == "data-audit-table"
    assert "2 rows, 1 of them unique" in first.preview
    task.flush(wait_for_uploads=True)
    assert task.artifacts["table"].timestamp == first.timestamp
    frame.loc[2] = [5]
    task.unregister_artifact("table")
    assert task.artifacts["table"].get()["a"].tolist() == [1, 1, 5]
    assert task.get_registered_artifacts() == {}
    with pytest.raises(ArtifactError, match="only a DataFrame"):
        task.register_artifact("table", [1])


def test_a_deleted_artifact_is_gone_with_its_file_unless_another_shares_it(task: Task, home: Path) -> None:
    task.upload_artifact("one", "same content")
    task.upload_artifact("two", "other")
    assert task.delete_artifacts(["one"])
    assert list(task.artifacts) == ["two"]
    assert list((home / "blobs").rglob("one.txt")) == []
    task.upload_artifact("link", task.artifacts["two"].url)
    assert task.delete_artifacts(["two"], delete_from_storage=True)
    assert len(list((home / "blobs").rglob("two.txt"))) == 1
    with pytest.raises(ArtifactError, match="'two'"):
        task.delete_artifacts(["two"])
    assert task.delete_artifacts(["two"], raise_on_errors=False) is False
