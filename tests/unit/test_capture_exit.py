"""How a process ends is seen, and the process ends as it would have without us."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tasktape.producers.capture.exit_code import has_returned, outermost_frame
from tasktape.producers.capture.exit_watch import ExitWatch

IMPORTS = "import json, os, signal, sys, threading, time\n"
WATCH = """
from tasktape.producers.capture.exit_watch import ExitWatch
def end(ending):
    watch.uninstall()
    said = [ending.status, ending.reason, ending.message, ending.traceback, ending.exit_code]
    with open(sys.argv[1], "a") as file:
        file.write(json.dumps(said) + "\\n")
watch = ExitWatch(end)
watch.install()
"""


class Ran:
    """A program that ran to its end, watched or not."""

    def __init__(self, folder: Path, program: str, before: str = "", *, watched: bool = True) -> None:
        script = folder / "program.py"
        parts = (IMPORTS, textwrap.dedent(before), WATCH if watched else "", textwrap.dedent(program))
        script.write_text("\n".join(parts))
        note = folder / f"note-{watched}"
        done = subprocess.run([sys.executable, str(script), str(note)], capture_output=True, text=True, check=False)
        self.code, self.output = done.returncode, done.stdout
        self.error = re.sub("line [0-9]+", "line", done.stderr)
        self.endings = note.read_text().splitlines() if note.exists() else []


def ending_of(folder: Path, program: str, before: str = "") -> dict[str, Any]:
    """The one ending of a program; it leaves with the same code and output as when nobody watches."""
    ran, alone = (Ran(folder, program, before, watched=watched) for watched in (True, False))
    assert (ran.code, ran.output, ran.error) == (alone.code, alone.output, alone.error)
    (line,) = ran.endings
    return dict(zip(("status", "reason", "message", "traceback", "exit_code"), json.loads(line), strict=True))


@pytest.mark.parametrize(
    "program",
    [
        "",
        "sys.exit()",
        "sys.exit(0)",
        "exit()",
        "raise SystemExit",
        "raise SystemExit(0)",
        "try:\n    sys.exit(3)\nexcept SystemExit:\n    pass",
        "threading.Thread(target=sys.exit, args=(3,)).start()",
        "def main():\n    return 0\nraise SystemExit(main())",
    ],
)
def test_a_program_that_ends_in_order_is_completed(tmp_path: Path, program: str) -> None:
    assert ending_of(tmp_path, program)["status"] == "completed"


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("sys.exit(3)", 3),
        ("exit(4)", 4),
        ("from sys import exit\nexit(5)", 5),
        ("def stop():\n    raise SystemExit(6)\nstop()", 6),
        ("import argparse\nargparse.ArgumentParser().parse_args(['--unknown'])", 2),
    ],
)
def test_an_exit_code_is_a_failure(tmp_path: Path, program: str, code: int) -> None:
    ending = ending_of(tmp_path, program)
    assert (ending["status"], ending["exit_code"]) == ("failed", code)


@pytest.mark.parametrize("program", ["sys.exit('no data')", "raise SystemExit('no data')"])
def test_an_exit_message_is_a_failure_and_kept(tmp_path: Path, program: str) -> None:
    ending = ending_of(tmp_path, program)
    assert (ending["status"], ending["message"], ending["exit_code"]) == ("failed", "no data", 1)


@pytest.mark.parametrize("before", ["", "sys.excepthook = lambda *args: print('mine', args[0].__name__)"])
def test_an_exception_nobody_caught_is_a_failure_with_its_traceback(tmp_path: Path, before: str) -> None:
    ending = ending_of(tmp_path, "def deep():\n    raise ValueError('broken \u2603')\ndeep()", before)
    assert (ending["status"], ending["reason"], ending["message"]) == (
        "failed",
        "ValueError",
        "ValueError: broken \u2603",
    )
    assert "in deep" in ending["traceback"]


def test_a_hook_that_is_set_later_hides_no_failure(tmp_path: Path) -> None:
    assert ending_of(tmp_path, "sys.excepthook = lambda *args: None\n1 / 0")["reason"] == "ZeroDivisionError"


def test_the_traceback_of_a_thread_explains_an_exit_code(tmp_path: Path) -> None:
    program = """
        def work():
            raise KeyError("in thread")
        thread = threading.Thread(target=work, name="worker")
        thread.start()
        thread.join()
        sys.exit(1)
    """
    assert "in thread" in ending_of(tmp_path, program)["traceback"]


def test_an_interrupt_stops_the_run(tmp_path: Path) -> None:
    ending = ending_of(tmp_path, "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)")
    assert (ending["status"], ending["reason"]) == ("stopped", "interrupted")


TERMINATE = "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(9)"


def test_a_termination_stops_the_run_and_ends_the_process_by_the_signal(tmp_path: Path) -> None:
    assert ending_of(tmp_path, TERMINATE)["status"] == "stopped"
    assert Ran(tmp_path, TERMINATE).code == -signal.SIGTERM


def test_what_the_main_thread_held_when_it_was_told_to_terminate_it_lets_go_of(tmp_path: Path) -> None:
    program = """
        held, say = threading.Lock(), watch._end
        def say_with_lock(ending):
            with held:
                say(ending)
        watch._end = say_with_lock
        with held:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(9)
    """
    ran = Ran(tmp_path, program)
    assert (ran.code, len(ran.endings)) == (-signal.SIGTERM, 1)


def test_a_handler_of_the_programs_own_decides_how_a_termination_ends(tmp_path: Path) -> None:
    before = "signal.signal(signal.SIGTERM, lambda *_: (print('cleaning up'), sys.exit(7)))"
    assert ending_of(tmp_path, TERMINATE, before)["status"] == "stopped"
    ran = Ran(tmp_path, TERMINATE, before)
    assert (ran.code, ran.output) == (7, "cleaning up\n")


def test_a_program_that_ignores_termination_goes_on(tmp_path: Path) -> None:
    before = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    program = "os.kill(os.getpid(), signal.SIGTERM)\nprint('still here')"
    assert ending_of(tmp_path, program, before)["status"] == "completed"


def test_a_forked_child_does_not_end_the_run(tmp_path: Path) -> None:
    program = """
        if os.fork() == 0:
            sys.exit(3)
        os.wait()
    """
    assert ending_of(tmp_path, program)["status"] == "completed"


def test_a_worker_that_is_told_to_terminate_while_it_closes_finishes_that_first(tmp_path: Path) -> None:
    program = """
        from tasktape.producers.parts import Parts
        from tasktape.producers.session import current_session
        outbox, close = current_session().outbox, Parts.close
        def close_and_say(*arguments):
            print("closed", close(*arguments), flush=True)
        if os.fork() == 0:
            outbox.console("t", 1).write("stdout", "a line")
            outbox._unbind = lambda: os.kill(os.getpid(), signal.SIGTERM)
            Parts.close = close_and_say
            outbox.close()
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
    """
    assert Ran(tmp_path, program).output == f"closed True\n{-signal.SIGTERM}\n"


def test_a_worker_that_is_told_to_terminate_as_soon_as_it_is_there_does(tmp_path: Path) -> None:
    program = """
        codes = set()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                time.sleep(5)
                os._exit(0)
            os.kill(child, signal.SIGTERM)
            codes.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(codes)
    """
    assert Ran(tmp_path, program).output == f"{{{-signal.SIGTERM}}}\n"


def test_nothing_is_left_of_a_watch_that_is_over() -> None:
    before = (sys.exit, signal.getsignal(signal.SIGTERM), sys.excepthook, vars(type(exit))["__call__"])
    watch = ExitWatch(lambda _ending: None)
    watch.install()
    assert sys.exit is not before[0]
    watch.uninstall()
    assert (sys.exit, signal.getsignal(signal.SIGTERM), sys.excepthook, vars(type(exit))["__call__"]) == before


def test_a_program_that_still_runs_has_not_returned() -> None:
    assert not has_returned(outermost_frame())
