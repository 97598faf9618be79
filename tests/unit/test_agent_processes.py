"""Process groups of the agent: output, ends, and nothing left behind. Real processes, each for a moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasktape.agent.leash import follow
from tasktape.agent.processes import CancelledError, Leash, ProcessGroup, ToolError, Tools


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def leash() -> Iterator[Leash]:
    held = Leash()
    yield held
    held.close()


class Output:
    def __init__(self) -> None:
        self._said: defaultdict[str, bytes] = defaultdict(bytes)

    def __call__(self, stream: str, data: bytes) -> None:
        self._said[stream] += data

    def text(self, stream: str) -> str:
        return self._said[stream].decode()


@pytest.fixture
def output() -> Output:
    return Output()


@pytest.fixture
def start(tmp_path: Path, leash: Leash, output: Output) -> Callable[[str], ProcessGroup]:
    def started(code: str) -> ProcessGroup:
        return ProcessGroup(
            [sys.executable, "-u", "-S", "-c", code],
            folder=tmp_path,
            environment=os.environ,
            on_output=output,
            leash=leash,
        )

    return started


def pid_in(output: Output) -> int:
    wait_until(lambda: "\n" in output.text("stdout"))
    return int(output.text("stdout"))


def test_both_streams_are_heard_and_the_exit_code_is_told(start: Callable[[str], ProcessGroup], output: Output) -> None:
    group = start("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert group.wait() == 3
    assert (output.text("stdout"), output.text("stderr")) == ("out\n", "err\n")


SLEEPER = "import os, time; print(os.getpid()); time.sleep(600)"
WITH_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-u', '-S', '-c', {SLEEPER!r}])"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER


def test_what_the_program_leaves_behind_ends_with_it(start: Callable[[str], ProcessGroup], output: Output) -> None:
    group = start(
        "import subprocess, sys; "
        f"child = subprocess.Popen([sys.executable, '-u', '-S', '-c', {SLEEPER!r}], stdout=subprocess.PIPE); "
        "print(child.stdout.readline().decode().strip())"
    )
    assert group.wait() == 0
    left_behind = pid_in(output)
    wait_until(lambda: not is_alive(left_behind))


def test_stopping_sends_sigterm_to_the_whole_group(start: Callable[[str], ProcessGroup], output: Output) -> None:
    group = start(WITH_CHILD + ".wait()")
    grandchild = pid_in(output)
    group.stop(60.0)
    assert group.wait() == -signal.SIGTERM
    wait_until(lambda: not is_alive(grandchild))


def test_what_ignores_sigterm_is_killed_after_the_grace(start: Callable[[str], ProcessGroup], output: Output) -> None:
    group = start(STUBBORN)
    pid_in(output)
    group.stop(0.05)
    assert group.wait() == -signal.SIGKILL


OWNER = """
import os, sys
from pathlib import Path
from tasktape.agent.processes import Leash, ProcessGroup
code = "import os, time; print(os.getpid()); time.sleep(600)"
ProcessGroup([sys.executable, "-u", "-S", "-c", code], folder=Path("/"), environment=os.environ, leash=Leash(),
             on_output=lambda stream, data: print(data.decode(), flush=True)).wait()
"""


def test_when_the_owner_is_killed_its_groups_are_killed_too() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        assert is_alive(child)
        owner.kill()
        wait_until(lambda: not is_alive(child))


def test_the_leash_forgets_groups_that_are_over() -> None:
    assert follow(["+1\n", "+2\n", "-1\n", "+3\n"]) == {"2", "3"}


def test_a_tool_that_fails_is_an_error_with_its_exit_code(leash: Leash, output: Output) -> None:
    tools = Tools(leash, output)
    with pytest.raises(ToolError) as caught:
        tools.run([sys.executable, "-S", "-c", "print('why'); raise SystemExit(7)"])
    assert caught.value.code == 7
    assert output.text("stdout") == "why\n"


def test_calling_off_ends_the_tool_that_runs_and_starts_no_other(leash: Leash) -> None:
    tools = Tools(leash, lambda _stream, _text: tools.cancel())
    with pytest.raises(CancelledError):
        tools.run([sys.executable, "-u", "-S", "-c", SLEEPER])
    with pytest.raises(CancelledError):
        tools.run(["/bin/true"])
