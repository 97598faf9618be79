"""Commands that read: for each argument list what comes out, over a made-up history on an embedded log."""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
from rich.text import Text
from typer.testing import CliRunner, Result

from tasktape.agent import main as agent_main
from tasktape.agent.places import Housing
from tasktape.cli import exit_codes
from tasktape.cli.main import app
from tasktape.cli.output import Column, _widths
from tasktape.events.base import new_task_id
from tasktape.events.groups import agents_group
from tasktape.events.limit_events import PermitClaimed
from tasktape.events.queue_events import entry_id, queue_topic
from tasktape.events.settings import load_settings
from tasktape.producers.session import change_session
from tasktape.tests.support.histories import History, falling

LONG = "x" * 10_000
ODD = "a/'b' \"c\" <b>d</b>\n\x1b[31mé🙂"


class Told:
    """A finished history, and the ids of its tasks by name."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.tasks: dict[str, str] = {}
        self._tell()
        history.settle()

    def _tell(self) -> None:
        history, tasks = self.history, self.tasks
        tasks["baseline"] = first = history.task("baseline", parameters={"General/lr": "0.1"}, tags=["best"])
        history.start(first)
        history.scalar(first, "loss", "train", falling(20))
        history.scalar(first, "validation", "accuracy", [0.5, 0.9, 0.8])
        history.single(first, "score", math.nan)
        history.console(first, "epoch 1", "\x1b[32mepoch 2\x1b[0m")
        history.set_parameter(first, "General/momentum", "0.9", old="0.5")
        history.complete(first)
        tasks["wide"] = second = history.task("wide", "vision/deep", parameters={"General/lr": "0.01"}, user="grace")
        history.start(second)
        history.scalar(second, "validation", "accuracy", [0.7])
        history.fail(second, "ValueError: shapes differ")
        history.complete(second)
        tasks["waiting"] = history.task("waiting", "nlp")
        history.queue("gpu")
        history.enqueue(tasks["waiting"], "gpu")
        tasks[ODD] = history.task(ODD, "odd")
        tasks[LONG] = history.task(LONG, "odd")
        tasks["gone"] = history.task("gone")
        history.archive(tasks["gone"])
        history.worker("lab/1", ["gpu"], holds=[(first, "gpu")], cpu_percent=34.2)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    history = History(tmp_path_factory.mktemp("told"))
    yield Told(history)
    history.close()


@pytest.fixture(autouse=True)
def home(told: Told, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All tests of this module read one history."""
    monkeypatch.setenv("TASKTAPE_HOME", str(told.history.home))
    monkeypatch.setenv("COLUMNS", "200")
    change_session(None)
    return told.history.home


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def answer(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == exit_codes.OK, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], {"baseline", "wide", "waiting", ODD, LONG}),
        (["--archived", "--project", "vision"], {"baseline", "wide", "gone"}),
        (["--status", "completed"], {"baseline"}),
        (["--status", "Running"], set()),
        (["--status", "failed", "--status", "queued"], {"wide", "waiting"}),
        (["--tag", "best"], {"baseline"}),
        (["--user", "grace"], {"wide"}),
        (["--search", "BASE"], {"baseline"}),
        (["--search", "'b'"], {ODD}),
        (["--project", "nothing"], set()),
    ],
)
def test_tasks_are_listed_as_filtered(arguments: list[str], names: set[str]) -> None:
    assert {task["name"] for task in answer("tasks", "list", *arguments)} == names


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("name", ["baseline", "wide"]),
        ("-name", ["wide", "baseline"]),
        ("General/lr", ["wide", "baseline"]),
        ("-validation/accuracy", ["baseline", "wide"]),
        ("validation/accuracy:first", ["baseline", "wide"]),
    ],
)
def test_tasks_are_listed_in_the_order_asked_for(sort: str, names: list[str]) -> None:
    assert [task["name"] for task in answer("tasks", "list", "--project", "vision", "--sort", sort)] == names


