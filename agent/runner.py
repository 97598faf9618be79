"""What this machine does for runs: prepares them, starts their programs, ends them, and delivers all they have said."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ..events.errors import TasktapeError
from ..events.settings import settings_file
from ..producers import abort_note, lineage
from ..producers.sync import recover
from .checkout import CheckoutError, Program, check_out
from .circumstances import Circumstances
from .claiming import Pursuit
from .console import Console
from .devices import variables
from .environment import EnvironmentBuildError, Environments
from .processes import CancelledError, Leash, ProcessGroup, Tools
from .run_control import FinalEvent, Trouble

if TYPE_CHECKING:
    from ..events.settings import Settings
    from ..producers.outbox import Outbox

LOGGER = logging.getLogger(__name__)
WORKER_ID: Final = "TASKTAPE_WORKER_ID"
DELIVERY_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.05


class Prepared(NamedTuple):
    """A run's environment and code are there, or can't be had."""

    attempt: str
    trouble: Trouble | None


class Exited(NamedTuple):
    """A run's program has ended; `circumstance` is what else is known of its end."""

    attempt: str
    code: int
    circumstance: str = ""


class Finished(NamedTuple):
    """All of a run was said and cleaned up."""

    attempt: str


Post = Callable[[Prepared | Exited | Finished], None]


@dataclass(frozen=True)
class Workshop:
    """What all runs of an agent share. `recovery` lets one of them at a time look after what programs left behind."""

    settings: Settings
    environments: Environments
    outbox: Outbox
    leash: Leash
    worker: str
    post: Post
    recovery: threading.Lock = field(default_factory=threading.Lock)


