"""What runs inside a container, run here: environments on top of the image's packages, set-up, program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tasktape.agent import container_start
from tasktape.tests.support.wheels import wheel

VERSION = version("tasktape")


@pytest.fixture
def request_of(tmp_path: Path) -> dict[str, Any]:
    return {
        "environment": str(tmp_path / "environment"),
        "requirements": [],
        "tasktape": "nothing-that-could-be-installed",
        "version": VERSION,
        "setup": "",
        "variables": {},
        "folder": str(tmp_path),
        "arguments": [],
    }


def start(verb: str, content: dict[str, Any], folder: Path) -> str:
    """Start it as an engine does, with nothing but a PATH, and return what it says."""
    file = folder / "request.json"
    file.write_text(json.dumps(content))
    command = [sys.executable, container_start.__file__, verb, str(file)]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_an_image_has_is_used_as_it_is(request_of: dict[str, Any], tmp_path: Path) -> None:
    request_of["requirements"] = [f"numpy=={version('numpy')}"]
    start("build", request_of, tmp_path)
    assert [path.name for path in (tmp_path / "environment").iterdir()] == ["python"]
    said = start("run", request_of | {"arguments": ["-c", "import sys, numpy; print(sys.executable)"]}, tmp_path)
    assert said.strip() == sys.executable


def test_what_an_image_lacks_is_installed_on_top(request_of: dict[str, Any], tmp_path: Path) -> None:
    request_of["requirements"] = [wheel(tmp_path / "wheels", "tasktape_test_only", "1.5")]
    start("build", request_of, tmp_path)
    code = "import os, sys, tasktape_test_only as t; print(t.value, sys.prefix, os.environ['PATH'].split(':')[0])"
    value, prefix, first = start("run", request_of | {"arguments": ["-c", code]}, tmp_path).split()
    assert (value, prefix) == ("1.5", str(tmp_path / "environment/venv"))
    assert first == str(tmp_path / "environment/venv/bin")


def test_the_set_up_script_sees_the_variables_and_sets_more(request_of: dict[str, Any], tmp_path: Path) -> None:
    start("build", request_of, tmp_path)
    request_of |= {"variables": {"GIVEN": 'it\'s "given"\nto all'}, "setup": 'export MADE="$GIVEN!"'}
    said = start("run", request_of | {"arguments": ["-c", "import os; print(repr(os.environ['MADE']))"]}, tmp_path)
    assert said.strip() == repr('it\'s "given"\nto all!')


def test_a_set_up_script_that_fails_ends_it(request_of: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        start("build", request_of | {"setup": "false\ntouch reached"}, tmp_path)
    assert not (tmp_path / "environment").exists()


def test_a_source_folder_is_copied_without_what_does_not_belong_to_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("agent/module.py", ".venv/large", ".git/config", "build/lib.py", "tests/test_x.py"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    (source / "here").symlink_to(".")
    copy = Path(container_start.copied(str(source), str(tmp_path / "scratch")))
    assert sorted(path.name for path in copy.iterdir()) == ["agent", "here"]
    assert (copy / "here").is_symlink()
