"""Runs examples for the demos: in a folder of their own, beside agents that serve the queue `default`."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..events.errors import SettingsError
from .demo import SCRIPT, Command, Commands, DemoError
from .output import note

QUEUE: Final = "default"
_PATIENCE: Final = 300.0
_TICK: Final = 0.2


def prepare(log: str, modules: Sequence[str]) -> None:
    """Choose the log, and raise `SettingsError` where a module is missing that the examples need."""
    if missing := [name for name in modules if importlib.util.find_spec(name) is None]:
        raise SettingsError(f"the demo needs {' and '.join(missing)}: pip install 'tasktape[examples]'.")
    if log:
        os.environ["TASKTAPE_LOG"] = log


@contextmanager
def examples() -> Iterator[Commands]:
    """Give a folder with the examples, to run programs in: a checkout's remote may be out of an agent's reach."""
    with tempfile.TemporaryDirectory(prefix="tasktape-demo-") as folder:
        shutil.copytree(SCRIPT.parent, folder, dirs_exist_ok=True)
        with Commands(Path(folder)) as commands:
            yield commands


def agent(commands: Commands, slots: int = 1) -> Command:
    """Start an agent that runs so many tasks at once, in its own environment."""
    command = ["-m", "tasktape.cli.main", "agent", "--queue", QUEUE, "--slots", str(slots), "--env", "current"]
    return commands.start("agent", command)


def run(commands: Commands, script: str, agents: Sequence[Command]) -> None:
    """Run a script to its end. Raises `DemoError` where it or an agent fails, or patience ends."""
    note(f"{script} …")
    running = commands.start(script, [script])
    deadline = time.monotonic() + _PATIENCE
    while not running.ended():
        for one in agents:
            one.check()
        if time.monotonic() > deadline:
            raise DemoError(f"{script} is not done within {_PATIENCE:.0f} s: `tasktape doctor` tells what is wrong.")
        time.sleep(_TICK)
    running.check()
