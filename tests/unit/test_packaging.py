"""What a release must hold: every package listed, the lock in step with pyproject.toml; nothing heavy at a start."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_PACKAGED = {"tests", "docs", "bench", "scripts", "build", "dist"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def package_folders() -> set[str]:
    found = set()
    for init in ROOT.rglob("__init__.py"):
        parts = init.parent.relative_to(ROOT).parts
        if not any(part in NOT_PACKAGED or part.startswith(".") for part in parts):
            found.add(".".join(("tasktape", *parts)))
    return found


def test_every_package_folder_is_listed_and_every_listed_package_exists() -> None:
    assert package_folders() == set(PROJECT["tool"]["setuptools"]["packages"])


def requirement_names() -> set[str]:
    project = PROJECT["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    names = {re.split(r"[\[><=;]", line)[0].lower().replace("_", "-") for line in lines}
    return names - {"tasktape"}


def test_the_lock_pins_every_requirement() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert requirement_names() <= {line.split("==")[0].lower() for line in lines}


NEVER = {"PIL", "boto3", "confluent_kafka", "duckdb", "http.client", "matplotlib", "numpy", "pandas"}
NEVER |= {"plotly", "pyarrow", "rich", "streamlit", "tarfile", "typer", "urllib.request"}
NOT_BEFORE_INIT = {"asyncio", "fastavro", "importlib.abc", "pydantic.plugin._loader", "pydantic_settings", "sqlite3"}
NOT_BEFORE_INIT |= {"tasktape.events.settings"}
TWO_LINES = """
import json, sys
from tasktape import Task
early = list(sys.modules)
task = Task.init(project_name="p", task_name="n", auto_resource_monitoring=False)
task.close()
print(json.dumps([early, list(sys.modules)]))
"""


def test_a_script_of_two_lines_imports_nothing_heavy_from_its_start_to_its_end(home: Path) -> None:
    said = subprocess.check_output([sys.executable, "-c", TWO_LINES], text=True, cwd=home.parent)
    early, late = map(set, json.loads(said.splitlines()[-1]))
    assert early & (NEVER | NOT_BEFORE_INIT) == set()
    assert late & NEVER == set()


COLLECTED = """
import gc
collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase))
from tasktape import Task
task = Task.init(project_name="p", task_name="n", auto_resource_monitoring=False)
print(len(collections), gc.isenabled())
"""
COLLECTIONS = 12
"""Calls before and after it is paused, two for each collection; two hundred if it never were."""


@pytest.mark.parametrize("before", ["gc.enable()", "gc.disable()"])
def test_next_to_nothing_is_collected_while_a_task_is_made(home: Path, before: str) -> None:
    code = f"import gc\n{before}\n{COLLECTED}"
    said = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=home.parent)
    calls, goes_on = said.splitlines()[-1].split()
    assert int(calls) <= COLLECTIONS
    assert goes_on == str(before == "gc.enable()")


def test_importing_tasktape_imports_none_of_its_parts() -> None:
    code = "import sys, tasktape; print([name for name in sys.modules if name.startswith('tasktape.')])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
