"""A script may fork at any moment: no thread of ours is in the midst of an import then. A child would wait for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys, threading, time, traceback

from tasktape.events.log.fork_gate import gate

class Imports:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread() and not getattr(gate._mine, "depth", 0):
            print("outside of the gate:", name, *traceback.format_stack(), file=sys.__stdout__)

sys.meta_path.insert(0, Imports())
from tasktape import Task

task = Task.init("forks", "imports")
for step in range(1000):
    task.get_logger().report_scalar("loss", "train", 1.0, step)
while not {"tasktape.events.log.LOG", "psutil", "numpy"} <= sys.modules.keys():
    time.sleep(0.01)
task.close()
"""


@pytest.mark.parametrize(("log", "module"), [("", "sqlite"), ("kafka://127.0.0.1:1", "kafka")])
def test_what_threads_import_they_import_within_the_gate(home: Path, tmp_path: Path, log: str, module: str) -> None:
    script = tmp_path / "forks.py"
    script.write_text(SCRIPT.replace("LOG", module))
    settings = {"TASKTAPE_LOG": log or f"sqlite://{home}/log.db", "TASKTAPE_CLOSE_TIMEOUT": "0"}
    ran = subprocess.run(
        [sys.executable, str(script)], env=os.environ | settings, capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == ""
