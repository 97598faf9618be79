"""What every part of `Task` stands on: its identity, what is known of it, and how a change to it is said.

A *live* task is run by this process or the one it was forked from: what is known of it here is the truth, and it
answers without asking anybody. Any other task is read from the projection.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..events.errors import LogUnavailableError
from ..events.parts import Configuration, Parameter, TaskSpec
from ..events.task_events import ConfigurationSet, ParametersSet, TaskEdited
from ..projections import spec_fold
from . import spec as specs
from .control import AbortCallback, AbortWatcher
from .errors import InvalidArgumentError, InvalidTransitionError, UnknownTaskError
from .execution import Execution
from .session import Session, current_session, process
from .task_data import remembered
from .text import as_name
from .types import TaskStatusEnum
from .warn import LOGGER, warn_once

if TYPE_CHECKING:
    from pathlib import Path

    from ..events.base import Event
    from ..projections.query import Queries
    from ..projections.rows import TaskRow
    from .begin import Predecessors
    from .logger import Logger

T = TypeVar("T")
LONGEST_VALUE = 256 * 1024
"""What a parameter may hold, as JSON text: a task's whole description has to fit into one record."""

LONGEST_CONFIGURATION = 4 * 1024 * 1024
EDITABLE = frozenset({TaskStatusEnum.created, TaskStatusEnum.in_progress})


