"""How a step's task comes to run: through a queue, by an agent, or in a process of its own on this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from ...events.queue_events import AbortRequested, EntryEnqueued, entry_id
from ...events.task_events import RunFailed, RunStopped, TaskCreated, TaskReset
from .. import lineage
from ..controllers.channel import patient
from ..errors import NotEnqueuedError, TooLateError
from ..queues import dequeue_task

if TYPE_CHECKING:
    from ...events.base import Event
    from ...events.log.port import Positions
    from ...events.parts import TaskSpec
    from ..session import Session
    from .channel import Channel
    from .children import Children

Append = Callable[[Sequence["Event"]], None]
_GRACE_SECONDS: Final = 10.0
_ABORTED: Final = "its controller stopped it"


class Runnable(Protocol):
    """A run to be brought about. `is_new` says that its task has to be made first, `is_left` that others enqueue it."""

    @property
    def child(self) -> str:
        """Id of the task."""

    @property
    def run(self) -> int:
        """Number of the run."""

    @property
    def spec(self) -> TaskSpec:
        """What is run."""

    @property
    def queue(self) -> str:
        """Where it waits to be run."""

    @property
    def is_new(self) -> bool:
        """Whether the task has to be made first."""

    @property
    def is_left(self) -> bool:
        """Whether it is left to others to enqueue it."""


class Runner(Protocol):
    """Makes runs of tasks happen. All of it may be asked for twice, and has an effect once."""

    def retries_of(self, spec: TaskSpec) -> int | None:
        """How often the task's own failures are retried without the pipeline; None where nothing is."""

    def start(self, prepared: Sequence[Runnable]) -> None:
        """Have steps run."""

    def repeat(self, prepared: Runnable, run: int) -> None:
        """Have a step run once more, as this run of its task."""

    def stop(self, child: str, run: int, *, has_started: bool = False) -> None:
        """Have a run stopped; one that is known to have started is in no queue any more."""

    def ended(self) -> Sequence[Ended]:
        """Runs whose process is gone, whatever they said before."""


@dataclass(frozen=True)
class Ended:
    """The process of a run is gone, with an exit code, or was never there because the run `was_stopped` before."""

    child: str
    run: int
    code: int
    was_stopped: bool = False


def created(session: Session, prepared: Sequence[Runnable]) -> list[Event]:
    """Events that make the tasks of steps, where these are new."""
    return [TaskCreated(meta=session.stamp(), task=one.child, spec=one.spec) for one in prepared if one.is_new]


class QueueRunner:
    """Puts runs into queues, for agents."""

    def __init__(self, session: Session, append: Append) -> None:
        self._session = session
        self._append = append

    def retries_of(self, spec: TaskSpec) -> int | None:
        """What the task's description allows its agents."""
        return spec.retries

    def start(self, prepared: Sequence[Runnable]) -> None:
        """Make the tasks, and then enqueue them: an agent may start one as soon as it waits."""
        self._append(created(self._session, prepared))
        self._append([self._entry(one, one.run) for one in prepared if not one.is_left])

    def repeat(self, prepared: Runnable, run: int) -> None:
        """Enqueue another run."""
        self._append([TaskReset(meta=self._session.stamp(), task=prepared.child, run=run - 1)])
        self._append([self._entry(prepared, run)])

    def stop(self, child: str, run: int, *, has_started: bool = False) -> None:
        """Take it out of its queue, for which all queues have to be read, and ask whoever was faster to stop it."""
        if not has_started:
            with contextlib.suppress(NotEnqueuedError, TooLateError):
                patient(lambda: dequeue_task(child, _ABORTED))
        self._append([AbortRequested(meta=self._session.stamp(), task=child, run=run, reason=_ABORTED)])

    def ended(self) -> Sequence[Ended]:
        """Agents say themselves how a run ended."""
        return ()

    def _entry(self, one: Runnable, run: int) -> EntryEnqueued:
        entry = entry_id(one.queue, one.child, run)
        about = {"task": one.child, "queue": one.queue, "entry": entry, "run": run}
        return EntryEnqueued(meta=self._session.stamp(), **about, spec=one.spec)


