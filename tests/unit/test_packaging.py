"""What a release must hold: every package listed, the layers named, the lock in step with pyproject.toml."""

from __future__ import annotations

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


@pytest.mark.parametrize("heavy", ["streamlit", "boto3", "pandas", "duckdb", "numpy", "pyarrow", "confluent_kafka"])
def test_importing_tasktape_does_not_import(heavy: str) -> None:
    code = f"import sys, tasktape; tasktape.Task; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
