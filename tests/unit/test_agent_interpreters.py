"""The Python a task asks for: found wherever it is, fetched where it can be, else replaced with a word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasktape.agent import environment as environment_module
from tasktape.agent import interpreters
from tasktape.agent.environment import Environments
from tasktape.agent.interpreters import find_interpreter
from tasktape.agent.processes import Leash, Tools
from tasktape.events.parts import Script

PYTHON = "#!/bin/sh\necho {}\n"
BROKEN = "#!/bin/sh\necho 'pyenv: python3.77: command not found' >&2\nexit 127\n"
UV = """#!/bin/sh
[ "$2" = install ] && {{ echo "$*" >> {folder}/asked; [ -e {folder}/reachable ] && touch {folder}/fetched; }}
[ "$2" = install ] && {{ [ -e {folder}/reachable ]; exit; }}
[ -e {folder}/fetched ] && echo {folder}/managed/python3.77
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without pyenv and uv, on which `3.77` can be had by the means of each test."""
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr(environment_module, "runs_tasktape", lambda version: not version.startswith("3.8."))
    for module in (interpreters, environment_module):
        monkeypatch.setattr(module, "find_uv", lambda: None)


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that tells what uv was asked for, and says what it can reach."""
    folder = tmp_path / "uv"
    found = program(folder / "uv", UV.format(folder=folder))
    program(folder / "managed/python3.77", PYTHON.format("3.77.1"))
    for module in (interpreters, environment_module):
        monkeypatch.setattr(module, "find_uv", lambda: str(found))
    return folder


@pytest.fixture
def tools() -> Iterator[Tools]:
    leash = Leash()
    yield Tools(leash, lambda _stream, _data: None)
    leash.close()


def path_of(version: str) -> str | None:
    found = find_interpreter(version)
    return found.path if found else None


def test_a_stand_in_that_leads_nowhere_is_passed_over_for_pyenv_s_newest(tmp_path: Path) -> None:
    program(tmp_path / "bin/python3.77", BROKEN)
    for version in ("3.77.2", "3.77.10"):
        program(tmp_path / f"pyenv/versions/{version}/bin/python3.77", PYTHON.format(version))
    program(tmp_path / "pyenv/versions/3.7.1/bin/python3.7", PYTHON.format("3.7.1"))
    assert path_of("3.77.5") == str(tmp_path / "pyenv/versions/3.77.10/bin/python3.77")


def test_a_program_of_the_right_name_that_is_another_python_is_not_taken(tmp_path: Path) -> None:
    program(tmp_path / "bin/python3.77", PYTHON.format("3.12.0"))
    assert path_of("3.77") is None


def test_one_that_uv_manages_is_found(uv: Path) -> None:
    (uv / "fetched").touch()
    assert path_of("3.77") == str(uv / "managed/python3.77")
    assert not (uv / "asked").exists()


def test_one_that_is_nowhere_is_fetched(uv: Path, tmp_path: Path, tools: Tools) -> None:
    (uv / "reachable").touch()
    reports: list[str] = []
    found = Environments(tmp_path / "cache")._interpreter("3.77", tools, reports.append)
    assert (found.path, found.version) == (str(uv / "managed/python3.77"), "3.77.1")
    assert reports == ["fetching Python 3.77 with uv"]
    assert (uv / "asked").read_text() == "python install --no-progress 3.77\n"


def test_without_a_network_the_agent_s_own_is_used_with_a_word_and_uv_is_not_asked_each_time(
    uv: Path, tmp_path: Path, tools: Tools
) -> None:
    environments = Environments(tmp_path / "cache")
    reports: list[str] = []
    for _ in range(2):
        assert environments._interpreter("3.77", tools, reports.append).own
    assert (uv / "asked").read_text().count("\n") == 1
    assert "can't be fetched" in reports[1]
    assert [line for line in reports if line.startswith("Python 3.77 is not on this machine")] == reports[2:]


def test_a_python_that_tasktape_does_not_run_on_is_not_even_looked_for(uv: Path, tmp_path: Path, tools: Tools) -> None:
    reports: list[str] = []
    assert Environments(tmp_path / "cache")._interpreter("3.8.1", tools, reports.append).own
    assert "does not run on Python 3.8.1" in reports[0]
    assert not (uv / "asked").exists()


@pytest.mark.parametrize("nonsense", ["3", "latest", "../../3.77", ""])
def test_what_is_no_version_means_the_agent_s_own(nonsense: str, tmp_path: Path, tools: Tools) -> None:
    assert Environments(tmp_path / "cache")._interpreter(nonsense, tools, list[str]().append).own


def test_the_environment_of_a_script_asks_for_its_python(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(environment_module, "find_interpreter", asked.append)
    Environments(tmp_path / "cache").take(Script(python_version="3.12.4"), tools, list[str]().append).release()
    assert asked[0] == "3.12.4"


def test_what_tasktape_runs_on_is_what_it_was_installed_for() -> None:
    assert interpreters.runs_tasktape("3.12.99")
    assert not interpreters.runs_tasktape("2.7.99")
