"""Projects with conda's or Poetry's files: recognised, built with their tools, and with pip where Poetry is missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasktape.agent.environment import Environment, EnvironmentBuildError, Environments
from tasktape.agent.processes import Leash, Tools
from tasktape.agent.projects import distribution_name, find_project, locked_versions
from tasktape.events.parts import Script
from tasktape.tests.support.wheels import wheel

CONDA = """#!/bin/sh
echo "$*" >> {notes}
for argument; do
    [ "$last" = --prefix ] && prefix=$argument
    [ "$last" = --file ] && file=$argument
    last=$argument
done
grep -q fails "$file" && exit 3
{python} -m venv --without-pip "$prefix"
echo 'origin = "conda"' > "$(echo "$prefix"/lib/python*/site-packages)/conda_only.py"
"""
POETRY = """#!/bin/sh
echo "$*" >> {notes}
echo 'origin = "poetry"' > "$(echo "$VIRTUAL_ENV"/lib/python*/site-packages)/poetry_only.py"
"""
DESCRIBED = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[tool.poetry]
name = "of-the-project"
version = "1"
"""
BACKEND = """
import pathlib, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "of_the_project-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as archive:
        info = "of_the_project-1.dist-info"
        archive.writestr("of_the_project.py", "")
        about = "Metadata-Version: 2.1\\nName: of-the-project\\nVersion: 1\\nRequires-Dist: tasktape-test-only\\n"
        archive.writestr(f"{info}/METADATA", about)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        files = ("of_the_project.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD")
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\\n" for file in files))
    return name
"""
LOCK = """
[[package]]
name = "tasktape-test-only"
version = "1.5"
[[package]]
name = "from-elsewhere"
version = "2"
[package.source]
type = "git"
"""


@pytest.fixture
def tools() -> Iterator[Tools]:
    leash = Leash()
    yield Tools(leash, lambda _stream, _data: None)
    leash.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


class Site:
    """A machine with programs of the test's choice."""

    def __init__(self, folder: Path, tools: Tools) -> None:
        self.folder = folder
        self.reports: list[str] = []
        self._tools = tools
        self._environments = Environments(folder / "cache")

    def program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.format(notes=self.folder / "notes", python=sys.executable))
        path.chmod(0o755)

    def asked(self) -> list[str]:
        notes = self.folder / "notes"
        return notes.read_text().splitlines() if notes.exists() else []

    def take(self, project: Path, *requirements: str) -> Environment:
        script = Script(requirements=list(requirements))
        found = find_project(project, project)
        taken = self._environments.take(script, self._tools, self.reports.append, found)
        taken.release()
        return taken


