"""Commands that change tasks, and what becomes of the tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tasktape.cli import exit_codes
from tasktape.cli.main import app
from tasktape.producers.session import change_session
from tasktape.tests.support.histories import History


@pytest.fixture
def history(home: Path) -> Iterator[History]:
    change_session(None)
    history = History(home)
    yield history
    history.close()
    change_session(None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def answer(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == exit_codes.OK, result.output
    return json.loads(result.stdout)


def status(task: str) -> str:
    return str(answer("tasks", "show", task)["status"])


def draft(history: History, name: str = "train") -> str:
    task = history.task(name, parameters={"General/lr": "0.1"})
    history.settle()
    return task


def test_a_draft_is_enqueued_and_aborted_out_of_its_queue(history: History) -> None:
    task = draft(history)
    assert answer("tasks", "enqueue", task) == [{"id": task, "name": "train", "done": "enqueued in default"}]
    assert status(task) == "queued"
    assert [entry["task"] for entry in answer("queues", "show", "default")] == [task]
    assert "out of its queue" in run("tasks", "abort", task).stderr
    assert status(task) == "created"
    assert answer("queues", "show", "default") == []


def test_an_unknown_queue_changes_nothing(history: History) -> None:
    task = draft(history)
    assert run("tasks", "enqueue", task, "--queue", "nowhere").exit_code == exit_codes.NOT_FOUND
    assert status(task) == "created"


def test_a_clone_has_the_parameters_set_and_the_others(history: History) -> None:
    task = draft(history)
    settings = ("--set", "General/lr=0.5", "--set", "layers=[1, 2]", "--set", "Args/name=adam")
    clone = answer("tasks", "clone", task, "--name", "second", *settings, "--queue", "default")
    about = answer("tasks", "show", clone["id"])
    assert (about["name"], about["status"], about["parent"] in {"", task}) == ("second", "queued", True)
    assert about["parameters"] == {"General/lr": 0.5, "General/layers": [1, 2], "Args/name": "adam"}
    assert answer("tasks", "show", task)["parameters"] == {"General/lr": 0.1}


def test_an_assignment_without_a_value_is_refused_before_anything_is_cloned(history: History) -> None:
    task = draft(history)
    result = run("tasks", "clone", task, "--set", "General/lr")
    assert (result.exit_code, "Section/name=value" in result.stderr) == (exit_codes.SETTINGS, True)
    assert len(answer("tasks", "list")) == 1


def test_a_running_task_is_asked_to_stop_with_the_reason(history: History) -> None:
    task = draft(history)
    history.start(task)
    history.settle()
    assert "asked to stop" in run("tasks", "abort", task, "--reason", "diverged").stderr
    (asked,) = answer("audit", task, "--type", "AbortRequested")
    assert asked["body"]["reason"] == "diverged"
    assert asked["topic"] == "tasktape.control"


def test_a_finished_task_is_reset_and_archived_and_brought_back(history: History) -> None:
    task = draft(history)
    history.start(task)
    history.single(task, "score", 1.0)
    history.complete(task)
    history.settle()
    run("tasks", "reset", task)
    about = answer("tasks", "show", task)
    assert (about["status"], about["single_values"]) == ("created", {})
    run("tasks", "archive", task)
    assert answer("tasks", "list") == []
    assert [row["id"] for row in answer("tasks", "list", "--archived")] == [task]
    run("tasks", "archive", task, "--undo")
    assert [row["id"] for row in answer("tasks", "list")] == [task]


def test_several_tasks_are_changed_at_once_or_none_is(history: History) -> None:
    tasks = [draft(history, name) for name in ("a", "b")]
    assert run("tasks", "archive", *tasks, "nobody").exit_code == exit_codes.NOT_FOUND
    assert len(answer("tasks", "list")) == 2
    assert run("tasks", "archive", *tasks).exit_code == exit_codes.OK
    assert answer("tasks", "list") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reset", "runs"], "--force"),
        (["abort", "draft"], "Only what runs or waits"),
        (["enqueue", "runs"], "--force"),
    ],
)
def test_what_the_state_does_not_allow_is_refused(history: History, arguments: list[str], words: str) -> None:
    draft(history, "draft")
    history.start(draft(history, "runs"))
    history.settle()
    result = run("tasks", *arguments)
    assert result.exit_code == exit_codes.REFUSED
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_sync_says_that_nothing_was_left(history: History) -> None:
    assert "Nothing was left behind" in run("sync").stderr
    assert answer("sync")["records"] == 0
    history.settle()


def test_another_log_is_copied_and_a_repeat_has_no_effect(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = draft(history)
    history.start(task)
    history.single(task, "score", 0.5)
    history.complete(task)
    history.settle()
    monkeypatch.setenv("TASKTAPE_HOME", str(tmp_path / "elsewhere"))
    change_session(None)
    for _ in range(2):
        assert answer("sync", "--from", history.log.url)["copied"] == 4
        about = answer("tasks", "show", task)
        assert (about["status"], about["single_values"]) == ("completed", {"score": 0.5})
    verdicts = [event["verdict"] for event in answer("audit", task)]
    assert sorted(verdicts) == ["accepted"] * 4 + ["duplicate"] * 4


def test_a_log_that_is_not_there_can_not_be_copied(history: History) -> None:
    missing = f"{history.log.url}.missing"
    result = run("sync", "--from", missing)
    assert result.exit_code == exit_codes.NOT_FOUND
    assert "there is no log" in result.stderr
    assert not Path(missing.removeprefix("sqlite://")).exists()
