"""Environments of tasks: made once, shared, never used half-built, and with the task's own versions first."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tasktape.agent import building, interpreters
from tasktape.agent.environment import EnvironmentBuildError, Environments, recipe_for
from tasktape.agent.interpreters import find_interpreter, normalised, satisfied_here
from tasktape.agent.processes import CancelledError, Leash, Tools
from tasktape.events.parts import Script
from tasktape.tests.support.wheels import wheel


@pytest.fixture
def tools() -> Iterator[Tools]:
    leash = Leash()
    yield Tools(leash, lambda _stream, _data: None)
    leash.close()


@pytest.fixture
def reports() -> list[str]:
    return []


def run(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_requirements_the_agent_meets_itself_are_not_installed_again(
    tmp_path: Path, tools: Tools, reports: list[str]
) -> None:
    script = Script(requirements=[f"numpy=={version('numpy')}", "pydantic", "tasktape==0.0.1"])
    environments = Environments(tmp_path)
    python = environments.take(script, tools, reports.append).python
    prefix, numpy = run(python, "import sys, tasktape, numpy; print(sys.prefix, numpy.__version__)").split()
    assert (Path(prefix), numpy) == (python.parent.parent, version("numpy"))
    assert len(reports) == 1
    assert "0 packages" in reports[0]
    assert environments.take(script, tools, reports.append).python == python
    assert len(reports) == 1, "a warm environment is used without a word"


def test_what_the_agent_lacks_is_installed_and_the_agent_keeps_out_of_it(
    tmp_path: Path, tools: Tools, reports: list[str]
) -> None:
    requirement = wheel(tmp_path / "wheels", "tasktape_test_only", "1.5")
    python = Environments(tmp_path / "cache").take(Script(requirements=[requirement]), tools, reports.append).python
    assert run(python, "import tasktape, tasktape_test_only; print(tasktape_test_only.value)") == "1.5"
    with pytest.raises(ModuleNotFoundError):
        __import__("tasktape_test_only")


def test_the_task_s_own_version_of_a_package_wins_over_the_agent_s(
    tmp_path: Path, tools: Tools, reports: list[str]
) -> None:
    requirement = wheel(tmp_path / "wheels", "hypothesis", "0.0.1")
    python = Environments(tmp_path / "cache").take(Script(requirements=[requirement]), tools, reports.append).python
    assert run(python, "import hypothesis; print(hypothesis.value)") == "0.0.1"


def test_a_half_built_environment_is_made_anew(tmp_path: Path, tools: Tools, reports: list[str]) -> None:
    environments = Environments(tmp_path)
    made = environments.take(Script(), tools, reports.append)
    made.release()
    (made.python.parent.parent / "tasktape-complete.json").unlink()
    made.python.unlink()
    assert run(environments.take(Script(), tools, reports.append).python, "print(1)") == "1"
    assert len(reports) == 2


def test_two_agents_that_need_the_same_environment_build_it_once(
    tmp_path: Path, tools: Tools, reports: list[str]
) -> None:
    found: list[Path] = []

    def build() -> None:
        found.append(Environments(tmp_path).take(Script(), tools, reports.append).python)

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reports) == 1
    assert len(found) == 4
    assert len(set(found)) == 1


def test_requirements_that_can_t_be_had_are_an_error_and_leave_nothing_that_counts(
    tmp_path: Path, tools: Tools, reports: list[str]
) -> None:
    missing = f"nothing @ {(tmp_path / 'nothing-1-py3-none-any.whl').as_uri()}"
    environments = Environments(tmp_path / "cache")
    for _ in range(2):
        with pytest.raises(EnvironmentBuildError, match="exit code"):
            environments.take(Script(requirements=[missing]), tools, reports.append)
    assert len(reports) == 2


def test_a_preparation_that_was_called_off_builds_nothing(tmp_path: Path, tools: Tools, reports: list[str]) -> None:
    tools.cancel()
    with pytest.raises(CancelledError):
        Environments(tmp_path).take(Script(), tools, reports.append)
    assert reports == []


def test_the_agent_s_own_environment_is_used_on_request(tmp_path: Path, tools: Tools, reports: list[str]) -> None:
    missing = Script(requirements=["nothing-of-this-name"])
    assert Environments(tmp_path, "current").take(missing, tools, reports.append).python == Path(sys.executable)


def without_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "find_uv", lambda: None)


def test_without_uv_packages_are_installed_with_pip(
    tmp_path: Path, tools: Tools, reports: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_uv(monkeypatch)
    requirement = wheel(tmp_path / "wheels", "tasktape_test_only", "1.5")
    python = Environments(tmp_path / "cache").take(Script(requirements=[requirement]), tools, reports.append).python
    assert run(python, "import tasktape_test_only; print(tasktape_test_only.value)") == "1.5"


def test_a_python_that_is_not_there_is_replaced_by_the_agent_s_with_a_word(
    tmp_path: Path, tools: Tools, reports: list[str]
) -> None:
    python = Environments(tmp_path).take(Script(python_version="3.99.1"), tools, reports.append).python
    assert run(python, "import sys; print(sys.version_info[:2])") == str(sys.version_info[:2])
    assert "3.99.1" in reports[0]


def test_another_python_gets_tasktape_installed_from_where_the_agent_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "python3.99"
    other.write_text("#!/bin/sh\necho 3.99.4\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = find_interpreter("3.99.0")
    assert found is not None
    assert (found.path, found.version, found.own) == (str(other), "3.99.4", False)
    recipe = recipe_for(found, ["numpy"])
    assert recipe.behind == ()
    assert recipe.install[0] == "numpy"
    assert recipe.install[1] == interpreters.own_distribution()
    assert Path(recipe.install[1]).exists() or "==" in recipe.install[1]


def test_requirements_are_compared_without_comments_order_and_tasktape_itself() -> None:
    lines = ["numpy==1 # pinned", "", "# a comment", "  absl-py", "Tasktape[dashboard]==0.1.0"]
    assert normalised(lines) == ("absl-py", "numpy==1")


@pytest.mark.parametrize(
    ("requirement", "met"),
    [
        ("numpy", True),
        ("NumPy>=1", True),
        ("numpy==0.0.1", False),
        ("nothing-of-this-name", False),
        ("nothing-of-this-name; python_version < '3'", True),
        ("numpy[extra]", False),
        ("numpy @ https://example.invalid/numpy.whl", False),
        ("--extra-index-url https://example.invalid", False),
    ],
)
def test_what_counts_as_met_by_the_agent_s_own_packages(requirement: str, met: bool) -> None:
    assert satisfied_here([requirement]) is met


def test_a_package_that_the_agent_gets_meanwhile_counts_as_met(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    assert not satisfied_here(["tasktape-test-only==1.5"])
    (folder / "tasktape_test_only-1.5.dist-info").mkdir()
    (folder / "tasktape_test_only-1.5.dist-info/METADATA").write_text("Name: tasktape-test-only\nVersion: 1.5\n")
    assert satisfied_here(["tasktape-test-only==1.5"])