@pytest.fixture
def site(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> Site:
    git = "/usr/bin:/bin"
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{git}")
    return Site(tmp_path, tools)


def run(environment: Environment, code: str) -> str:
    return subprocess.run([environment.python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_a_conda_environment_is_made_from_its_file_once_and_sees_tasktape(site: Site, project: Path) -> None:
    site.program("conda", CONDA)
    (project / "environment.yml").write_text("dependencies: [python]\n")
    environment = site.take(project)
    assert run(environment, "import conda_only, tasktape; print(conda_only.origin)") == "conda"
    assert environment.variables == {"CONDA_PREFIX": str(environment.python.parent.parent)}
    assert site.take(project).python == environment.python
    prefix, file = environment.python.parent.parent, project / "environment.yml"
    assert site.asked() == [f"env create --quiet --prefix {prefix} --file {file}"]
    file.write_text("dependencies: [python, numpy]\n")
    assert site.take(project).python != environment.python


def test_micromamba_does_as_well(site: Site, project: Path) -> None:
    site.program("micromamba", CONDA)
    (project / "environment.yaml").write_text("dependencies: [python]\n")
    assert run(site.take(project), "import conda_only") == ""
    assert site.asked()[0].startswith("create --yes --quiet --prefix")


def test_what_the_task_asks_for_comes_on_top_of_conda_s(site: Site, project: Path, tmp_path: Path) -> None:
    site.program("conda", CONDA)
    (project / "environment.yml").write_text("dependencies: [python]\n")
    requirement = wheel(tmp_path / "wheels", "tasktape_test_only", "1.5")
    code = "import conda_only, tasktape_test_only; print(tasktape_test_only.value)"
    assert run(site.take(project, requirement), code) == "1.5"


def test_a_conda_environment_that_can_t_be_made_is_an_error(site: Site, project: Path) -> None:
    site.program("conda", CONDA)
    (project / "environment.yml").write_text("this fails\n")
    with pytest.raises(EnvironmentBuildError, match="exit code 3"):
        site.take(project)


def test_without_conda_its_file_is_passed_over_with_a_word(site: Site, project: Path) -> None:
    (project / "environment.yml").write_text("dependencies: [python]\n")
    assert run(site.take(project), "import tasktape; print(1)") == "1"
    assert "environment.yml" in site.reports[0]
    assert "no conda" in site.reports[0]


def with_poetry(project: Path) -> None:
    (project / "pyproject.toml").write_text(DESCRIBED)
    (project / "poetry.lock").write_text(LOCK)
    (project / "backend.py").write_text(BACKEND)


def test_poetry_installs_what_its_lock_names(site: Site, project: Path) -> None:
    site.program("poetry", POETRY)
    with_poetry(project)
    environment = site.take(project)
    assert run(environment, "import poetry_only, tasktape; print(poetry_only.origin)") == "poetry"
    assert environment.variables == {"VIRTUAL_ENV": str(environment.python.parent.parent)}
    assert site.asked() == [f"install --no-root --no-interaction --no-ansi --directory {project}"]
    site.take(project)
    assert len(site.asked()) == 1


def test_without_poetry_pip_installs_what_the_project_needs_as_locked_and_not_the_project(
    site: Site, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_poetry(project)
    for version in ("1.5", "1.7"):
        wheel(tmp_path / "wheels", "tasktape_test_only", version)
    for installer in ("PIP", "UV"):
        monkeypatch.setenv(f"{installer}_NO_INDEX", "1")
        monkeypatch.setenv(f"{installer}_FIND_LINKS", str(tmp_path / "wheels"))
    environment = site.take(project)
    code = "import importlib.util as u, tasktape_test_only as t; print(t.value, u.find_spec('of_the_project'))"
    assert run(environment, code) == "1.5 None"
    assert "poetry is not on this machine" in site.reports[0]


def test_a_project_is_looked_for_from_where_the_program_starts_up_to_the_checkout(project: Path) -> None:
    with_poetry(project)
    inner = project / "a/b"
    inner.mkdir(parents=True)
    found = find_project(inner, project)
    assert found is not None
    assert (found.kind, found.folder) == ("poetry", project)
    assert find_project(inner, project / "a") is None
    (project / "a/environment.yml").touch()
    assert (find_project(inner, project) or found).kind == "conda"


def test_a_project_of_poetry_2_is_known_by_its_build_backend(project: Path) -> None:
    with_poetry(project)
    backend = 'build-backend = "poetry.core.masonry.api"'
    (project / "pyproject.toml").write_text(f'[project]\nname = "x"\n[build-system]\nrequires = []\n{backend}\n')
    assert getattr(find_project(project, project), "kind", None) == "poetry"
    assert distribution_name(project / "pyproject.toml") == "x"


@pytest.mark.parametrize(
    ("name", "text"), [("pyproject.toml", "[project]\nname = 'x'\n"), ("pyproject.toml", "not toml ["), ("x", "")]
)
def test_what_only_looks_like_a_poetry_project_is_none(project: Path, name: str, text: str) -> None:
    (project / "poetry.lock").write_text(LOCK)
    (project / name).write_text(text)
    assert find_project(project, project) is None


def test_what_comes_from_elsewhere_than_an_index_is_no_constraint(project: Path) -> None:
    with_poetry(project)
    assert locked_versions(project / "poetry.lock") == ["tasktape-test-only==1.5"]