def test_chosen_columns_have_their_values() -> None:
    columns = "General/lr,validation/accuracy:max,loss/train:min,comment"
    (task,) = answer("tasks", "list", "--search", "baseline", "--columns", columns)
    assert task["General/lr"] == 0.1
    assert task["validation/accuracy:max"] == 0.9
    assert task["loss/train:min"] == pytest.approx(min(falling(20)))
    assert task["comment"] == ""
    shown = run("tasks", "list", "--search", "baseline", "-c", "General/lr", "-c", "validation/accuracy:max").stdout
    assert "General/lr" in shown
    assert "0.9" in shown


def test_json_has_stable_keys_and_times_in_utc(told: Told) -> None:
    (task,) = answer("tasks", "list", "--search", "baseline")
    assert task["id"] == told.tasks["baseline"]
    assert (task["project"], task["status"], task["tags"], task["run"]) == ("vision", "completed", ["best"], 1)
    assert task["created_at"].endswith("Z")
    assert datetime.fromisoformat(task["started_at"]) <= datetime.fromisoformat(task["ended_at"])


def test_a_limit_says_how_many_more_there_are(told: Told) -> None:
    result = run("tasks", "list", "--limit", "2")
    assert "2 of 5 tasks" in result.stderr
    assert len(answer("tasks", "list", "--limit", "2")) == 2
    assert len(answer("tasks", "list", "--limit", "0", "--archived")) == len(told.tasks)


