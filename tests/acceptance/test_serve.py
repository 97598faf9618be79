"""`tasktape serve` as its users run it: commands ask it, it sees what is new, and it leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasktape.tests.support.histories import History

TASKTAPE = [sys.executable, "-m", "tasktape.cli.main"]


@pytest.fixture
def history(home: Path) -> Iterator[History]:
    history = History(home)
    history.task("first")
    history.settle()
    yield history
    history.close()


def listed() -> set[str]:
    told = subprocess.run([*TASKTAPE, "tasks", "list", "--json"], capture_output=True, check=True).stdout
    return {task["name"] for task in json.loads(told)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_commands_ask_the_server_which_sees_what_is_new(history: History, number: signal.Signals) -> None:
    with subprocess.Popen([*TASKTAPE, "serve"], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        assert "Serving the projection" in server.stderr.readline()
        addresses = {path for path in history.home.iterdir() if path.name.startswith("projection")}
        assert listed() == {"first"}
        history.task("second")
        history.settle()
        assert listed() == {"first", "second"}
        server.send_signal(number)
        assert server.wait(30) == 0
        assert "Traceback" not in server.stderr.read()
    left = {path for path in history.home.iterdir() if path.name.startswith("projection")}
    assert left < addresses
    assert listed() == {"first", "second"}