class ProcessRunner:
    """Runs tasks as processes of this machine, in the present folder, no more at once than `slots`."""

    def __init__(self, session: Session, append: Append, slots: int | None = None) -> None:
        self._session = session
        self._append = append
        self._slots = threading.BoundedSemaphore(slots or max(2, os.cpu_count() or 1))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._begun: set[str] = set()
        self._stopped: set[str] = set()
        self._lock = threading.Lock()
        self._ended: list[Ended] = []

    def retries_of(self, spec: TaskSpec) -> int | None:  # noqa: ARG002  one signature for all runners
        """Nobody retries but the pipeline."""
        return None

    def start(self, prepared: Sequence[Runnable]) -> None:
        """Make the tasks and start their processes, as far as there is room."""
        self._append(created(self._session, prepared))
        for one in prepared:
            self._run(one, one.run)

    def repeat(self, prepared: Runnable, run: int) -> None:
        """Start another process."""
        self._append([TaskReset(meta=self._session.stamp(), task=prepared.child, run=run - 1)])
        self._run(prepared, run)

    def stop(self, child: str, run: int, *, has_started: bool = False) -> None:  # noqa: ARG002  it has one process
        """Interrupt the process, and kill it if it is still there after a while.

        One that a controller before this one has started, and died, watches for requests by itself.
        """
        with self._lock:
            self._stopped.add(child)
            process, is_ours = self._processes.get(child), child in self._begun
        if not is_ours:
            self._append([AbortRequested(meta=self._session.stamp(), task=child, run=run, reason=_ABORTED)])
        elif process is not None:
            threading.Thread(target=_see_out, args=(process,), name=f"tasktape-end-{child[:8]}").start()

    def ended(self) -> Sequence[Ended]:
        """Return the processes that are gone since this was last asked."""
        with self._lock:
            found, self._ended = self._ended, []
        return found

    def _run(self, one: Runnable, run: int) -> None:
        self._begun.add(one.child)
        threading.Thread(target=self._run_it, args=(one, run), name=f"tasktape-{one.child[:8]}", daemon=True).start()

    def _run_it(self, one: Runnable, run: int) -> None:
        with self._slots, tempfile.TemporaryDirectory(prefix="tasktape-step-") as folder:
            code = -1
            try:
                code = self._outcome(one, run, Path(folder))
            finally:
                with self._lock:
                    self._processes.pop(one.child, None)
                    self._ended.append(Ended(one.child, run, code, was_stopped=one.child in self._stopped))

    def _outcome(self, one: Runnable, run: int, folder: Path) -> int:
        """Run the process to its end and return its exit code.

        It has a session of its own: Ctrl-C is for the controller, which then interrupts each process once.
        """
        command, workplace = self._laid_out(one, folder)
        spec_file = folder / "task.json"
        spec_file.write_text(one.spec.model_dump_json())
        variables = dict(os.environ)
        variables.pop(lineage.PROC_TASK, None)
        variables |= {
            lineage.TASK_ID: one.child,
            lineage.RUN: str(run),
            lineage.SPEC_FILE: str(spec_file),
            lineage.SIMULATED: one.child,
            "PYTHONPATH": os.pathsep.join(filter(None, [sys.path[0], os.environ.get("PYTHONPATH", "")])),
        }
        with self._lock:
            if one.child in self._stopped:
                return -1
            process = subprocess.Popen(
                command, cwd=workplace, env=variables, stdin=subprocess.DEVNULL, start_new_session=True
            )
            self._processes[one.child] = process
        try:
            return process.wait(one.spec.time_limit or None)
        except subprocess.TimeoutExpired:
            self.stop(one.child, run)
            return process.wait()

    def _laid_out(self, one: Runnable, folder: Path) -> tuple[list[str], Path]:
        """The command that runs the task, and the folder to run it in: the present one for a lone script."""
        script = one.spec.script
        if script.source and not script.repository:
            file = folder / Path(script.entry_point).name
            file.write_text(script.source)
            return [sys.executable, str(file), *script.arguments], Path.cwd()
        from ..capture.materialise import materialise  # noqa: PLC0415  only for what comes from a repository

        checkout = materialise(script, folder / "code", mirrors=self._session.settings.home / "mirrors")
        return [sys.executable, *checkout.entry_point.split(), *script.arguments], checkout.working_dir


def _see_out(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a process; kill it if that does not end it. The controller's own process waits for this at its end."""
    _signal(process, signal.SIGINT)
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)


def death(session: Session, ended: Ended) -> RunFailed | RunStopped:
    """What is said of a run whose process has ended without a word."""
    if ended.was_stopped:
        return RunStopped(meta=session.stamp(), task=ended.child, run=ended.run, reason=_ABORTED)
    reason = f"exit code {ended.code}" if ended.code >= 0 else "process died"
    message = "the process ended without saying how: see its output"
    about = {"task": ended.child, "run": ended.run, "reason": reason, "message": message}
    return RunFailed(meta=session.stamp(), **about, exit_code=ended.code)


class LastWords:
    """Tells the deaths of processes that said nothing, once all is read that they may have said."""

    def __init__(self, session: Session, runner: Runner, channel: Channel, children: Children) -> None:
        self._session = session
        self._runner = runner
        self._channel = channel
        self._children = children
        self._open: list[tuple[Ended, Positions]] = []

    def tell(self) -> None:
        """Look at the processes that have ended."""
        self._open += [(ended, self._channel.ends()) for ended in self._runner.ended()]
        for ended, ends in [words for words in self._open if self._channel.is_beyond(words[1])]:
            self._open.remove((ended, ends))
            child = self._children[ended.child]
            if not child.is_over and child.run == ended.run:
                self._channel.append([death(self._session, ended)])