def test_a_table_breaks_no_line_and_obeys_no_name() -> None:
    shown = run("tasks", "list", "--project", "odd").stdout
    assert "\x1b" not in shown
    assert len(shown.strip().splitlines()) == 4
    assert "<b>d</b>" in shown
    assert all(len(line) < 400 for line in shown.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tasks", "show", "baselin"], "Did you mean baseline"),
        (["tasks", "logs", "ffffffff"], "there is no task"),
        (["audit", "nobody"], "tasktape tasks list"),
        (["queues", "show", "gp"], "Did you mean gpu"),
        (["tasks", "enqueue", "baseline", "--queue", "gpus"], "tasktape queues create"),
        (["tasks", "list", "--status", "finished"], "completed"),
        (["tasks", "list", "--columns", "validation/acuracy"], "validation/accuracy"),
        (["tasks", "list", "--sort", "updated"], "updated_at"),
        (["audit", "baseline", "--type", "RunStart"], "RunStarted"),
    ],
)
def test_what_nobody_knows_has_near_matches_and_an_exit_code(arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == exit_codes.NOT_FOUND
    assert words in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_a_task_goes_by_id_by_its_beginning_and_by_name(told: Told) -> None:
    task = told.tasks["wide"]
    for name in (task, task.upper(), _unique_beginning(task, told.tasks.values()), "wide"):
        assert answer("tasks", "show", name)["id"] == task
    assert answer("tasks", "show", LONG)["id"] == told.tasks[LONG]
    assert answer("tasks", "show", ODD)["id"] == told.tasks[ODD]


def _unique_beginning(task: str, others: Any) -> str:
    return next(task[:n] for n in range(1, 33) if sum(other.startswith(task[:n]) for other in others) == 1)


def test_a_beginning_that_fits_several_tasks_is_refused(told: Told) -> None:
    result = run("tasks", "show", min(told.tasks.values())[:2])
    assert result.exit_code == exit_codes.NOT_FOUND
    assert "fits more than one task" in result.stderr


def test_all_about_a_task() -> None:
    about = answer("tasks", "show", "baseline")
    assert about["parameters"] == {"General/lr": 0.1, "General/momentum": 0.9}
    assert about["script"]["entry_point"] == "train.py"
    assert about["single_values"] == {"score": "NaN"}
    assert [(s["title"], s["series"], s["max"]) for s in about["scalars"]][1] == ("validation", "accuracy", 0.9)
    assert [run["status"] for run in about["runs"]] == ["completed"]
    shown = run("tasks", "show", "baseline").stdout
    assert "vision / baseline" in shown
    assert "General/momentum" in shown
    assert "validation / accuracy" in shown


def test_a_failure_shows_its_traceback() -> None:
    shown = run("tasks", "show", "wide").stdout
    assert "Traceback of run 1" in shown
    assert "ValueError: shapes differ" in shown


def test_logs_print_the_console_without_escape_sequences() -> None:
    assert run("tasks", "logs", "baseline").stdout == "epoch 1\nepoch 2\n"
    assert run("tasks", "logs", "baseline", "--tail", "1").stdout == "epoch 2\n"
    assert [line["text"] for line in answer("tasks", "logs", "baseline")] == ["epoch 1", "\x1b[32mepoch 2\x1b[0m"]
    assert "has written nothing" in run("tasks", "logs", "waiting").stderr


def test_following_logs_shows_new_lines_and_ends_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_HOME", str(tmp_path))
    history = History(tmp_path)
    task = history.task("live", "live")
    history.start(task)
    history.console(task, "before")
    history.settle()
    teller = threading.Timer(0.5, _tell_the_rest, (history, task))
    teller.start()
    try:
        assert run("tasks", "logs", "-f", task).stdout.splitlines() == ["before", "after 1", "after 2"]
        assert run("tasks", "logs", "-f", task).stdout.splitlines() == ["before", "after 1", "after 2"]
    finally:
        teller.join()
        history.close()


def _tell_the_rest(history: History, task: str) -> None:
    history.console(new_task_id(), "somebody else's")
    history.console(task, "after 1")
    history.complete(task)
    history.console(task, "after 2")
    history.settle()


def test_an_audit_tells_every_event_in_order() -> None:
    events = answer("audit", "baseline")
    kinds = [event["type"] for event in events]
    assert kinds[0] == "TaskCreated"
    assert kinds.index("RunStarted") < kinds.index("ParametersSet") < kinds.index("RunCompleted")
    change = next(event for event in events if event["type"] == "ParametersSet")
    assert change["changes"] == [{"field": "General/momentum", "old": "0.5", "new": "0.9"}]
    assert (change["actor"], change["topic"], change["verdict"]) == ("ada@lab", "tasktape.tasks", "accepted")
    assert isinstance(change["offset"], int)
    shown = run("audit", "baseline").stdout
    assert "General/momentum: 0.5 → 0.9" in shown


def test_an_audit_keeps_what_was_rejected() -> None:
    late = [event for event in answer("audit", "wide") if event["type"] == "RunCompleted"]
    assert [event["verdict"] for event in late] == ["rejected"]
    assert "rejected" in run("audit", "wide", "--type", "RunCompleted").stdout


def test_queues_and_their_entries(told: Told) -> None:
    (gpu,) = [queue for queue in answer("queues", "list") if queue["name"] == "gpu"]
    assert (gpu["waiting"], gpu["workers"]) == (1, ["lab/1"])
    (entry,) = answer("queues", "show", "gpu")
    assert (entry["task"], entry["state"]) == (told.tasks["waiting"], "waiting")
    assert told.tasks["waiting"] in run("queues", "show", "gpu").stdout
    assert "Nothing waits" in run("queues", "show", "default").stderr


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("arguments", "shown"), [(["tasks", "list"], True), (["tasks", "list", "--json"], False)])
def test_a_person_sees_how_far_the_reading_of_a_long_log_is(
    told: Told, monkeypatch: pytest.MonkeyPatch, arguments: list[str], shown: bool
) -> None:
    for file in told.history.home.glob("projection*"):
        file.unlink()
    out, beside = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", beside)
    app(arguments, standalone_mode=False)
    assert ("100%" in beside.getvalue()) == shown
    assert bool(beside.getvalue()) == shown
    assert "baseline" in out.getvalue()


@pytest.mark.parametrize("command", [("queues", "create"), ("queues", "show"), ("agent", "--queue")])
def test_a_queue_needs_a_name(command: tuple[str, ...]) -> None:
    result = run(*command, " ")
    assert (result.exit_code, result.stdout) == (exit_codes.USAGE, "")
    assert "needs a name" in result.stderr