class LocalRun:
    """One run on this machine, from its preparation to its clean-up."""

    def __init__(self, pursuit: Pursuit, shop: Workshop) -> None:
        self._pursuit = pursuit
        self._shop = shop
        self._console = Console(pursuit.entry.task, pursuit.entry.run, pursuit.stamp, shop.outbox.emit)
        self._tools = Tools(shop.leash, self._console.feed)
        self._folder = Path()
        self._python = Path(sys.executable)
        self._program: Program | None = None
        self._group: ProcessGroup | None = None
        self._circumstances = Circumstances(self._folder)
        self._preparation = self._in_thread(self._prepare, "prepare")

    def launch(self) -> Trouble | None:
        """Start the program; a thread waits for its end."""
        assert self._program is not None  # noqa: S101  only prepared runs are launched
        self._circumstances = Circumstances(self._folder)
        try:
            self._group = ProcessGroup(
                [str(self._python), "-u", *self._program.arguments],
                folder=self._program.folder,
                environment=self._environment(self._program),
                on_output=self._console.feed,
                leash=self._shop.leash,
            )
        except OSError as error:
            return trouble_of(error)
        self._in_thread(self._wait, "wait")
        return None

    def stop(self, *, patient: bool, grace: float) -> None:
        """End the program; patiently means that its abort callback, if it has one, may return first."""
        if self._group is None:
            return
        if patient:
            self._in_thread(lambda: self._stop_patiently(grace), "abort")
        else:
            self._group.stop(grace)

    def finish(self, event: FinalEvent | None) -> None:
        """Deliver everything, say how the run ended, clean up: in a thread."""
        self._tools.cancel()
        self._in_thread(lambda: self._finish(event), "finish")

    def _in_thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=work, name=f"tasktape-{name}", daemon=True)
        thread.start()
        return thread

    def _prepare(self) -> None:
        try:
            self._lay_out()
        except CancelledError:
            return
        except (TasktapeError, OSError) as error:
            self._console.say(str(error))
            self._shop.post(Prepared(self._pursuit.attempt, trouble_of(error)))
        else:
            self._shop.post(Prepared(self._pursuit.attempt, None))

    def _lay_out(self) -> None:
        spec, home = self._pursuit.request.spec, self._shop.settings.home
        (home / "runs").mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="run-", dir=home / "runs"))
        self._python = self._shop.environments.python(spec.script, self._tools, self._console.say)
        self._program = check_out(spec.script, self._folder / "code", home / "mirrors")
        (self._folder / "spec.json").write_text(spec.model_dump_json(), encoding="utf-8")

    def _environment(self, program: Program) -> dict[str, str]:
        """Variables of the program: the agent's, the task's own, then what tells the SDK whose run it is."""
        entry, settings = self._pursuit.entry, self._shop.settings
        paths = [*map(str, program.roots), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | self._pursuit.request.spec.environment
        environment.pop(lineage.PROC_TASK, None)
        if self._python != Path(sys.executable):
            environment["VIRTUAL_ENV"] = str(self._python.parent.parent)
            environment["PATH"] = os.pathsep.join([str(self._python.parent), environment.get("PATH", os.defpath)])
        if (config := settings_file()) is not None:
            environment["TASKTAPE_CONFIG"] = str(config)
        environment |= variables(self._pursuit.gpus)
        return environment | {
            "PYTHONPATH": os.pathsep.join(paths),
            "TASKTAPE_HOME": str(settings.home),
            "TASKTAPE_LOG": settings.log,
            "TASKTAPE_BLOBS": settings.blobs,
            lineage.TASK_ID: entry.task,
            lineage.RUN: str(entry.run),
            lineage.SPEC_FILE: str(self._folder / "spec.json"),
            WORKER_ID: self._shop.worker,
            abort_note.VARIABLE: str(self._folder / "abort-callback"),
        }

    def _wait(self) -> None:
        assert self._group is not None  # noqa: S101  it was just started
        code = self._group.wait()
        self._shop.post(Exited(self._pursuit.attempt, code, self._circumstances.of(code)))

    def _stop_patiently(self, grace: float) -> None:
        """Wait for the abort callback that the program has announced, for as long as it asked for."""
        assert self._group is not None  # noqa: S101  only running programs are stopped
        note = self._folder / "abort-callback"
        deadline = time.monotonic() + abort_note.seconds(note)
        while time.monotonic() < deadline and note.exists() and not self._group.ended.wait(_LOOK_SECONDS):
            pass
        self._group.stop(grace)

    def _finish(self, event: FinalEvent | None) -> None:
        self._preparation.join()
        self._console.close()
        self._deliver()
        if event is not None:
            self._shop.outbox.emit(event)
        if self._folder != Path():
            shutil.rmtree(self._folder, ignore_errors=True)
        self._shop.post(Finished(self._pursuit.attempt))

    def _deliver(self) -> None:
        """Bring what the program left in its journal and spool to the log: nothing of it comes after its end."""
        deadline = time.monotonic() + DELIVERY_SECONDS
        try:
            with self._shop.recovery:
                recover(self._shop.settings, stop=lambda: time.monotonic() > deadline)
        except TasktapeError as error:
            LOGGER.warning("what the run left behind follows later: %s", error, extra={"action": "recover_failed"})
        self._shop.outbox.synced(max(0.0, deadline - time.monotonic()))


class Runner:
    """The runs of one agent on this machine, by attempt."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._runs: dict[str, LocalRun] = {}

    def prepare(self, pursuit: Pursuit) -> None:
        """Build the environment and lay out the code."""
        self._runs[pursuit.attempt] = LocalRun(pursuit, self._shop)

    def launch(self, attempt: str) -> Trouble | None:
        """Start user code."""
        return self._runs[attempt].launch()

    def stop(self, attempt: str, *, patient: bool, grace: float) -> None:
        """End a program."""
        self._runs[attempt].stop(patient=patient, grace=grace)

    def finish(self, attempt: str, event: FinalEvent | None) -> None:
        """Deliver all the run has said, say how it ended, clean up."""
        self._runs.pop(attempt).finish(event)


def trouble_of(error: Exception) -> Trouble:
    """What an error says of a run that can't begin: whether it is the task's own fault."""
    if isinstance(error, EnvironmentBuildError):
        return Trouble("environment", str(error), "infrastructure")
    if isinstance(error, CheckoutError):
        return Trouble("checkout", str(error), "infrastructure" if error.transient else "task")
    missing = isinstance(error, OSError) and error.errno in {errno.ENOENT, errno.EACCES}
    return Trouble("start", str(error), "task" if missing else "infrastructure")
