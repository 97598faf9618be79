"""Processes that a launcher starts side by side are one task, whichever comes first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasktape.events.settings import load_settings
from tasktape.projections import open_queries

SCRIPT = """
import os, time
from tasktape import Task
if os.environ["LOCAL_RANK"] == "0":
    time.sleep(0.5)
task = Task.init("ranks", "training")
task.get_logger().report_single_value("rank " + os.environ["LOCAL_RANK"], 1.0)
task.flush()
if os.environ["LOCAL_RANK"] == "0":
    input()
"""


@pytest.mark.parametrize("ranks", [3])
def test_ranks_share_one_task(home: Path, tmp_path: Path, ranks: int) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    started = []
    for rank in reversed(range(ranks)):
        environment = {**os.environ, "LOCAL_RANK": str(rank), "MASTER_PORT": "29500", "TMPDIR": str(tmp_path)}
        process = subprocess.Popen(
            [sys.executable, str(script)], env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
    *others, first = started
    for process in others:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    first.communicate("\n", timeout=60)
    assert first.returncode == 0
    settings = load_settings()
    assert settings.home == home
    with open_queries(settings) as queries:
        (task,) = queries.tasks()
        assert (task.status, task.run) == ("completed", 1)
        assert queries.single_values(task.id) == {f"rank {rank}": 1.0 for rank in range(ranks)}
