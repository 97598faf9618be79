"""A run whose process was killed is said to have failed by whoever comes next, and no other run is."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tasktape import Task
from tasktape.events.settings import Settings, load_settings
from tasktape.producers.running import RunFile, dead_runs, is_being_told, mark_dead_runs
from tasktape.producers.session import current_session

Begin = Callable[..., Task]
HOLD = (
    "import time; from tasktape.events.settings import load_settings\n"
    "from tasktape.producers.running import RunFile\n"
    "held = RunFile.create(load_settings(), {task!r}, {run})\n"
    "print(held is not None, flush=True); time.sleep(60)\n"
)


def killed(task: Task, run: int = 1) -> None:
    """Leave what a process leaves that had this run and was killed."""
    code = HOLD.format(task=task.id, run=run)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert [found.task for found in dead_runs(load_settings())] == []
        process.kill()


def files(settings: Settings) -> list[Path]:
    return list((settings.home / "running").iterdir())


def test_a_killed_run_has_failed() -> None:
    task = Task.create("project", "killed")
    task.mark_started()
    killed(task)
    assert mark_dead_runs(current_session()) == [task.id]
    assert (task.status, task.data.status_reason) == ("failed", "process died")
    assert files(load_settings()) == []
    assert mark_dead_runs(current_session()) == []


def test_a_run_that_ended_stays_as_it_ended() -> None:
    task = Task.create("project", "ended")
    task.mark_started()
    killed(task)
    task.mark_completed()
    assert mark_dead_runs(current_session()) == []
    assert task.status == "completed"
    assert files(load_settings()) == []


def test_a_run_that_is_not_on_the_log_yet_is_left_to_the_next() -> None:
    task = Task.create("project", "on its way")
    killed(task)
    assert mark_dead_runs(current_session()) == []
    task.mark_started()
    assert mark_dead_runs(current_session()) == [task.id]


def test_a_killed_run_is_about_to_be_told_until_it_is() -> None:
    task, settings = Task.create("project", "being told"), load_settings()
    task.mark_started()
    held = RunFile.create(settings, task.id, 1)
    assert held is not None
    assert not is_being_told(settings, task.id), "its process lives"
    held.remove()
    killed(task)
    (found,) = dead_runs(settings)
    assert is_being_told(settings, task.id)
    found.release()
    mark_dead_runs(current_session())
    assert not is_being_told(settings, task.id)


def test_a_run_on_another_log_is_none_of_ours(tmp_path: Path) -> None:
    task = Task.create("project", "elsewhere")
    task.mark_started()
    killed(task)
    other = load_settings().model_copy(update={"log": f"sqlite:///{tmp_path}/other.db"})
    assert list(dead_runs(other)) == []
    assert mark_dead_runs(current_session()) == [task.id]


def test_this_process_has_a_file_while_its_run_lasts(begin: Begin) -> None:
    task = begin()
    assert [path.name for path in files(load_settings())] == [f"{task.id}-1.json"]
    assert mark_dead_runs(current_session()) == []
    task.close()
    assert files(load_settings()) == []


def test_a_damaged_file_is_left_out(home: Path) -> None:
    (home / "running").mkdir(parents=True)
    (home / "running" / "x-1.json").write_text("no JSON")
    assert list(dead_runs(load_settings())) == []


def test_a_full_disk_has_no_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tasktape.producers.running.os.pwrite", full)
    assert RunFile.create(load_settings(), "t", 1) is None
    assert list((home / "running").iterdir()) == []


def test_a_home_that_cannot_be_written_has_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert RunFile.create(Settings(home=tmp_path / "file" / "home"), "t", 1) is None
