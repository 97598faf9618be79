"""Commands about searches: what there is, their trials, and the page with their figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tasktape.cli import exit_codes, watching
from tasktape.cli.main import app
from tasktape.events.search_events import Objective, SearchDefined, SearchEvent, TrialFinished, TrialQueued
from tasktape.events.settings import load_settings
from tasktape.events.task_events import ParametersSet
from tasktape.producers.parameters import make, value_of
from tasktape.producers.search.description import Description, described
from tasktape.producers.session import change_session
from tasktape.projections import open_queries
from tasktape.tests.support.histories import History

LOSS = Objective(title="loss", series="test", sign="min")
EVIL = "</script><b>"


class Told:
    """A search with three trials, of which the second is the best and the third runs, and a plain task."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.plain = history.task("plain")
        held = [make("General/lr", 0.1), make("General/kind", "adam"), make("Args/kind", "a"), make("Args/n", 3)]
        history.say(ParametersSet(meta=history.stamp(), task=self.plain, parameters=held))
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


def test_a_watched_search_is_told_at_each_change_until_it_is_over(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def pause() -> None:
        told.say(TrialFinished, trial=2, status="completed", values=[0.125])
        told.history.complete(told.task)
        told.history.settle()

    monkeypatch.setattr(watching, "_pause", pause)
    lines = [json.loads(line) for line in run("show", "tune", "--watch", "--json").stdout.splitlines()]
    assert [(line["status"], line["under_way"], line["best"]) for line in lines] == [
        ("in_progress", 1, 1),
        ("completed", 0, 2),
    ]
    assert run("show", "tune", "--watch").stdout.count("tune · ") == 1


def test_a_search_is_described_by_its_task_and_handed_to_an_agent(told: Told) -> None:
    ranges = ("-p", "lr=loguniform(-5, -1)", "-p", "Args/kind=[a, b]", "-p", "n = int(1, 9)")
    limits = ("--trials", "9", "--time-limit", "1.5", "--max-iterations", "20", "--top", "3", "--project", "there")
    goals = ("-o", "loss/test:min", "-o", "Summary/size:max_global")
    found = answer("run", "-t", "plain", *ranges, *goals, *limits, "--name", "tuned", "--remote", "services")
    assert found["queue"] == "services"
    with open_queries(load_settings()) as queries:
        spec, row = queries.spec(found["id"]), queries.task(found["id"])
    assert spec is not None
    assert row is not None
    assert (row.name, row.project, row.task_type, row.status) == ("tuned", "vision", "optimizer", "queued")
    assert "run_search()" in spec.script.source
    assert described({one.name: value_of(one) for one in spec.parameters}) == Description(
        base_task=told.plain,
        objectives=("loss/test:min", "Summary/size:max_global"),
        space=(("General/lr", "loguniform(-5, -1)"), ("Args/kind", "[a, b]"), ("Args/n", "int(1, 9)")),
        queue="default",
        concurrent=4,
        trials=9,
        time_limit=1.5,
        max_iterations=20,
        project="there",
        top=3,
    )


GOAL = ("-o", "loss/test:min", "--trials", "3", "--remote", "services")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("-p", "lrr=uniform(0, 1)"), exit_codes.NOT_FOUND, "no parameter 'lrr'. Did you mean lr?"),
        (("-p", "kind=[a]"), exit_codes.SETTINGS, "more than one section: give one of General/kind, Args/kind"),
        (("-p", "lr=uniform(0, 1)", "-p", "General/lr=[1]"), exit_codes.SETTINGS, "General/lr is given twice"),
        (("-p", "lr=uniform(0, x)"), exit_codes.USAGE, "'x' is no number"),
        (("-p", "n=uniform(1, 5)"), exit_codes.USAGE, "write int(1, 5)"),
        (("-p", "lr=[1]", "--objective", "loss"), exit_codes.USAGE, "an objective ends with"),
        (("-p", "lr=[1]", "--strategy", "bohb"), exit_codes.USAGE, "shares out iterations"),
        (("-p", "lr=[1]", "--queue", "gone"), exit_codes.NOT_FOUND, "no queue 'gone'"),
    ],
)
def test_a_search_that_can_not_go_well_is_refused_before_anything_is_made(
    told: Told, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = run("run", "-t", told.plain, *GOAL, *arguments)
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    with open_queries(load_settings()) as queries:
        assert len(queries.tasks()) == 2


def test_parameters_may_be_new_to_the_task_where_that_is_said(told: Told) -> None:
    assert answer("run", "-t", told.plain, *GOAL, "--new", "-p", "depth=[1, none]")["queue"] == "services"


@pytest.mark.parametrize(
    ("search", "code", "words"),
    [
        ("tune", exit_codes.USAGE, "this task describes no search"),
        ("nothing", exit_codes.NOT_FOUND, "no task 'nothing'"),
    ],
)
@pytest.mark.usefixtures("told")
def test_only_a_search_that_was_described_goes_on(search: str, code: int, words: str) -> None:
    result = run("resume", search)
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr


def test_a_search_that_waits_or_runs_is_not_begun_twice(told: Told) -> None:
    found = answer("run", "-t", told.plain, *GOAL, "-p", "lr=[1]")
    result = run("resume", found["id"])
    assert (result.exit_code, "is queued" in result.stderr) == (exit_codes.REFUSED, True), result.stderr
