"""Offline sessions: a folder that holds all of a run, and its way to the log."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tasktape import Task
from tasktape.errors import InvalidArgumentError, UnknownTaskError, UsageError
from tasktape.events.settings import load_settings

Begin = Callable[..., Task]


@pytest.fixture
def session(begin: Begin) -> Path:
    """The folder of a finished offline session; the process is online again."""
    Task.set_offline(True)
    task = begin(name="offline")
    task.connect({"lr": 0.1})
    task.get_logger().report_scalar("loss", "train", 1.0, 3)
    task.upload_artifact("note", "a short text", wait_on_upload=True)
    task.close()
    Task.set_offline(False)
    folder = task.get_offline_mode_folder()
    assert folder is not None
    return folder


def test_nothing_reaches_the_log_before_the_import(session: Path) -> None:
    assert Task.get_tasks() == []
    assert session.is_dir()
    assert zipfile.is_zipfile(session.with_suffix(".zip"))


@pytest.mark.parametrize("zipped", [False, True])
def test_an_imported_session_is_the_task_itself(session: Path, tmp_path: Path, zipped: bool) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = session.with_suffix(".zip") if zipped else session
    moved = shutil.move(place, elsewhere)
    shutil.rmtree(session, ignore_errors=True)
    task = Task.get_task(Task.import_offline_session(moved))
    assert task is not None
    assert (task.name, task.status) == ("offline", "completed")
    assert task.get_parameters(cast=True) == {"General/lr": 0.1}
    assert task.get_reported_scalars()["loss"]["train"]["x"] == [3]
    assert task.artifacts["note"].get() == "a short text"
    assert Path(load_settings().blobs).as_uri() in task.artifacts["note"].url


def test_a_second_import_changes_nothing(session: Path) -> None:
    task_id = Task.import_offline_session(session)
    assert Task.import_offline_session(session) == task_id
    assert len(Task.get_tasks()) == 1
    assert Task(task_id).get_reported_scalars()["loss"]["train"]["x"] == [3]


def test_a_session_can_go_on_with_another_task(session: Path, begin: Begin) -> None:
    before = begin(name="online")
    before.get_logger().report_scalar("loss", "train", 2.0, 0)
    before.close()
    assert Task.import_offline_session(session, previous_task_id=before.id, iteration_offset=100) == before.id
    task = Task.get_task(before.id)
    assert task is not None
    assert (task.name, task.run, task.status) == ("online", 2, "completed")
    assert task.get_reported_scalars()["loss"]["train"]["x"] == [0, 103]
    assert task.artifacts["note"].get() == "a short text"
    with pytest.raises(UnknownTaskError):
        Task.import_offline_session(session, previous_task_id="no such id")


def test_what_is_no_session_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "no.zip"
    file.write_text("no zip")
    for place in (file, tmp_path, tmp_path / "missing"):
        with pytest.raises(InvalidArgumentError, match="offline session"):
            Task.import_offline_session(place)


def test_the_mode_cannot_change_under_a_task(begin: Begin) -> None:
    begin()
    with pytest.raises(UsageError, match=r"task.close\(\)"):
        Task.set_offline(True)


def test_the_environment_can_ask_for_it(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_OFFLINE_MODE", "1")
    assert Task.is_offline()
    assert begin().get_offline_mode_folder() is not None
