"""`tasktape demo` from an empty home: three trainings, two of them on its agent, and nothing left running.

The example that searches for better parameters finds some.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tasktape import Task
from tasktape.tests.support.agent_site import processes_of

EXAMPLES = Path(__file__).parents[2] / "examples"
TASKTAPE = [sys.executable, "-m", "tasktape.cli.main"]


def test_the_demo_trains_compares_and_leaves_nothing_running(home: Path) -> None:
    environment = {**os.environ, "COLUMNS": "120"}
    demo = subprocess.run([*TASKTAPE, "demo"], capture_output=True, text=True, env=environment, check=False)
    assert demo.returncode == 0, demo.stderr
    rows = [line for line in demo.stdout.splitlines() if line.startswith("digits")]
    assert [row.split()[-1] for row in rows] == ["here", "agent", "agent"]
    assert "/compare?compare=" in demo.stderr
    told = subprocess.run(
        [*TASKTAPE, "tasks", "list", "--sort", "created_at", "--json"], capture_output=True, check=True
    )
    tasks = json.loads(told.stdout)
    assert [(task["name"], task["status"]) for task in tasks] == [
        ("digits", "completed"),
        ("digits, wider", "completed"),
        ("digits, slower", "completed"),
    ]
    about = json.loads(
        subprocess.run([*TASKTAPE, "tasks", "show", tasks[1]["id"], "--json"], capture_output=True, check=True).stdout
    )
    assert about["parameters"]["Args/hidden"] == 96
    assert (about["script"]["repository"], about["script"]["entry_point"]) == ("", "digits.py"), "it needs no remote"
    assert {(s["title"], s["series"], s["count"]) for s in about["scalars"] if not s["title"].startswith(":")} == {
        (title, series, 20) for title in ("loss", "accuracy") for series in ("train", "validation")
    }
    assert [model["name"] for model in about["models"]] == ["digits"]
    assert [process.info for process in processes_of(home)] == []


@pytest.mark.usefixtures("home")
def test_the_search_example_finds_better_parameters_than_those_of_its_base_task(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLES, tmp_path / "examples"))
    command([sys.executable, "digits.py", "--epochs", "5"], folder)
    serve = [*TASKTAPE, "agent", "--queue", "default", "--slots", "2", "--env", "current"]
    with subprocess.Popen(serve, cwd=folder, stderr=subprocess.DEVNULL) as agent:
        try:
            said = command([sys.executable, "search_digits.py", "--trials", "3", "--seed", "3"], folder)
        finally:
            agent.terminate()
    base, best = Task.get_task(project_name="examples", task_name="digits"), Task.get_task(said.split()[-1])
    assert base is not None
    assert best.get_parameter("Args/epochs") == "5", "a trial keeps what is not searched for"
    assert accuracy(best) > accuracy(base)


def test_the_demo_of_the_scaler_runs_each_task_once_though_the_scaler_dies(home: Path) -> None:
    command = [*TASKTAPE, "demo", "scaler", "--tasks", "6"]
    environment = {**os.environ, "TASKTAPE_HEARTBEAT_INTERVAL": "0.5"}
    demo = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert demo.returncode == 0, demo.stderr
    for words in ("a scaler leads", "is killed", "the next scaler leads", "nothing to do for 6 s", "page Scalers"):
        assert words in demo.stderr
    assert "6 tasks completed, each was run once" in demo.stderr
    _, _, *agents = [line.split() for line in demo.stdout.splitlines()]
    assert 1 <= len(agents) <= 4
    assert sum(int(agent[-3]) for agent in agents) == 6
    assert [process.info for process in processes_of(home)] == []


def test_the_demo_of_the_scaler_that_is_interrupted_leaves_no_agent_and_nothing_that_waits(home: Path) -> None:
    with subprocess.Popen([*TASKTAPE, "demo", "scaler"], stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stderr is not None
        assert any("serves" in line for line in demo.stderr)
        demo.send_signal(signal.SIGINT)
        assert "ends early" in demo.stderr.read()
    assert demo.returncode == 130
    assert [process.info for process in processes_of(home)] == []
    listed = subprocess.run([*TASKTAPE, "queues", "list", "--json"], capture_output=True, check=True)
    assert [(queue["name"], queue["waiting"]) for queue in json.loads(listed.stdout)] == [("scaled", 0)]


def accuracy(task: Task) -> float:
    """Of what a network has never seen, in the end."""
    last: float = task.get_last_scalar_metrics()["accuracy"]["validation"]["last"]
    return last


def command(arguments: Sequence[str], folder: Path) -> str:
    """What a program that has to succeed prints."""
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
