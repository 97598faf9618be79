"""Agents that run tasks in containers: an engine for tests that runs them on this machine, and a real one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tasktape.events.parts import Container
from tasktape.events.task_events import RunFailed, RunStopped
from tasktape.events.worker_events import WorkerStarted
from tasktape.tests.kafka.container import engine_answers
from tasktape.tests.support import fake_engine
from tasktape.tests.support.agent_site import AgentSite, agent_site, is_alive

SLEEPER = """
import os, pathlib, time
pathlib.Path(os.environ["SITE"], "pid").write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.fixture
def site(home: Path, tmp_path: Path) -> Iterator[AgentSite]:
    with agent_site(f"sqlite://{tmp_path}/elsewhere/log.db", home, tmp_path / "site") as made:
        yield made


class Engine:
    """What the engine was asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def asked(self, verb: str = "") -> list[list[str]]:
        lines = (self._folder / "asked").read_text().splitlines()
        return [call for call in map(json.loads, lines) if call[0] == verb or not verb]

    def started(self, verb: str = "run") -> list[list[str]]:
        """Calls that ran a program, or built for one."""
        return [call for call in self.asked("run") if verb in call]

    def running(self) -> list[Path]:
        return list(self._folder.glob("*.pid"))


@pytest.fixture
def name() -> str:
    return "docker"


@pytest.fixture
def engine(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    programs, folder = tmp_path / "programs", tmp_path / "engine"
    programs.mkdir()
    folder.mkdir()
    for program, start in {name: f"{sys.executable} {fake_engine.__file__}", "python3": sys.executable}.items():
        (programs / program).write_text(f'#!/bin/sh\nexec {start} "$@"\n')
        (programs / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("FAKE_ENGINE", str(folder))
    return Engine(folder)


def value_of(call: list[str], option: str) -> str:
    return call[call.index(option) + 1]


TELL = """
import os, sys
from tasktape import Task
task = Task.init("p", "n")
key = os.environ["AWS_SECRET_ACCESS_KEY"]
print("I am", task.id, "of", os.environ["IMAGE"], "with", key == "hidden-from-ps", file=sys.stderr)
print(os.environ.get("TASKTAPE_GIT_TOKEN"), os.environ.get("LANG_OF_HOST"))
sys.exit(7)
"""


def test_a_task_runs_in_a_container_as_it_would_outside(
    site: AgentSite, engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-from-ps")
    monkeypatch.setenv("LANG_OF_HOST", "of the host alone")
    monkeypatch.setenv("TASKTAPE_GIT_HOST", "example.org")
    monkeypatch.setenv("TASKTAPE_GIT_TOKEN", "a-token-of-the-agent")
    site.agent(f"--{name}", "base:1 --ipc=host --network host")
    task = site.put(TELL, requirements=[f"numpy=={version('numpy')}"])
    assert site.wait_for_end(task) == (1, "RunFailed")
    (failed,) = site.of(task, RunFailed)
    assert (failed.exit_code, failed.cause) == (7, "task")
    site.wait(lambda: ("stderr", f"I am {task} of base:1 with True") in site.console(task))
    site.wait(lambda: ("stdout", "None None") in site.console(task))
    (run,) = engine.started()[-1:]
    assert (value_of(run, "--ipc=host"), value_of(run, "--network")) == ("--network", "host")
    assert f"type=bind,source={site.home},target={site.home}" in run
    assert f"type=bind,source={site.home.parent}/elsewhere,target={site.home.parent}/elsewhere" in run
    assert "hidden-from-ps" not in json.dumps(engine.asked())
    site.wait(lambda: ["rm", "--force", value_of(run, "--name")] in engine.asked("rm"))
    site.wait(lambda: list((site.home / "runs").iterdir()) == [])


def test_a_task_has_an_image_arguments_and_a_set_up_of_its_own(site: AgentSite, engine: Engine, name: str) -> None:
    site.agent(f"--{name}")
    container = Container(image="own/image:2", arguments="--shm-size 1g", setup_script="touch $SITE/set-up\nexport X=1")
    tell = "import os; print(os.environ['IMAGE'], os.environ['X'], os.listdir(os.environ['SITE']))"
    task = site.put(tell, container=container)
    other = site.put("import os; print(os.environ['IMAGE'])", container=Container(image="own/image:2"))
    plain = site.put("import os; print(os.environ['IMAGE'])")
    for each in (task, other, plain):
        assert site.wait_for_end(each) == (1, "RunCompleted")
    (line,) = [text for stream, text in site.console(task) if stream == "stdout"]
    assert line.startswith("own/image:2 1 ")
    assert "set-up" in line
    assert ("stdout", f"python:3.{sys.version_info[1]}-slim") in site.console(plain)
    assert [value_of(call, "--shm-size") for call in engine.asked("run") if "--shm-size" in call] == ["1g", "1g"]
    assert [call[-1] for call in engine.asked("pull")] == ["own/image:2", f"python:3.{sys.version_info[1]}-slim"]


def test_an_environment_in_a_container_is_built_once(site: AgentSite, engine: Engine, name: str) -> None:
    site.agent(f"--{name}", "base:1")
    for _ in range(2):
        task = site.put("print('ran')")
        assert site.wait_for_end(task) == (1, "RunCompleted")
    assert [value_of(call, "--entrypoint") for call in engine.asked("run")] == ["python3"] * 3
    assert [call[-2] for call in engine.asked("run")] == ["build", "run", "run"]


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_an_abort_stops_the_container_by_its_name(site: AgentSite, engine: Engine, name: str) -> None:
    site.agent(f"--{name}", "base:1")
    task = site.put(SLEEPER)
    pid = int_in(site, "pid")
    site.abort(task)
    assert site.wait_for_end(task) == (1, "RunStopped")
    assert len(site.of(task, RunStopped)) == 1
    assert not is_alive(pid)
    run = engine.started()[-1]
    assert engine.asked("stop")[0][-1] == value_of(run, "--name")


def test_the_container_of_an_agent_that_was_killed_is_removed(site: AgentSite, engine: Engine, name: str) -> None:
    agent = site.agent(f"--{name}", "base:1")
    site.put(SLEEPER)
    pid = int_in(site, "pid")
    agent.kill()
    agent.wait()
    site.wait(lambda: not is_alive(pid))
    site.wait(lambda: engine.asked("rm"))


def int_in(site: AgentSite, name: str) -> int:
    file = site.file(name)
    site.wait(lambda: file.exists() and file.read_text())
    return int(file.read_text())


def test_an_image_that_can_t_be_had_is_not_the_task_s_fault(site: AgentSite, engine: Engine, name: str) -> None:
    site.agent(f"--{name}")
    task = site.put("print('never')", container=Container(image="missing:1"))
    site.wait(lambda: site.ends(task))
    first = site.of(task, RunFailed)[0]
    assert (first.reason, first.cause) == ("environment", "infrastructure")
    assert ("stderr", "no such image: missing:1") in site.console(task)
    assert engine.asked("run") == []


def test_an_engine_that_is_not_there_is_said_at_the_start(
    site: AgentSite, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    agent = site.agent(f"--{name}")
    agent.wait(60)
    assert f"there is no {name} on the PATH" in site.said()
    assert site.events(WorkerStarted) == []


def test_a_real_engine_runs_a_task(home: Path, tmp_path: Path) -> None:
    if not engine_answers():
        pytest.skip("no container engine answers here: start Docker to run this test")
    with agent_site(f"sqlite://{home}/log.db", home, tmp_path / "site") as site:
        (tmp_path / "site").chmod(0o777)
        arguments = f"--mount type=bind,source={site.folder},target={site.folder}"
        site.agent("--docker", f"python:3.{sys.version_info[1]}-slim {arguments}")
        task = site.put("import tasktape, sys; print('inside', tasktape.__version__); sys.exit(3)")
        site.wait(lambda: site.ends(task), timeout=170)
        (failed,) = site.of(task, RunFailed)
        assert failed.exit_code == 3, site.console(task)
