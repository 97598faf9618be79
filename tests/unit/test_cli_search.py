"""Commands about searches: what there is, their trials, and the page with their figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tasktape.cli import exit_codes
from tasktape.cli.main import app
from tasktape.events.search_events import Objective, SearchDefined, SearchEvent, TrialFinished, TrialQueued
from tasktape.producers.parameters import make
from tasktape.producers.session import change_session
from tasktape.tests.support.histories import History

LOSS = Objective(title="loss", series="test", sign="min")
EVIL = "</script><b>"


class Told:
    """A search with three trials, of which the second is the best and the third runs, and a plain task."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.plain = history.task("plain")
        self.task = history.task("tune", task_type="optimizer")
        history.start(self.task)
        self.say(SearchDefined, base_task=self.plain, strategy="GridSearch", objectives=[LOSS])
        for number, (lr, kind) in enumerate([(0.1, "adam"), (0.2, EVIL), (0.3, "sgd")]):
            held = [make("General/lr", lr), make("General/kind", kind)]
            self.say(TrialQueued, trial=number, child=f"{number:032x}", parameters=held)
        for number, value in enumerate([0.75, 0.25]):
            self.say(TrialFinished, trial=number, status="completed", values=[value], iteration=9, seconds=61.0)
        history.settle()

    def say(self, kind: type[SearchEvent], **fields: Any) -> None:
        self.history.say(kind(meta=self.history.stamp(), task=self.task, run=1, **fields))


@pytest.fixture
def told(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    monkeypatch.setenv("COLUMNS", "200")
    change_session(None)
    history = History(home)
    yield Told(history)
    history.close()
    change_session(None)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["search", *arguments])


def answer(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == exit_codes.OK, result.output
    return json.loads(result.stdout)


def test_searches_are_listed_with_the_best_value(told: Told) -> None:
    (row,) = answer("list")
    assert (row["task"], row["trials"], row["completed"], row["best_values"]) == (told.task, 3, 2, [0.25])
    assert row["objectives"] == [{"title": "loss", "series": "test", "sign": "min"}]
    shown = run("list").stdout
    for part in ("tune", "in_progress", "GridSearch", "min loss/test", "0.25"):
        assert part in shown


def test_a_search_is_shown_with_the_best_trial_first(told: Told) -> None:
    for name in ("tune", told.task):
        found = answer("show", name)
        assert (found["task"], found["best"]) == (told.task, 1)
        assert [(trial["status"], trial["values"]) for trial in found["trials"]] == [
            ("completed", [0.75]),
            ("completed", [0.25]),
            ("queued", []),
        ]
        assert found["trials"][0]["parameters"] == {"General/lr": 0.1, "General/kind": "adam"}
    result = run("show", "tune")
    heading, _, *rows = result.stdout.splitlines()
    assert heading.split()[:3] == ["TRIAL", "STATUS", "loss/test"]
    assert [row.split()[:2] for row in rows] == [["1", "completed"], ["0", "completed"], ["2", "queued"]]
    assert "1 min 1 s" in rows[0]
    counts = "2 completed · 1 under way · of 3 trials"
    assert result.stderr.startswith(f"tune · in_progress · {counts} · best 0.25 by trial 1")
    assert len(run("show", "tune", "--limit", "1").stdout.splitlines()) == 3


def test_a_search_is_written_as_a_page_that_needs_nothing_else(told: Told, tmp_path: Path) -> None:
    target = tmp_path / "search.html"
    result = run("show", told.task[:30], "--html", str(target))
    assert result.exit_code == exit_codes.OK, result.output
    assert str(target) in result.stderr
    page = target.read_text(encoding="utf-8")
    assert "plotly.js v" in page
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["Optimization Objective · loss/test", "Parallel Coordinates"]
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=", page)
    assert EVIL not in page
    assert "&lt;/script&gt;&lt;b&gt;" in page


def test_a_search_without_trials_says_so(told: Told, tmp_path: Path) -> None:
    task = told.history.task("idle")
    told.history.start(task)
    about: Any = {"base_task": told.plain, "strategy": "GridSearch", "objectives": [LOSS]}
    told.history.say(SearchDefined(meta=told.history.stamp(), task=task, run=1, **about))
    told.history.settle()
    assert "has not started any trials yet" in run("show", "idle", "--html", str(tmp_path / "idle.html")).stderr
    assert "<h1>idle</h1>" in (tmp_path / "idle.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["show", "tun"], "no search 'tun'. Did you mean tune?"), (["show", "PLAIN"], "controls none")],
    ids=["unknown", "no search"],
)
def test_what_is_no_search_is_said(told: Told, arguments: list[str], words: str) -> None:
    result = run(*(told.plain if argument == "PLAIN" else argument for argument in arguments))
    assert (result.exit_code, words in result.stderr) == (exit_codes.NOT_FOUND, True), result.stderr


def test_a_page_that_can_not_be_written_is_said(told: Told, tmp_path: Path) -> None:
    result = run("show", told.task, "--html", str(tmp_path / "nowhere" / "search.html"))
    assert (result.exit_code, "nowhere" in result.stderr) == (exit_codes.FAILURE, True)


@pytest.mark.usefixtures("home")
def test_where_there_are_no_searches_it_says_so() -> None:
    assert "No searches" in run("list").stderr
