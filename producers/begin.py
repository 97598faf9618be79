"""What `Task.init` must find out before a run begins: the task of an earlier run that it may take over or go on with.

Nothing here waits for a network longer than `VERIFY_SECONDS`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..events.base import now_us
from ..events.errors import TasktapeError
from . import control
from .errors import InvalidTransitionError, UnknownTaskError
from .last_tasks import Horizon, LastTask, Slot
from .replay import TOPIC, Replayed, partition, replay
from .task_editing import OWN
from .types import TaskStatusEnum as Status
from .upload_spool import has_left_uploads
from .warn import LOGGER

if TYPE_CHECKING:
    from ..events.parts import TaskSpec
    from ..events.settings import Settings
    from .session import Session

VERIFY_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Earlier:
    """A task as earlier runs left it. `next_iteration` follows the last one reported."""

    task: str
    spec: TaskSpec
    last_run: int
    next_iteration: int = 0


class Predecessors:
    """The tasks this script had before on this machine. `key` is project, name and type."""

    def __init__(self, session: Session, *key: str) -> None:
        self._session = session
        self.horizon = Horizon(session.settings)
        self._slot = Slot.take(session.settings, *key)
        self._last = self._slot.read(now_us()) if self._slot else None

    @property
    def last_task(self) -> str | None:
        """Id of the last task, if it was used within 72 hours and no live process has it."""
        return self._last.task if self._last else None

    def replaceable(self) -> Earlier | None:
        """The last task, if a new run may take its place; None also where that can't be known in time."""
        if self._last is None or self._may_be_incomplete(self._last):
            return None
        found: list[Replayed | None] = []
        last = self._last
        reader = threading.Thread(target=lambda: found.append(self._replayed(last)), daemon=True)
        reader.start()
        reader.join(VERIFY_SECONDS)
        if not found or found[0] is None:
            return None
        known = found[0]
        self._last = last.model_copy(update={"known": known})
        spec = known.state.spec
        if spec is None or not known.can_be_replaced or OWN not in spec.system_tags:
            return None
        return Earlier(last.task, spec, known.state.run.number)

    def _may_be_incomplete(self, last: LastTask) -> bool:
        """Whether the last run has said things, artifacts for one, that are still on their way to the log."""
        is_on_log = _is_embedded(self._session.settings) if last.on_log is None else last.on_log
        return not is_on_log or has_left_uploads(self._session.settings)

    def _replayed(self, last: LastTask) -> Replayed | None:
        deadline = time.monotonic() + VERIFY_SECONDS
        try:
            with self._session.open_log() as log:
                source = self.horizon.partition(TOPIC, last.task) or partition(log, last.task)
                return replay(log, source, self._session.codec, last.task, last.known, deadline)
        except Exception as error:  # noqa: BLE001  whatever keeps it from being known, a new task is the answer
            LOGGER.debug(
                "the last task can't be looked at, a new one is made: %r", error, extra={"action": "last_task_unknown"}
            )
            return None

    def remember(self, task: str) -> None:
        """Note the task that begins now."""
        if self._slot is not None:
            is_known = self._last is not None and self._last.task == task
            known = self._last.known if self._last and is_known else Replayed(position=self.horizon.start(TOPIC))
            self._last = LastTask(task=task, at=now_us(), known=known)
            self._slot.write(self._last)

    def look_ahead(self) -> None:
        """Note how far the log is, so that later processes need not read what lies before."""
        try:
            with self._session.open_log() as log:
                self.horizon.look(log, (TOPIC, control.TOPIC))
        except TasktapeError as error:
            LOGGER.debug("how far the log is can't be noted: %r", error, extra={"action": "log_end_unknown"})

    def release(self, *, on_log: bool) -> None:
        """Let another process have the script's last task; all it said is on the log, or not."""
        slot, self._slot = self._slot, None
        if slot is not None and self._last is not None:
            slot.write(self._last.model_copy(update={"on_log": on_log}))
            slot.release()


def _is_embedded(settings: Settings) -> bool:
    """Whether the log is a file here: what was said is on it at once, even if the process is killed."""
    return settings.log.startswith("sqlite:")


def continued(session: Session, task: str) -> Earlier:
    """A task that is to go on, as the projection has it.

    Raises:
        UnknownTaskError: There is none of this id.
        InvalidTransitionError: It is published.
        LogUnavailableError: The log does not answer.

    """
    with session.queries() as queries:
        row, spec, scalars = queries.task(task), queries.spec(task), queries.last_scalars(task)
    if row is None or spec is None:
        raise UnknownTaskError(task)
    if row.status == Status.published:
        raise InvalidTransitionError(task, row.status, "continued")
    return Earlier(task, spec, row.last_run, row.last_iteration + 1 if scalars else 0)
