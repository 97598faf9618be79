"""However a process with a task ends, the task's last state says how."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasktape import Task
from tasktape.events.codec import TYPE_HEADER
from tasktape.events.log import open_log
from tasktape.events.settings import Settings, load_settings
from tasktape.producers.session import change_session
from tasktape.projections import open_queries
from tasktape.projections.rows import EventRow, RunRow

BEGIN = """
import multiprocessing, os, signal, sys, time
from tasktape import Task
task = Task.init("endings", "script")
task.get_logger().report_single_value("before", 1.0)
"""
WAIT = 'print("ready", flush=True)\ntime.sleep(60)\n'
LOOP = 'print("ready", flush=True)\nfor _ in range(6000):\n    time.sleep(0.01)\n'
"""For SIGINT, which is Python's: one that comes as a sleep begins is seen to when that is over, here as anywhere."""


@pytest.fixture
def settings(home: Path) -> Iterator[Settings]:
    """Settings of an empty home with the embedded log."""
    settings = load_settings()
    assert settings.home == home
    yield settings
    change_session(None)


Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Start]:
    """Start a script that has begun a task."""
    assert settings.home.parent == tmp_path
    processes: list[subprocess.Popen[str]] = []

    def begin(code: str) -> subprocess.Popen[str]:
        script = tmp_path / "script.py"
        script.write_text(BEGIN + code)
        process = subprocess.Popen(
            [sys.executable, str(script)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def only_run(settings: Settings) -> RunRow:
    with open_queries(settings) as queries:
        (task,) = queries.tasks()
        (run,) = queries.runs(task.id)
        assert queries.single_values(task.id).get("before") == 1.0
    return run


def events(settings: Settings) -> list[EventRow]:
    with open_queries(settings) as queries:
        return queries.events()


ENDINGS: dict[str, tuple[str, int, str, str]] = {
    "in order": ("", 0, "completed", ""),
    "sys.exit(0)": ("sys.exit(0)", 0, "completed", ""),
    "closed": ("task.close()", 0, "completed", ""),
    "exception": ("def fail():\n    return 1 / 0\nfail()", 1, "failed", "ZeroDivisionError"),
    "sys.exit(3)": ("sys.exit(3)", 3, "failed", "exit code 3"),
    "interrupted": ("raise KeyboardInterrupt", 130, "stopped", "interrupted"),
    "marked": ("task.mark_failed(status_reason='no data')", 0, "failed", "no data"),
    "child failed": (
        "child = multiprocessing.get_context('fork').Process(target=sys.exit, args=(5,))\nchild.start(); child.join()",
        0,
        "completed",
        "",
    ),
}


@pytest.mark.parametrize(("code", "exit_code", "status", "reason"), ENDINGS.values(), ids=ENDINGS.keys())
def test_a_script_that_ends(
    start: Start, settings: Settings, code: str, exit_code: int, status: str, reason: str
) -> None:
    process = start(code + "\n")
    _, errors = process.communicate(timeout=60)
    assert process.returncode in {exit_code, exit_code - 128 - 2 * signal.SIGINT}, errors
    run = only_run(settings)
    assert (run.status, run.reason) == (status, reason)
    if status == "failed" and code.startswith("def"):
        assert "return 1 / 0" in run.traceback
        assert "return 1 / 0" in errors


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, WAIT), (signal.SIGINT, LOOP)], ids=["SIGTERM", "SIGINT"])
def test_a_script_that_gets_a_signal(start: Start, settings: Settings, number: signal.Signals, code: str) -> None:
    process = start(code)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert only_run(settings).status == "stopped"


@pytest.mark.parametrize("code", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"], ids=["_exit", "SIGKILL"])
def test_a_script_that_vanishes_leaves_its_task_running_and_its_place_to_the_next(
    start: Start, settings: Settings, code: str
) -> None:
    start(code).communicate(timeout=60)
    with open_queries(settings) as queries:
        (task,) = queries.tasks()
    assert task.status == "in_progress"
    process = start("")
    assert process.wait(60) == 0
    with open_queries(settings) as queries:
        (task,) = queries.tasks()
    assert (task.status, task.run) == ("completed", 2)


def test_a_script_that_somebody_aborts(start: Start, settings: Settings) -> None:
    process = start("task.register_abort_callback(lambda: print('callback', flush=True))\n" + WAIT)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with open_queries(settings) as queries:
        (task,) = queries.tasks()
    Task.get_task(task.id).mark_stop_request(status_message="too slow")
    out, _ = process.communicate(timeout=60)
    assert out == "callback\n"
    run = only_run(settings)
    assert (run.status, run.reason, run.message) == ("stopped", "aborted", "too slow")


def test_a_script_that_will_not_be_interrupted_is_ended_by_force(start: Start, settings: Settings) -> None:
    stubborn = (
        "import tasktape.producers.control as control\n"
        "control.interrupt.__defaults__ = (0.2,)\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))\n"
        "child.start()\n"
        "print(child.pid, flush=True)\n"
    )
    process = start(stubborn + WAIT)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert process.stdout.readline() == "ready\n"
    with open_queries(settings) as queries:
        (task,) = queries.tasks()
    Task.get_task(task.id).mark_stop_request()
    assert process.wait(60) == 128 + signal.SIGINT
    assert only_run(settings).status == "stopped"
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()


def test_every_event_of_a_life_counts(start: Start, settings: Settings) -> None:
    assert start("task.connect({'lr': 0.1})\n").wait(60) == 0
    found = events(settings)
    assert [event.type for event in found if event.verdict != "accepted"] == []
    kinds = [event.type for event in found]
    assert kinds[:2] == ["TaskCreated", "RunStarted"]
    assert {"ParametersSet", "SingleValueReported", "TaskEdited", "RunCompleted"} <= set(kinds)


def test_the_end_of_a_run_lies_behind_all_that_it_has_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = home.parent / "reports.py"
    script.write_text(
        "from tasktape import Task\n"
        "task = Task.init('p', 'reports')\n"
        "task._execution.tidied.wait()\n"
        "for step in range(1000):\n"
        "    task.get_logger().report_scalar('loss', 'train', step, step)\n"
        "print('last words')\n"
    )
    monkeypatch.setenv("TASKTAPE_LOG", url := f"sqlite://{home}/log.db")
    subprocess.run([sys.executable, str(script)], check=True)
    topics = {"tasktape.tasks", "tasktape.metrics", "tasktape.console"}
    with open_log(url) as log, log.read(log.start_positions(topics)) as reader:
        records = list(reader.poll(1.0))
    kinds = {dict(record.headers)[TYPE_HEADER].decode(): record.timestamp for record in records}
    assert kinds["RunCompleted"] > max(kinds["ScalarsReported"], kinds["ConsoleWritten"])
