"""A process forks while its threads are busy: every child can use the log at once, and import what they import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, signal, sys, threading
from tasktape.events.log import open_log
from tasktape.events.topics import TopicSpec

url, forks = sys.argv[1], 40
log = open_log(url)
log.create_topics([TopicSpec("t")])
busy = True

def work():
    while busy:
        log.append("t", "parent", b"x")
        log.flush()
        with log.read(log.start_positions(["t"])) as reader:
            reader.poll(0, 10)

threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
for number in range(forks):
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        with open_log(url) as own:
            own.append("t", "child", str(number).encode())
            os._exit(own.flush(10))
    assert os.waitpid(child, 0)[1] == 0, f"child {number} hung or failed"
busy = False
for thread in threads:
    thread.join()
with log.read(log.start_positions(["t"])) as reader:
    said = []
    while records := reader.poll(0.2):
        said += [int(record.value) for record in records if record.key == "child"]
assert said == list(range(forks)), said
log.close()
"""


def test_every_child_can_use_the_log_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT, f"sqlite://{tmp_path}/log.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr


IMPORTING = """
import importlib.abc, os, sys, threading

importing, forking = threading.Event(), threading.Event()

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "numpy":
            importing.set()
            assert forking.wait(60)

from tasktape import Task

sys.meta_path.insert(0, Slow())
task = Task.init("project", "task", auto_connect_frameworks=False, auto_resource_monitoring=False)
for step in range(1000):
    task.get_logger().report_scalar("loss", "parent", 1.0, step)
assert importing.wait(60)
os.register_at_fork(before=forking.set)
child = os.fork()
if child == 0:
    import numpy
    task.get_logger().report_scalar("loss", "child", float(numpy.float64(2.0)), 0)
    os._exit(0 if task.flush() else 1)
assert os.waitpid(child, 0)[1] == 0
task.flush()
assert set(task.get_reported_scalars()["loss"]) == {"parent", "child"}
"""


def test_a_child_can_import_what_our_threads_were_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKTAPE_HOME", str(tmp_path / "home"))
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", IMPORTING]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert "could not be drained" not in done.stderr
