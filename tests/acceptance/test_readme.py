"""The README's tour works: its blocks are run in order, in an empty home, as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w+) (run|file=(\S+))\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    file: str | None
    text: str


def blocks() -> list[Block]:
    return [Block(found[1], found[3], found[4]) for found in BLOCK.finditer(README.read_text())]


def run(block: Block, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = {"sh": ["bash", "-euc"], "python": [sys.executable, "-c"]}[block.language]
    return subprocess.run(
        [*command, block.text], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "HOME": str(tmp_path), "PATH": path, "COLUMNS": "160"}


@pytest.mark.timeout(240)
def test_the_tour_runs_as_it_is_written(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    outputs = []
    for block in blocks():
        if block.file:
            (folder / block.file).write_text(block.text)
            continue
        done = run(block, folder, environment)
        assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
        outputs.append(done.stdout)
    shown = "\n".join(outputs)
    assert "first" in shown
    assert "completed" in shown
    assert re.search(r"'last': 0\.0115", shown), "0.8 ** 20, the clone's own learning rate"
    assert "RunStarted" in shown
