"""What this machine does for runs: prepares them, starts their programs, ends them, and delivers all they have said."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from ..events.errors import TasktapeError
from ..producers import abort_note, lineage
from ..producers.capture.git_access import GitAccess
from ..producers.capture.mirror import forget_removed
from ..producers.sync import recover
from .checkout import CheckoutError, Program, check_out
from .circumstances import Circumstances
from .claiming import Pursuit
from .console import Console
from .containers import ContainerError
from .devices import variables
from .environment import EnvironmentBuildError
from .masking import Mask
from .observer import NOBODY, Observer
from .places import Places, Start
from .processes import CancelledError, Leash, ProcessGroup, Tools
from .run_control import FinalEvent, Trouble
from .run_folders import RunFolder
from .run_settings import without_settings, write_run_settings

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
    places: Places
    access: GitAccess
    mask: Mask
    outbox: Outbox
    leash: Leash
    worker: str
    post: Post
    recovery: threading.Lock = field(default_factory=threading.Lock)
    observer: Observer = NOBODY


class LocalRun:
    """One run on this machine, from its preparation to its clean-up."""

    def __init__(self, pursuit: Pursuit, shop: Workshop) -> None:
        self._pursuit = pursuit
        self._shop = shop
        about = (pursuit.entry.task, pursuit.entry.run)
        self._console = Console(*about, pursuit.stamp, shop.outbox.emit, shop.mask)
        self._tools = Tools(shop.leash, self._console.feed)
        self._folder: RunFolder | None = None
        self._program: Program | None = None
        self._place: Start | None = None
        self._group: ProcessGroup | None = None
        self._circumstances: Circumstances | None = None
        self._preparation = self._in_thread(self._prepare, "prepare")

    def launch(self) -> Trouble | None:
        """Start the program; a thread waits for its end."""
        assert self._program is not None  # noqa: S101  only prepared runs are launched
        assert self._place is not None  # noqa: S101  the same
        shown = self._variables(self._program)
        self._circumstances = Circumstances(self._program.folder)
        try:
            self._group = ProcessGroup(
                self._place.command(self._program, shown),
                folder=self._program.folder,
                environment=self._place.surroundings(shown),
                on_output=self._console.feed,
                leash=self._shop.leash,
            )
        except OSError as error:
            return self._trouble(error)
        self._in_thread(self._wait, "wait")
        return None

    def stop(self, *, patient: bool, grace: float) -> None:
        """End the program; patiently means that its abort callback, if it has one, may return first."""
        if self._group is None:
            return
        self._in_thread(lambda: self._stop(grace, patient=patient), "abort")

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
        except Exception as error:  # noqa: BLE001  whatever it is: a run that is never said to be prepared never ends
            self._console.say(str(error))
            self._shop.post(Prepared(self._pursuit.attempt, self._trouble(error)))
        else:
            self._shop.post(Prepared(self._pursuit.attempt, None))

    def _lay_out(self) -> None:
        spec, shop = self._pursuit.request.spec, self._shop
        self._folder = RunFolder(shop.settings.home / "runs")
        path = self._folder.path
        doing, attempt = shop.observer.doing, self._pursuit.attempt
        with doing(attempt, "checkout"):
            self._program = check_out(spec.script, path / "code", shop.settings.home / "mirrors", shop.access)
        with doing(attempt, "environment"):
            self._place = shop.places.take(spec, self._program, path, self._tools, self._console.say)
        write_run_settings(path / "tasktape.toml", shop.settings)
        (path / "spec.json").write_text(spec.model_dump_json(), encoding="utf-8")

    def _trouble(self, error: Exception) -> Trouble:
        """What an error says, without secrets in it."""
        trouble = trouble_of(error)
        return replace(trouble, message=self._shop.mask(trouble.message))

    def _variables(self, program: Program) -> dict[str, str]:
        """Variables of the program: the task's own, then what tells the SDK whose run it is and where its log is."""
        assert self._folder is not None  # noqa: S101  only prepared runs are launched
        entry, settings, folder = self._pursuit.entry, self._shop.settings, self._folder.path
        places = {"TASKTAPE_HOME": str(settings.home), "TASKTAPE_LOG": settings.log, "TASKTAPE_BLOBS": settings.blobs}
        return without_settings(self._pursuit.request.spec.environment) | {
            **variables(self._pursuit.gpus),
            **{name: value for name, value in places.items() if "@" not in value},
            **self._shop.observer.variables(self._pursuit.attempt),
            "PYTHONPATH": os.pathsep.join(map(str, program.roots)),
            "TASKTAPE_CONFIG": str(folder / "tasktape.toml"),
            lineage.TASK_ID: entry.task,
            lineage.RUN: str(entry.run),
            lineage.SPEC_FILE: str(folder / "spec.json"),
            WORKER_ID: self._shop.worker,
            abort_note.VARIABLE: str(folder / "abort-callback"),
        }

    def _wait(self) -> None:
        assert self._group is not None  # noqa: S101  it was just started
        assert self._circumstances is not None  # noqa: S101  the same
        code = self._group.wait()
        self._shop.post(Exited(self._pursuit.attempt, code, self._circumstances.of(code)))

    def _stop(self, grace: float, *, patient: bool) -> None:
        """End the program; an abort callback that it has announced may return first, for as long as it asked for."""
        assert self._group is not None  # noqa: S101  only running programs are stopped
        assert self._folder is not None  # noqa: S101  the same
        assert self._place is not None  # noqa: S101  the same
        note = self._folder.path / "abort-callback"
        deadline = time.monotonic() + (abort_note.seconds(note) if patient else 0.0)
        while time.monotonic() < deadline and note.exists() and not self._group.ended.wait(_LOOK_SECONDS):
            pass
        self._place.stop(grace)
        self._group.stop(grace)

    def _finish(self, event: FinalEvent | None) -> None:
        self._preparation.join()
        if self._place is not None:
            self._place.leave()
        self._console.close()
        self._deliver()
        if event is not None:
            self._shop.outbox.emit(event)
        if self._folder is not None:
            self._folder.remove()
        if self._program is not None and self._program.mirror is not None:
            forget_removed(self._program.mirror)
        self._shop.post(Finished(self._pursuit.attempt))

    def _deliver(self) -> None:
        """Bring what the program left in its journal and spool to the log: nothing of it comes after its end."""
        deadline = time.monotonic() + DELIVERY_SECONDS
        try:
            with self._shop.recovery:
                recover(self._shop.settings, stop=lambda: time.monotonic() > deadline)
        except TasktapeError as error:
            entry = self._pursuit.entry
            ids = {"entry": entry.id, "task": entry.task, "run": entry.run, "queue": self._pursuit.queue}
            LOGGER.warning("what the run left follows later: %s", error, extra={"action": "recover_failed", **ids})
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
    if isinstance(error, EnvironmentBuildError | ContainerError):
        return Trouble("environment", str(error), "infrastructure")
    if isinstance(error, CheckoutError):
        return Trouble("checkout", str(error), "infrastructure" if error.transient else "task")
    missing = isinstance(error, OSError) and error.errno in {errno.ENOENT, errno.EACCES}
    return Trouble("start", str(error), "task" if missing else "infrastructure")
