"""Commands about pipelines: what there is, how far each has come, and running one once more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tasktape.cli import exit_codes, watching
from tasktape.cli.main import app
from tasktape.events.parts import Parameter
from tasktape.events.pipeline_events import PipelineStopping, StepSkipped
from tasktape.events.task_events import ParametersSet
from tasktape.producers.session import change_session
from tasktape.tests.support.histories import History

STEPS: dict[str, list[str]] = {"load": [], "fit": ["load"], "test": ["fit"]}
PARAMETERS = {"Args/epochs": (3, "int"), "Args/lr": (0.1, "float"), "Args/name": ("x", "str"), "General/n": (1, "int")}


class Told:
    """Two pipelines named `nightly`, the newer with a step that is done and one that runs, and a plain task."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.older = self._pipeline()
        history.complete(self.older)
        self.newer = self._pipeline()
        self.load = history.begin_step(self.newer, "load")
        history.end_step(self.newer, "load", self.load)
        self.fit = history.begin_step(self.newer, "fit")
        self.plain = history.task("plain")
        history.settle()

    def _pipeline(self) -> str:
        task = self.history.pipeline("nightly", STEPS)
        held = [Parameter(name=name, value=json.dumps(value), type=kind) for name, (value, kind) in PARAMETERS.items()]
        self.history.say(ParametersSet(meta=self.history.stamp(), task=task, parameters=held))
        self.history.settle()
        return task

    def fail(self) -> None:
        """The step that runs fails, and with it the pipeline."""
        about: Any = {"meta": self.history.stamp(), "task": self.newer, "run": 1}
        self.history.end_step(self.newer, "fit", self.fit, "no data")
        self.history.say(PipelineStopping(**about, reason="fit has failed", failed=True))
        self.history.step(StepSkipped, self.newer, "test", reason="fit has failed")
        self.history.fail(self.newer, "fit has failed")
        self.history.settle()


@pytest.fixture
def told(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    monkeypatch.setenv("COLUMNS", "200")
    change_session(None)
    history = History(home)
    yield Told(history)
    history.close()
    change_session(None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["pipelines", *arguments])


def answer(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == exit_codes.OK, result.output
    return json.loads(result.stdout)


def test_pipelines_are_listed_newest_first(told: Told) -> None:
    found = answer("list")
    assert [(row["task"], row["done"], row["steps"], row["status"]) for row in found] == [
        (told.newer, 1, 3, "in_progress"),
        (told.older, 0, 3, "completed"),
    ]
    assert [row["task"] for row in answer("list", "--limit", "1")] == [told.newer]
    shown = run("list").stdout
    assert "1/3" in shown
    assert "in_progress" in shown


def test_a_pipeline_is_shown_step_by_step(told: Told) -> None:
    for name in ("nightly", told.newer):
        found = answer("show", name)
        assert (found["task"], found["version"], found["done"]) == (told.newer, "1.0", 1)
        assert [(step["name"], step["status"], step["child"]) for step in found["steps"]] == [
            ("load", "completed", told.load),
            ("fit", "running", told.fit),
            ("test", "pending", ""),
        ]
        assert found["steps"][1]["definition"]["parents"] == ["load"]
    result = run("show", "nightly")
    assert result.stderr.startswith("nightly 1.0 · in_progress · 1 done · 1 under way · of 3 steps")
    assert told.fit in result.stdout
    told.fail()
    result = run("show", "nightly")
    assert "no data" in result.stdout
    assert "1 failed · 1 skipped" in result.stderr
    assert "stopping: fit has failed" in result.stderr


def test_a_watched_pipeline_is_told_at_each_change_until_it_is_over(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = count(1)

    def pause() -> None:
        look = next(looks)
        if look == 2:
            told.fail()
        assert look < 5, "it is over"

    monkeypatch.setattr(watching, "_pause", pause)
    lines = [json.loads(line) for line in run("show", "nightly", "--watch", "--json").stdout.splitlines()]
    assert [[step["status"] for step in line["steps"]] for line in lines] == [
        ["completed", "running", "pending"],
        ["completed", "failed", "skipped"],
    ]
    assert run("show", "nightly", "--watch").stdout.count("nightly 1.0 · ") == 1


def test_a_controller_that_has_not_run_yet_has_no_steps(told: Told) -> None:
    task = told.history.task("draft", task_type="controller")
    told.history.settle()
    assert answer("show", task) == {"task": task, "name": "draft", "steps": []}
    assert "has not defined its steps yet" in run("show", task).stderr


def test_a_pipeline_is_run_once_more_with_other_parameters(told: Told) -> None:
    made = answer("run", "nightly", "--param", "epochs=20", "--param", "name=7", "--param", "General/n=2")
    assert (made["cloned_from"], made["queue"], made["name"]) == (told.newer, "services", "nightly")
    about = json.loads(CliRunner().invoke(app, ["tasks", "show", made["id"], "--json"]).stdout)
    assert (about["status"], about["queue"], about["task_type"]) == ("queued", "services", "controller")
    assert about["parameters"] == {"Args/epochs": 20, "Args/lr": 0.1, "Args/name": "7", "General/n": 2}
    result = run("run", told.older, "--queue", "default")
    assert result.exit_code == exit_codes.OK
    copy = json.loads(CliRunner().invoke(app, ["tasks", "show", result.stdout.strip(), "--json"]).stdout)
    assert (copy["name"], copy["queue"]) == ("nightly", "default")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["show", "nightl"], exit_codes.NOT_FOUND, "no pipeline 'nightl'. Did you mean nightly?"),
        (["run", "nobody"], exit_codes.NOT_FOUND, "no pipeline 'nobody'"),
        (["run", "PLAIN"], exit_codes.NOT_FOUND, "controls none"),
        (["run", "nightly", "--queue", "nowhere"], exit_codes.NOT_FOUND, "no queue 'nowhere'"),
        (["run", "nightly", "--param", "epoch=1"], exit_codes.NOT_FOUND, "Did you mean epochs?"),
        (["run", "nightly", "--param", "epochs=many"], exit_codes.SETTINGS, "of the type int"),
        (["run", "nightly", "--param", "epochs"], exit_codes.SETTINGS, "name=value"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_not_be_done_is_said_and_nothing_is_run(
    told: Told, arguments: list[str], code: int, words: str
) -> None:
    result = run(*(told.plain if argument == "PLAIN" else argument for argument in arguments))
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    listed = json.loads(CliRunner().invoke(app, ["tasks", "list", "--json"]).stdout)
    assert len(listed) == 5


@pytest.mark.usefixtures("home")
def test_where_there_are_no_pipelines_it_says_so() -> None:
    assert "No pipelines" in run("list").stderr