class TaskBase:
    """A task by its id. `spec` and `row` are given where they are known, and read when they are needed.

    A `sketch` holds project, name and type alone.
    """

    def __init__(
        self,
        task_id: str,
        *,
        run: int | None = None,
        spec: TaskSpec | None = None,
        sketch: TaskSpec | None = None,
        row: TaskRow | None = None,
        execution: Execution | None = None,
    ) -> None:
        self._id = task_id
        self._run = run
        self._known_spec = spec
        self._sketch = sketch
        self._known_row = row
        self._execution = execution
        self._status = TaskStatusEnum.in_progress if execution else TaskStatusEnum.unknown
        self._initial_iteration = 0
        self._progress: int | None = None
        self._pinned: set[str] = set()
        self._functions: set[str] = set()
        self._before: Predecessors | None = None
        self._offline_folder: Path | None = None
        self._logger: Logger | None = None
        self._watcher: AbortWatcher | None = None
        self._abort_callback: AbortCallback | None = None
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        known = self._known_spec or self._known_row or self._sketch
        return f"Task(id={self._id!r}, name={known.name!r})" if known else f"Task(id={self._id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskBase) and other._id == self._id

    def __hash__(self) -> int:
        return hash(self._id)

    def forked(self) -> None:
        """Go on in a forked child: locks are new, the session is the child's own."""
        self._lock = threading.RLock()

    @property
    def id(self) -> str:
        """The task's id: 32 hexadecimal digits."""
        return self._id

    @property
    def task_id(self) -> str:
        """The same as `id`."""
        return self._id

    @property
    def run(self) -> int:
        """Number of the run that what is reported here belongs to; 0 for a draft."""
        if self._run is None:
            self._run = self._row.run
        return self._run

    def is_main_task(self) -> bool:
        """Whether this is the task that `Task.init` returned in this process."""
        return process.task is self

    def is_current_task(self) -> bool:
        """The same as `is_main_task`."""
        return self.is_main_task()

    def reload(self) -> Self:
        """Forget what was read of a task that somebody else runs."""
        if not self._live:
            self._known_spec = self._known_row = self._run = None
        return self

    @property
    def _live(self) -> bool:
        return self._execution is not None

    @property
    def _session(self) -> Session:
        return current_session()

    @property
    def _row(self) -> TaskRow:
        """The task as the projection has it, read once until `reload`."""
        if self._known_row is None:
            self._known_row = self._fresh_row()
        return self._known_row

    def _ask(self, question: Callable[[Queries], Sequence[T]]) -> Sequence[T]:
        """Ask the projection. For a task that runs here, a log that does not answer gives no answers but no error."""
        try:
            with self._session.queries() as queries:
                return question(queries)
        except LogUnavailableError as error:
            if not self._live:
                raise
            warn_once("not_read", f"what was reported can't be read back now: {error}")
            return ()

    def _fresh_row(self) -> TaskRow:
        """Read the task; of one that runs here, what is known here has to do while the log does not answer."""
        try:
            with self._session.queries() as queries:
                row = queries.task(self._id)
        except LogUnavailableError as error:
            if not self._live or self._known_spec is None:
                raise
            warn_once("not_read", f"what was reported can't be read back now: {error}")
            return self._remembered()
        if row is None:
            raise UnknownTaskError(self._id)
        return row

    def _remembered(self) -> TaskRow:
        step = self._session.outbox.last_step(self._id)
        return remembered(self._id, self.run, self._spec, self._status, self._progress or 0, step)

    @property
    def _spec(self) -> TaskSpec:
        """The task's spec, read once until `reload`."""
        if self._known_spec is None:
            with self._session.queries() as queries:
                self._known_spec = queries.spec(self._id)
        if self._known_spec is None:
            raise UnknownTaskError(self._id)
        return self._known_spec

    @property
    def _identity(self) -> TaskSpec | TaskRow:
        """Whatever is at hand that has name, project and type."""
        return self._sketch if self._sketch is not None and self._known_spec is None else self._summary

    @property
    def _summary(self) -> TaskSpec | TaskRow:
        """Whatever is at hand that has name, project, tags and the like."""
        if self._known_spec is None and self._known_row is not None:
            return self._known_row
        return self._spec

    def _settle(self, timeout: float = 300.0) -> None:
        """Wait until what this process found out about its script is in the spec."""
        if self._execution is not None and not self._execution.settle(timeout):
            LOGGER.warning(
                "the analysis of the script is not done after %g s: the task goes on without.",
                timeout,
                extra={"action": "analysis_late"},
            )

    def _emit(self, event: Event) -> None:
        """Say an event about this task; after a change of its state, what was read of that is old."""
        self._session.emit(event)
        if not isinstance(event, TaskEdited | ParametersSet | ConfigurationSet):
            self._known_row = None

    def _require_editable(self, change: str) -> None:
        """Raise `InvalidTransitionError` unless the task is a draft or runs, the states in which code may be edited."""
        if not self._live and (status := self._row.status) not in EDITABLE:
            raise InvalidTransitionError(self._id, status, change)

    def _edit(self, field: str, value: Any, *, reason: str = "", force: bool = False) -> bool:
        """Change one field of the spec; returns whether it had another value.

        Of a live task, whose values are known for sure, what is as it was is not said again.
        """
        with self._lock:
            old = specs.json_of(specs.value_at(self._spec, field))
            value = as_name(value) if field in {"name", "project"} else specs.fit(value)
            edited = spec_fold.with_field(self._spec, field, specs.json_of(value))
            new = specs.json_of(specs.value_at(edited, field))
            if old == new and self._live:
                return False
            self._known_spec = edited
            said = {"field": field, "old": old, "new": new, "reason": reason, "force": force}
            self._emit(TaskEdited(meta=self._session.stamp(), task=self._id, **said))
            return old != new

    def _put_parameters(self, parameters: Iterable[Parameter], removed: Iterable[str] = ()) -> None:
        """Set parameters and remove others; as for `_edit`, what is as it was is not said again."""
        with self._lock:
            before = {held.name: held for held in self._spec.parameters}
            given = [specs.fit_part(parameter) for parameter in parameters if _has_room(parameter)]
            changed = [p for p in given if before.get(p.name) != p or not self._live]
            gone = [name for name in removed if name in before]
            if not changed and not gone:
                return
            old = [before[name] for name in [*(p.name for p in changed), *gone] if name in before]
            self._known_spec = spec_fold.with_parameters(self._spec, changed, gone)
            said = ParametersSet(meta=self._session.stamp(), task=self._id, parameters=changed, old=old, removed=gone)
            self._emit(said)

    def _put_configuration(self, configuration: Configuration) -> None:
        """Set a configuration object whole. Raises `InvalidArgumentError` for one that no task can hold."""
        with self._lock:
            if len(configuration.text) > LONGEST_CONFIGURATION:
                what = f"configuration {configuration.name!r:.100} has {len(configuration.text) / 2**20:.0f} MiB"
                raise InvalidArgumentError(f"{what}, more than the 4 MiB a task can hold: upload it as an artifact.")
            configuration = specs.fit_part(configuration)
            before = specs.configuration(self._spec, configuration.name)
            if before == configuration and self._live:
                return
            self._known_spec = spec_fold.with_configuration(self._spec, configuration)
            self._emit(
                ConfigurationSet(
                    meta=self._session.stamp(),
                    task=self._id,
                    configuration=configuration,
                    old_text=before.text if before else None,
                )
            )


def _has_room(parameter: Parameter) -> bool:
    if len(parameter.value) <= LONGEST_VALUE:
        return True
    size = f"{len(parameter.value) / 2**20:.1f} MiB"
    LOGGER.warning(
        "parameter %.100s is left out: it has %s. Upload it as an artifact.",
        parameter.name,
        size,
        extra={"action": "parameter_left_out", "parameter": parameter.name},
    )
    return False
