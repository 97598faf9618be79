"""Process groups an agent starts: their output, their end, and the end of all that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from ..events.errors import TasktapeError
from . import leash as leash_module

OnOutput = Callable[[str, bytes], None]
_CHUNK: Final = 65536
_LAST_WORDS_SECONDS: Final = 2.0
_GIT_ACCESS: Final = "TASKTAPE_GIT_"


class Leash:
    """Keeps process groups from outliving this process, whatever kills it. Its helper starts with the first group."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[str] | None = None

    def hold(self, group: int) -> None:
        """Kill this group when this process dies."""
        self._tell(f"+{group}\n")

    def let_go(self, group: int) -> None:
        """Forget a group that is over."""
        self._tell(f"-{group}\n")

    def hold_container(self, engine: str, name: str) -> None:
        """Remove this container when this process dies."""
        self._tell(f"+{engine}\t{name}\n")

    def let_go_container(self, engine: str, name: str) -> None:
        """Forget a container that is gone."""
        self._tell(f"-{engine}\t{name}\n")

    def close(self) -> None:
        """End the helper, and with it whatever is still held."""
        with self._lock:
            helper, self._helper = self._helper, None
        if helper is not None:
            helper.communicate()

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._helper is None or self._helper.poll() is not None:
                self._helper = _start_helper()
            assert self._helper.stdin is not None  # noqa: S101  it was opened as a pipe
            self._helper.stdin.write(line)
            self._helper.stdin.flush()


def _start_helper() -> subprocess.Popen[str]:
    program = [sys.executable, "-I", "-S", leash_module.__file__]
    return subprocess.Popen(program, stdin=subprocess.PIPE, text=True, start_new_session=True, cwd="/")


class ProcessGroup:
    """A program in a session of its own. `on_output` gets (`stdout` or `stderr`, bytes), from a thread of each."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        on_output: OnOutput,
        leash: Leash,
    ) -> None:
        self._process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._leash = leash
        leash.hold(self.pid)
        self.ended = threading.Event()
        streams = (("stdout", self._process.stdout), ("stderr", self._process.stderr))
        self._readers = [
            threading.Thread(target=_read_output, args=(stream, name, on_output), daemon=True)
            for name, stream in streams
        ]
        for reader in self._readers:
            reader.start()

    def wait(self) -> int:
        """Wait for the program's end and end what it left behind; return its exit code, negative for a signal's.

        All output of the group has been handed out when this returns. A daemon that left the group and kept its
        streams is not waited for.
        """
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self._kill_group(signal.SIGKILL)
        self._leash.let_go(self.pid)
        for reader in self._readers:
            reader.join(_LAST_WORDS_SECONDS)
        code = self._process.wait()
        self.ended.set()
        return code

    def stop(self, grace: float) -> None:
        """Send SIGTERM to the group, and SIGKILL if it is still there after `grace` seconds.

        Returns at once; `wait` tells the end.
        """
        threading.Thread(target=self._stop, args=(grace,), name="tasktape-stop", daemon=True).start()

    def _stop(self, grace: float) -> None:
        self._kill_group(signal.SIGTERM)
        if not self.ended.wait(grace):
            self._kill_group(signal.SIGKILL)

    def _kill_group(self, number: signal.Signals) -> None:
        """Signal the whole group. The leader is not reaped before `wait`, so its id can't mean another's group."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)


def _read_output(stream: IO[bytes] | None, name: str, on_output: OnOutput) -> None:
    assert stream is not None  # noqa: S101  it was opened as a pipe
    with stream:
        while chunk := os.read(stream.fileno(), _CHUNK):
            on_output(name, chunk)


class ToolError(TasktapeError):
    """A helper program failed."""

    def __init__(self, command: Sequence[str], code: int) -> None:
        super().__init__(
            f"`{' '.join(command[:4])} …` ended with exit code {code}; its output is in the task's console."
        )
        self.command = tuple(command)
        self.code = code


class CancelledError(TasktapeError):
    """The work was called off."""


class Tools:
    """Runs helper programs one after the other until it is called off. `on_output` gets (stream, bytes)."""

    def __init__(self, leash: Leash, on_output: OnOutput) -> None:
        self.on_output = on_output
        self._leash = leash
        self._lock = threading.Lock()
        self._running: ProcessGroup | None = None
        self._cancelled = False

    def run(self, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        """Run a program to its end, with these variables besides the agent's.

        Raises `ToolError` where it fails, `CancelledError` where it was called off.
        """
        variables = _without_git_access(os.environ) | dict(environment or {})
        with self._lock:
            self.check()
            self._running = ProcessGroup(
                command, folder=Path("/"), environment=variables, on_output=self.on_output, leash=self._leash
            )
        code = self._running.wait()
        self.check()
        if code:
            raise ToolError(command, code)

    def check(self) -> None:
        """Raise `CancelledError` where the work was called off."""
        if self._cancelled:
            raise CancelledError("the preparation was called off.")

    def cancel(self) -> None:
        """Call the work off: a program that runs is ended, none starts any more. From any thread."""
        with self._lock:
            self._cancelled = True
            if self._running is not None:
                self._running.stop(1.0)


def _without_git_access(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables without what opens private repositories: packages that are installed run code of their own."""
    return {name: value for name, value in variables.items() if not name.startswith(_GIT_ACCESS)}