def test_limits_are_set_listed_and_lifted(told: Told) -> None:
    task = told.tasks["waiting"]
    assert answer("limits", "set", "queue:gpu", "2") == {"scope": "queue:gpu", "running": 2}
    assert run("limits", "set", "tag:licence", "1", "--reason", "one seat").exit_code == exit_codes.OK
    scopes = ["queue:gpu", "user:ada"]
    about = {"task": task, "run": 1, "worker": "lab/1", "entry": entry_id("gpu", task, 1)}
    told.history.say(PermitClaimed(meta=told.history.stamp(), scopes=scopes, **about))
    told.history.settle()
    rows = [(limit["scope"], limit["running"], limit["permits"]) for limit in answer("limits", "list")]
    assert rows == [("queue:gpu", 2, 1), ("tag:licence", 1, 0)]
    assert "queue:gpu" in run("limits", "list").stdout
    assert "PermitClaimed" in {event["type"] for event in answer("audit", task)}
    for scope in ("queue:gpu", "tag:licence"):
        assert answer("limits", "remove", scope) == {"scope": scope, "running": None}
    assert answer("limits", "list") == []


@pytest.mark.parametrize("arguments", [["gpu", "1"], ["queue:", "1"], ["project:x", "1"], ["queue:gpu", "-1"]])
def test_a_limit_that_makes_no_sense_is_refused(arguments: list[str]) -> None:
    assert run("limits", "set", *arguments).exit_code == exit_codes.USAGE


def test_workers_and_what_they_run(told: Told) -> None:
    (worker,) = answer("workers", "list")
    assert (worker["id"], worker["state"], worker["queues"]) == ("lab/1", "busy", ["gpu"])
    assert (worker["runs"][0]["task"], worker["runs"][0]["name"]) == (told.tasks["baseline"], "baseline")
    shown = run("workers", "list").stdout
    (line,) = [line for line in shown.splitlines() if "lab/1" in line]
    assert f"1/1   baseline {told.tasks['baseline'][:12]}/1   34 %" in re.sub(r" {3,}", "   ", line)
    assert answer("workers") == [worker]


def test_doctor_finds_everything_well() -> None:
    found = answer("doctor")
    states = {finding["check"]: finding["state"] for finding in found["findings"]}
    assert states["log"] == states["blob store"] == states["projection"] == states["spool"] == "ok"
    assert states["schema registry"] == "not used"
    assert found["versions"]["tasktape"]
    assert "answers in" in run("doctor").stdout


def test_doctor_shows_the_lag_of_each_queue_and_who_serves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_HOME", str(tmp_path))
    with contextlib.closing(History(tmp_path)) as history:
        history.queue("gpu")
        for name in ("first", "second"):
            history.enqueue(history.task(name), "gpu")
        history.worker("lab/1", ["gpu"])
        history.settle()

    def figures() -> Any:
        return next(finding["figures"] for finding in answer("doctor")["findings"] if finding["check"] == "queues")

    assert figures() == {"gpu": {"lag": 2, "waiting": 2, "workers": 1}}
    with load_settings().open_log() as log, log.join(agents_group("gpu"), [queue_topic("gpu")]) as member:
        member.commit(log.end_positions([queue_topic("gpu")]))
    assert "gpu: 1 worker, 2 waiting, lag 0" in run("doctor").stdout


