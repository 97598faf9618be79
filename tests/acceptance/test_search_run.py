"""`tasktape search run`: controlled by the command or by an agent, on both logs; its end leaves no trial behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasktape import Task
from tasktape.cli import exit_codes
from tasktape.producers.session import change_session
from tasktape.tests.conftest import empty
from tasktape.tests.support.agent_site import AGENT, AgentSite, agent_site, is_alive
from tasktape.tests.support.controller_world import ControllerWorld

TRIAL = """
import atexit, signal
from tasktape import Task
task = Task.init(auto_resource_monitoring=False)
x = task.connect({"x": 0.0})["x"]
note("trial", x, os.getpid())
def report(value, iteration=0):
    task.get_logger().report_scalar("loss", "value", value, iteration)
"""
GOAL = ("--new", "--objective", "loss/value:min", "--strategy", "grid")


class Command:
    """A command that runs. What it says goes to files: trials that outlive it hold on to its output."""

    def __init__(self, command: list[str], settings: dict[str, str], folder: Path) -> None:
        self._folder = folder
        with (folder / "stdout").open("w") as output, (folder / "stderr").open("w") as errors:
            about: dict[str, Any] = {"stdout": output, "stderr": errors, "cwd": folder}
            self.process = subprocess.Popen(command, env=os.environ | settings, **about)

    def end(self) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(60)

    def read(self, name: str) -> str:
        """What it has said to `stdout` or `stderr`."""
        return (self._folder / name).read_text()

    @property
    def seen(self) -> dict[str, Any]:
        """What it said of the search last."""
        return last(self.read("stdout"))


class World(ControllerWorld):
    """A site with what the scripts of one test share."""

    def __init__(self, site: AgentSite, folder: Path) -> None:
        super().__init__(site, folder)
        self.commands: list[Command] = []

    def trial(self, body: str) -> str:
        """Make a task of which trials do this."""
        return self.site.create(self.head + TRIAL + body)

    def begin(self, *arguments: str) -> Command:
        """Begin a command, as a person at a terminal does."""
        command = [sys.executable, "-c", AGENT, "search", *arguments, "--json"]
        self.commands.append(Command(command, self.site.settings, self.folder))
        return self.commands[-1]

    def pids(self) -> list[int]:
        """The processes of all trials."""
        return [int(line.split()[2]) for line in self.notes if line.startswith("trial")]

    def wait_for_trials(self, count: int) -> None:
        """Wait until so many trials have begun."""
        self.site.wait(lambda: len(self.pids()) >= count)


def last(output: str) -> dict[str, Any]:
    """What was said of a search at the end."""
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def statuses(seen: dict[str, Any]) -> list[str]:
    """What has become of each trial, as the search and as its task tell it."""
    return [f"{trial['status']} {Task.get_task(trial['child']).get_status()}" for trial in seen["trials"]]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentSite]:
    """A log with an agent for controllers alone."""
    folder = tmp_path_factory.mktemp("commands")
    url = f"sqlite://{folder}/home/log.db"
    if request.param == "kafka":
        url = str(request.getfixturevalue("kafka_url"))
        if not os.environ.get("TASKTAPE_TEST_KAFKA"):
            empty(url.removeprefix("kafka://"))
    with agent_site(url, folder / "home", folder / "site", ("services",)) as made:
        made.agent("--services", "--env", "current")
        yield made


@pytest.fixture
def world(site: AgentSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The site, also for this process's own calls. Nothing outlives the test."""
    for name, value in site.settings.items():
        monkeypatch.setenv(name, value)
    change_session(None)
    made = World(site, tmp_path / "world")
    yield made
    for command in made.commands:
        command.process.kill()
        command.process.wait()
    for pid in filter(is_alive, made.pids()):
        os.kill(pid, signal.SIGKILL)


def test_ctrl_c_ends_every_trial_whatever_it_is_at(world: World) -> None:
    base = world.trial("""
report(x)
if x == 1:
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
if x == 2:
    atexit.register(lambda: (note("at exit"), wait_for("never")))
else:
    wait_for("never")
""")
    command = world.begin("run", "-t", base, *GOAL, "-p", "x=[1, 2, 3]", "--local", "--concurrent", "3")
    world.wait_for_trials(2)
    world.wait_for("at exit")
    command.process.send_signal(signal.SIGINT)
    assert command.end() == exit_codes.INTERRUPTED, command.read("stderr")
    assert not any(map(is_alive, world.pids()))
    search = command.seen["task"]
    shown = json.loads(world.site.command("search", "show", search, "--json").stdout)
    assert (shown["status"], shown["stopping_reason"]) == ("stopped", "interrupted")
    assert statuses(shown) == ["aborted stopped", "aborted completed", "aborted stopped"]


def test_a_search_whose_command_was_killed_goes_on_and_ends_when_it_is_told_to(world: World) -> None:
    base = world.trial("""
report(x)
wait_for(f"go {x:.0f}")
""")
    command = world.begin("run", "-t", base, *GOAL, "-p", "x=[1, 2, 3]", "--local", "--concurrent", "2")
    world.wait_for_trials(2)
    command.process.kill()
    command.end()
    search = command.seen["task"]
    command = world.begin("resume", search)
    world.let("go 1")
    world.wait_for_trials(3)
    command.process.terminate()
    assert command.end() == exit_codes.INTERRUPTED, command.read("stderr")
    world.site.wait(lambda: not any(map(is_alive, world.pids())))
    shown = json.loads(world.site.command("search", "show", search, "--json").stdout)
    assert statuses(shown) == ["completed completed", "aborted stopped", "aborted stopped"]


def test_an_agent_controls_a_search_and_a_person_looks_on(world: World) -> None:
    base = world.trial("report(x)")
    enqueued = world.site.command(
        *("search", "run", "-t", base, *GOAL, "-p", "x=[2, 1]", "--local", "--concurrent", "1"),
        *("--remote", "services", "--json"),
    )
    assert enqueued.returncode == exit_codes.OK, enqueued.stderr
    search = json.loads(enqueued.stdout)["id"]
    assert world.end(search) == "RunCompleted", world.reason(search)
    shown = last(world.site.command("search", "show", search, "--watch", "--json").stdout)
    assert (shown["status"], shown["best"], shown["best_values"]) == ("completed", 1, [1.0])
    assert statuses(shown) == ["completed completed"] * 2
    told = [text for stream, text in world.site.console(search) if "the best so far" in text]
    assert len(told) == 2


def test_a_search_that_finds_nothing_says_so_in_its_exit_code(world: World) -> None:
    base = world.trial("raise SystemExit(7)")
    command = world.begin("run", "-t", base, *GOAL, "-p", "x=[1]", "--local")
    assert command.end() == exit_codes.FAILURE
    reason = "the only trial has come to no value: 1 failed; the reason: exit code 7"
    said = command.read("stderr").splitlines()
    assert said[-1] == f"tasktape: the search has found nothing: {reason}."
    assert said.count(f"the search has failed: {reason}.") == 1
    assert (command.seen["status"], command.seen["stopping_reason"]) == ("failed", reason)
    assert statuses(command.seen) == ["failed failed"]
    shown = json.loads(world.site.command("search", "show", command.seen["task"], "--json").stdout)
    assert (shown["status"], shown["stopping_reason"], shown["stopping_failed"]) == ("failed", reason, True)
