"""`tasktape demo` from an empty home: three trainings, two of them on its agent, and nothing left running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tasktape.tests.support.agent_site import processes_of

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
