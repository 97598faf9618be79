"""A process forks while its threads are busy with the embedded log: every child can use the log at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