@pytest.mark.parametrize(
    ("variables", "code", "words"),
    [
        ({"TASKTAPE_LOG": "nonsense"}, exit_codes.SETTINGS, "sqlite:///"),
        ({"TASKTAPE_LOG": "sqlite:////dev/null/log.db"}, exit_codes.LOG_UNAVAILABLE, "does not answer"),
        ({"TASKTAPE_CONFIG": "/nowhere.toml"}, exit_codes.SETTINGS, "/nowhere.toml"),
        ({"TASKTAPE_CLAIM_LEASE": "soon"}, exit_codes.SETTINGS, "TASKTAPE_CLAIM_LEASE"),
    ],
)
@pytest.mark.parametrize("command", [["tasks", "list"], ["queues", "create", "q"], ["audit", "x"]])
def test_wrong_settings_are_a_sentence_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], code: int, words: str, command: list[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = run(*command)
    assert (result.exit_code, result.stdout) == (code, "")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_doctor_says_when_the_log_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_LOG", "sqlite:////dev/null/log.db")
    result = run("doctor", "--json")
    assert result.exit_code == exit_codes.LOG_UNAVAILABLE
    (log,) = [finding for finding in json.loads(result.stdout)["findings"] if finding["check"] == "log"]
    assert log["state"] == "failure"


def test_an_empty_log_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_HOME", str(tmp_path / "empty"))
    for command, words in (("tasks", "Task.init"), ("queues", "queues create"), ("workers", "tasktape agent")):
        result = run(command, "list")
        assert result.exit_code == exit_codes.OK
        assert words in result.stderr
        assert answer(command, "list") == []


COMMANDS = [
    [],
    ["init"],
    ["demo"],
    ["agent"],
    ["serve"],
    ["dashboard"],
    ["audit"],
    ["sync"],
    ["doctor"],
    ["version"],
    *(["tasks", name] for name in ("list", "show", "logs", "enqueue", "dequeue", "clone", "abort", "reset", "archive")),
    *(["queues", name] for name in ("list", "show", "create", "delete", "pause", "resume", "clear", "move")),
    *(["pipelines", name] for name in ("list", "show", "run")),
    *(["limits", name] for name in ("list", "set", "remove")),
    ["workers"],
    ["workers", "list"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_examples(command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == exit_codes.OK
    assert f"$ tasktape {' '.join(command)}" in result.stdout or not command


def test_the_docs_name_every_command_and_exit_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    assert [" ".join(command) for command in COMMANDS if f"`tasktape {' '.join(command)}`" not in text] == [""]
    assert [code for code, meaning in exit_codes.MEANINGS.items() if f"| {code} | {meaning} |" not in text] == []


def test_nothing_heavy_is_imported_for_help() -> None:
    heavy = "duckdb numpy pandas pyarrow boto3 streamlit confluent_kafka fastavro pydantic rich"
    program = f"import sys, tasktape.cli.main; print([m for m in '{heavy}'.split() if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout == b"[]\n"


@pytest.mark.parametrize(
    ("room", "widths"),
    [(1000, [2, 50, 30, 4]), (60, [2, 22, 22, 4]), (30, [2, 8, 8, 4])],
)
def test_a_table_fits_the_terminal_by_cutting_what_may_be_cut(room: int, widths: list[int]) -> None:
    columns = [Column("ID"), Column("NAME", grow=True), Column("PROJECT", grow=True), Column("N", right=True)]
    cells = [[Text("ab"), Text("n" * 50), Text("p" * 30), Text("1234")]]
    assert _widths(columns, cells, room) == widths


@pytest.mark.parametrize(
    ("arguments", "housing", "queues"),
    [
        ([], Housing("venv"), ["default"]),
        (["--env", "current", "a", "b"], Housing("current"), ["a", "b"]),
        (["--docker"], Housing("venv", "docker"), ["default"]),
        (["--docker", "--queue", "gpu"], Housing("venv", "docker"), ["gpu"]),
        (["-q", "gpu", "--podman", "image:1 --gpus all"], Housing("venv", "podman", "image:1 --gpus all"), ["gpu"]),
        (["--docker=image:1", "gpu"], Housing("venv", "docker", "image:1"), ["gpu"]),
    ],
)
def test_an_agent_is_told_what_to_run_tasks_in(
    arguments: list[str], housing: Housing, queues: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_agent = create_autospec(agent_main.run_agent, return_value=exit_codes.OK)
    monkeypatch.setattr(agent_main, "run_agent", run_agent)
    assert run("agent", *arguments).exit_code == exit_codes.OK
    (told,) = run_agent.call_args_list
    assert (told.args[1], told.kwargs["housing"]) == (queues, housing)


def test_an_agent_uses_one_container_engine() -> None:
    assert run("agent", "--docker", "--podman").exit_code == exit_codes.USAGE
