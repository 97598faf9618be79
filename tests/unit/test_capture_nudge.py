"""A signal that was noted, but not handled when the main thread began to wait, is handled all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, threading, time
from tasktape.producers.capture.nudge import nudge

def handle(*_):
    seen.append(1)
    os.write(1, b"handled")
    os._exit(0)

seen = []
signal.signal(signal.SIGTERM, handle)
"""
WAIT = """
other = threading.Thread(target=time.sleep, args=(600,), daemon=True)
other.start()
threading.Timer(0.1, lambda: signal.pthread_kill(other.ident, signal.SIGTERM)).start()
time.sleep(600)
"""
NUDGE = "uninstall = nudge(signal.SIGTERM, lambda: bool(seen))\n"


def said(body: str) -> str:
    ran = subprocess.run([sys.executable, "-c", PROGRAM + body], capture_output=True, text=True, timeout=60, check=True)
    return ran.stdout


def test_a_signal_that_another_thread_got_is_handled_while_the_main_thread_waits() -> None:
    assert said(NUDGE + WAIT) == "handled"


def test_nothing_is_left_of_it_when_it_is_over() -> None:
    assert said(NUDGE + "uninstall(); uninstall()\nprint(signal.set_wakeup_fd(-1), threading.active_count() < 3)") == (
        "-1 True\n"
    )


@pytest.mark.parametrize("end", ["", "uninstall()\n"])
def test_a_program_keeps_a_descriptor_of_its_own(end: str) -> None:
    own = "ours, theirs = os.pipe()\nos.set_blocking(theirs, False)\nsignal.set_wakeup_fd(theirs)\n"
    assert said(own + NUDGE + end + "print(signal.set_wakeup_fd(-1) == theirs)") == "True\n"


def test_what_a_forked_child_gets_is_none_of_its_parents_business() -> None:
    child = "if os.fork() == 0:\n    print(signal.set_wakeup_fd(-1), flush=True)\n    os._exit(0)\nos.wait()\n"
    assert said(NUDGE + child) == "-1\n"
