"""Commands that change and show queues, and what they say when they can't."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from tasktape.cli import exit_codes, queues, watching
from tasktape.cli.main import app
from tasktape.events.hardware import Hardware
from tasktape.events.queue_events import EntryClaimed, entry_id
from tasktape.events.worker_events import WorkerHeartbeat, WorkerStarted
from tasktape.producers.session import change_session
from tasktape.tests.support.histories import History


class Told:
    """A queue `gpu` in which the tasks `a`, `b` and `c` wait."""

    def __init__(self, history: History) -> None:
        self.history = history
        history.queue("gpu")
        self.tasks = {name: history.task(name) for name in "abc"}
        for task in self.tasks.values():
            history.settle()
            history.enqueue(task, "gpu")
        history.settle()

    def claim(self, name: str) -> None:
        task = self.tasks[name]
        about = {"task": task, "queue": "gpu", "run": 1, "entry": entry_id("gpu", task, 1)}
        self.history.say(EntryClaimed(meta=self.history.stamp(), worker="agent/lab", **about))
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
    return CliRunner().invoke(app, list(arguments))


def answer(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == exit_codes.OK, result.output
    return json.loads(result.stdout)


def order(told: Told, queue: str = "gpu") -> str:
    names = {task: name for name, task in told.tasks.items()}
    return "".join(names[entry["task"]] for entry in answer("queues", "show", queue))


def queue_row(name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [queue for queue in answer("queues", "list") if queue["name"] == name]
    return found[0]


def test_a_queue_is_created_once_and_deleted(told: Told) -> None:
    assert answer("queues", "create", "new queue/ü") == {"queue": "new queue/ü", "done": "created", "dequeued": []}
    again = run("queues", "create", "new queue/ü")
    assert (again.exit_code, "already" in again.stderr) == (exit_codes.REFUSED, True)
    assert "is deleted" in run("queues", "delete", "new queue/ü").stderr
    assert {queue["name"] for queue in answer("queues", "list")} == {"gpu"}
    assert order(told) == "abc"


def test_a_queue_is_not_deleted_with_what_waits_in_it_unless_forced(told: Told) -> None:
    refused = run("queues", "delete", "gpu")
    assert refused.exit_code == exit_codes.REFUSED
    assert all(text in refused.stderr for text in ("3 tasks wait", "--force", *told.tasks.values()))
    assert answer("queues", "delete", "gpu", "--force")["dequeued"] == list(told.tasks.values())
    assert answer("queues", "list") == []


def test_what_comes_to_a_deleted_queue_is_shown_until_it_is_moved_or_dequeued(told: Told) -> None:
    run("queues", "delete", "gpu", "--force")
    for name in "ab":
        told.history.enqueue(told.tasks[name], "gpu", run=2)
    told.history.queue("cpu")
    told.history.settle()
    assert (queue_row("gpu")["deleted"], queue_row("gpu")["waiting"]) == (True, 2)
    assert "deleted" in run("queues", "list").stdout
    assert "deleted" in run("queues", "show", "gpu").stderr
    assert "deleted queues: gpu" in run("doctor").stdout
    assert run("tasks", "enqueue", told.tasks["c"], "--queue", "gpu").exit_code == exit_codes.NOT_FOUND
    assert run("queues", "move", told.tasks["a"], "--to", "cpu").exit_code == exit_codes.OK
    assert (order(told), order(told, "cpu")) == ("b", "a")
    assert answer("queues", "clear", "gpu")["dequeued"] == [told.tasks["b"]]
    assert [queue["name"] for queue in answer("queues", "list")] == ["cpu"]


def test_a_deleted_queue_in_which_something_waits_can_be_created_again(told: Told) -> None:
    run("queues", "delete", "gpu", "--force")
    told.history.enqueue(told.tasks["a"], "gpu", run=2)
    told.history.settle()
    assert answer("queues", "create", "gpu")["done"] == "created"
    assert not queue_row("gpu")["deleted"]
    assert order(told) == "a"


def test_a_queue_is_paused_with_a_reason_and_resumed(told: Told) -> None:  # noqa: ARG001  the history is enough
    assert answer("queues", "pause", "gpu", "--reason", "disk full")["done"] == "paused"
    assert (queue_row("gpu")["paused"], queue_row("gpu")["pause_reason"]) == (True, "disk full")
    assert "paused: disk full" in run("queues", "list").stdout
    assert "paused: disk full" in run("queues", "show", "gpu").stderr
    assert "is resumed" in run("queues", "resume", "gpu").stderr
    assert not queue_row("gpu")["paused"]


def test_a_queue_is_cleared_of_all_that_no_agent_has_claimed(told: Told) -> None:
    told.claim("b")
    result = run("queues", "clear", "gpu", "--reason", "wrong data")
    assert "cleared, 2 dequeued" in result.stderr
    assert told.tasks["b"] in result.stderr
    assert order(told) == "b"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--front"], "cab"),
        (["--position", "2"], "acb"),
        (["--priority", "1"], "cab"),
        (["--back", "--priority", "-1"], "abc"),
    ],
    ids=" ".join,
)
def test_a_task_is_moved_within_its_queue(told: Told, arguments: list[str], expected: str) -> None:
    task = told.tasks["c"]
    moved = answer("queues", "move", task, *arguments)
    assert moved == {"id": task, "name": "c", "queue": "gpu", "done": "moved"}
    assert order(told) == expected


def test_a_task_is_moved_to_another_queue_and_out_of_it(told: Told) -> None:
    assert "moved in default" in run("queues", "move", "b", "--to", "default", "--reason", "small").stderr
    assert (order(told), order(told, "default")) == ("ac", "b")
    assert "out of its queue" in run("tasks", "dequeue", "b").stderr
    assert order(told, "default") == ""
    assert run("tasks", "enqueue", "b", "--queue", "gpu", "--front").exit_code == exit_codes.OK
    assert order(told) == "bac"
    run("tasks", "dequeue", "a", "c")
    run("tasks", "enqueue", "a", "c", "--queue", "gpu", "--priority", "2", "--front")
    assert order(told) == "acb"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["queues", "pause", "gp"], exit_codes.NOT_FOUND, "Did you mean gpu"),
        (["queues", "clear", "gp"], exit_codes.NOT_FOUND, "Did you mean gpu"),
        (["queues", "delete", "gp"], exit_codes.NOT_FOUND, "Did you mean gpu"),
        (["queues", "move", "b", "--to", "gp"], exit_codes.NOT_FOUND, "Did you mean gpu"),
        (["queues", "move", "nobody", "--front"], exit_codes.NOT_FOUND, "there is no task"),
        (["queues", "move", "b"], exit_codes.USAGE, "say where to move it"),
        (["queues", "move", "b", "--front", "--back"], exit_codes.USAGE, "exclude each other"),
        (["queues", "move", "b", "--position", "0"], exit_codes.USAGE, "position"),
        (["queues", "move", "a", "--front"], exit_codes.REFUSED, "agent/lab has claimed it"),
        (["tasks", "dequeue", "a"], exit_codes.REFUSED, "agent/lab has claimed it"),
        (["tasks", "dequeue", "draft"], exit_codes.REFUSED, "waits in no queue"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_not_be_done_is_said_and_changes_nothing(
    told: Told, arguments: list[str], code: int, words: str
) -> None:
    told.history.task("draft")
    told.claim("a")
    result = run(*arguments)
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    assert "Traceback" not in result.stderr
    assert order(told) == "abc"


def test_waits_are_shown_once_agents_have_taken_something(told: Told) -> None:
    assert queue_row("gpu")["waits"] is None
    told.history.take(told.tasks["a"], "gpu", "agent/lab")
    told.history.settle()
    waits = queue_row("gpu")["waits"]
    assert waits["taken"] == 1
    assert 0 <= waits["p50"] == waits["p90"] == waits["p99"] < 3600
    assert "P90" in run("queues", "list", "--last", "5").stdout
    shown = run("queues", "show", "gpu")
    assert "2 waiting · 0 claimed" in shown.stderr
    assert "waits of the last 1: p50" in shown.stderr


Watching = Callable[..., None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Watching:
    """What happens between two looks at a queue; after it somebody presses Ctrl-C."""

    def happen(*steps: Callable[[], object]) -> None:
        waiting = iter(steps)

        def pause() -> None:
            step = next(waiting, None)
            if step is None:
                raise KeyboardInterrupt
            step()

        monkeypatch.setattr(watching, "_pause", pause)

    return happen


def test_a_watched_queue_is_a_line_of_json_for_each_change(told: Told, meanwhile: Watching) -> None:
    meanwhile(lambda: None, lambda: told.claim("a"), lambda: None)
    lines = [json.loads(line) for line in run("queues", "show", "gpu", "--watch", "--json").stdout.splitlines()]
    assert [(line["waiting"], line["claimed"]) for line in lines] == [(3, 0), (2, 1)]
    assert [entry["task"] for entry in lines[0]["entries"]] == list(told.tasks.values())
    assert lines[0]["waits"] is None


def test_a_watched_queue_is_drawn_at_each_change_where_nobody_looks(told: Told, meanwhile: Watching) -> None:
    meanwhile(lambda: None, lambda: told.claim("a"))
    shown = run("queues", "show", "gpu", "--watch").stdout
    assert shown.count("gpu · ") == 2
    assert "gpu · 2 waiting · 1 claimed" in shown


def test_a_watched_queue_is_redrawn_in_a_terminal(
    told: Told, meanwhile: Watching, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "screen").open("w+") as screen:
        terminal = Console(file=screen, force_terminal=True, width=80, height=20)
        for module in (queues, watching):
            monkeypatch.setattr(module, "console", lambda: terminal)
        meanwhile(lambda: told.claim("a"), lambda: None)
        run("queues", "show", "gpu", "--watch")
        screen.seek(0)
        drawn = screen.read()
    assert drawn.index("3 waiting") < drawn.index("2 waiting · 1 claimed")
    assert "\x1b[1A" in drawn, "it is drawn over what was there"
    assert "ENQUEUED" in drawn, "80 columns are enough"


def test_an_empty_queue_can_be_watched(told: Told, meanwhile: Watching) -> None:
    meanwhile()
    assert "default · 0 waiting" in run("queues", "show", "default", "--watch").stdout
    assert order(told) == "abc"


def test_what_entries_need_and_what_workers_have_left_is_shown(told: Told) -> None:
    told.history.enqueue(told.history.task("big"), "gpu", hardware=Hardware(gpus=2, memory_gb=64.0))
    about: dict[str, Any] = {"worker": "lab/1", "queues": ["gpu"]}
    has, spare = Hardware(gpus=1, cpus=4.0), Hardware(cpus=1.5)
    stamp = told.history.stamp
    told.history.say(WorkerStarted(meta=stamp(), host="h", pid=1, hardware=has, **about))
    told.history.say(WorkerHeartbeat(meta=stamp(), spare=spare, **about))
    told.history.settle()
    (line,) = [line for line in run("queues", "show", "gpu").stdout.splitlines() if "train" in line or "big" in line]
    assert "2 GPUs, 64 GB of memory" in line
    assert [entry["gpus"] for entry in answer("queues", "show", "gpu")] == [0, 0, 0, 2]
    (worker,) = answer("workers")
    assert (worker["gpus"], worker["cpus"], worker["spare_gpus"], worker["spare_cpus"]) == (1, 4.0, 0, 1.5)
    assert "1.5 cores" in run("workers").stdout
