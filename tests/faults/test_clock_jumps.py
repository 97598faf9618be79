"""A machine's clock jumps by hours in the middle of a task: nobody is lost, nothing runs twice, all points arrive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tasktape.tests.support.skewed_clock import SKEWED_CLOCK

HOUR = 3600
SCRIPT = """
import pathlib, time
from tasktape import Task

task = Task.init(project_name="clocks", task_name="jumps", auto_resource_monitoring=False)
folder = pathlib.Path(task.get_parameter("General/folder"))
before = time.time()
(folder / "running").touch()
step = 0
while not (folder / "enough").exists():
    task.get_logger().report_scalar("clock", "shift", time.time() - before, step)
    step += 1
    time.sleep(0.05)
task.get_logger().report_single_value("points", step)
"""
ENQUEUE = """
import sys
from tasktape import Task

task = Task.create(project_name="clocks", task_name="jumps", script=sys.argv[1])
task.set_parameter("General/folder", sys.argv[2])
Task.enqueue(task, queue_name="default")
print(task.id)
"""
READ = """
import json, sys
from tasktape.events.settings import load_settings
from tasktape.projections import open_queries

with open_queries(load_settings()) as queries:
    task, events = queries.task(sys.argv[1]), queries.events()
    beats = [event for event in events if event.type == "WorkerHeartbeat"]
    scalars = queries.scalars(sys.argv[1], title="clock").to_pydict()
    print(json.dumps({
        "status": task.status if task else "",
        "run": task.run if task else 0,
        "types": [event.type for event in events if event.type not in ("WorkerHeartbeat",)],
        "beats": len(beats),
        "shifts": scalars["value"],
        "points": queries.single_values(sys.argv[1]).get("points"),
    }))
"""


class Site:
    """A machine whose clock can be set: its programs see it through a start-up file of Python's."""

    def __init__(self, folder: Path, log_url: str) -> None:
        self.folder = folder
        self._skew = folder / "skew"
        self.jump(0)
        (folder / "sitecustomize.py").write_text(SKEWED_CLOCK)
        self._environment = os.environ | {
            "TASKTAPE_LOG": log_url,
            "TASKTAPE_HEARTBEAT_INTERVAL": "0.5",
            "PYTHONPATH": str(folder),
            "SKEW_FILE": str(self._skew),
        }

    def jump(self, seconds: int) -> None:
        """Set the clock so many seconds off the true time."""
        new = self.folder / "skew.new"
        new.write_text(str(seconds))
        new.replace(self._skew)

    def run(self, code: str, *arguments: str) -> str:
        """Run Python code with the machine's true clock."""
        environment = {name: value for name, value in self._environment.items() if name != "PYTHONPATH"}
        command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def agent(self) -> subprocess.Popen[bytes]:
        """Start an agent on the machine."""
        command = [str(Path(sys.executable).with_name("tasktape")), "agent", "--queue", "default", "--env", "current"]
        return subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL)

    def read(self, task: str) -> dict[str, Any]:
        """Return what the projection knows of a task."""
        state: dict[str, Any] = json.loads(self.run(READ, task).splitlines()[-1])
        return state


@pytest.fixture
def site(tmp_path: Path, log_url: str) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    with ExitStack() as stack:
        made = Site(folder, log_url)
        for _ in range(2):
            agent = stack.enter_context(made.agent())
            stack.callback(agent.wait, 30)
            stack.callback(agent.terminate)
        yield made


@pytest.mark.parametrize("jump", [5 * HOUR, -5 * HOUR], ids=["forward", "backward"])
def test_a_clock_that_jumps_loses_nobody(site: Site, jump: int, until: Callable[[Callable[[], Any]], Any]) -> None:
    script = site.folder / "jumps.py"
    script.write_text(SCRIPT)
    task = site.run(ENQUEUE, str(script), str(site.folder))
    until((site.folder / "running").exists)
    before = site.read(task)["beats"]
    site.jump(jump)
    until(lambda: site.read(task)["beats"] >= before + 10)
    (site.folder / "enough").touch()
    state = until(lambda: (now := site.read(task))["status"] == "completed" and now)
    assert max(map(abs, state["shifts"])) > 4 * HOUR, "the task itself saw the jump"
    assert state["run"] == 1
    assert state["types"].count("RunStarted") == 1
    assert "RunLost" not in state["types"]
    assert len(state["shifts"]) == state["points"], "no point is missing"
