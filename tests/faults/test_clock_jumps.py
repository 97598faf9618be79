"""A machine's clock jumps by hours in the middle of a task: nobody is lost, nothing runs twice, all points arrive."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tasktape.events.settings import Settings
from tasktape.projections import open_queries
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


class State(NamedTuple):
    """What the projection knows of a task, and how many heartbeats there were."""

    status: str
    run: int
    types: list[str]
    beats: int
    shifts: list[float]
    points: float | None


class Site:
    """A machine whose clock can be set: its programs see it through a start-up file of Python's."""

    def __init__(self, folder: Path, log_url: str) -> None:
        self.folder = folder
        self._settings = Settings(home=folder.parent / "home", log=log_url)
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

    def read(self, task: str) -> State:
        """Return what the projection knows of a task; here the clock is true."""
        with open_queries(self._settings) as queries:
            row, events = queries.task(task), queries.events()
            return State(
                row.status if row else "",
                row.run if row else 0,
                [event.type for event in events if event.type != "WorkerHeartbeat"],
                sum(event.type == "WorkerHeartbeat" for event in events),
                queries.scalars(task, title="clock").to_pydict()["value"],
                queries.single_values(task).get("points"),
            )


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
    before = site.read(task).beats
    site.jump(jump)
    until(lambda: site.read(task).beats >= before + 10)
    (site.folder / "enough").touch()
    state = until(lambda: (now := site.read(task)).status == "completed" and now)
    assert max(map(abs, state.shifts)) > 4 * HOUR, "the task itself saw the jump"
    assert state.run == 1
    assert state.types.count("RunStarted") == 1
    assert "RunLost" not in state.types
    assert len(state.shifts) == state.points, "no point is missing"
