"""`Task.init`: which task this process runs from now on, and everything that begins with it."""

from __future__ import annotations

import contextlib
import os
import platform
import random
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self, cast

from ..events.base import new_task_id
from ..events.errors import LogUnavailableError
from ..events.parts import TaskSpec
from ..events.task_events import RunStarted, TaskCreated, TaskReset
from . import describing, lineage
from . import spec as specs
from .begin import Earlier, Predecessors, continued
from .capture.entry import Entry, find_entry
from .collector import collector_paused
from .errors import UsageError
from .execution import Execution
from .ranks import WAIT_SECONDS, join_first, share
from .running import RunFile, mark_dead_runs
from .session import Session, change_session, current_session, offline_session, process
from .task_editing import OWN, WATCHED, checked_type
from .task_export import ExportMixin
from .types import TaskTypes
from .warn import warn_once

if TYPE_CHECKING:
    from .task import Task

Switch = bool | Mapping[str, Any]
"""ClearML's `auto_connect_*` arguments: on, off, or on for what a mapping says."""


@dataclass(frozen=True)
class Wanted:
    """What `Task.init` was asked for; names are filled in where the script gave none."""

    project: str
    name: str
    task_type: str
    tags: tuple[str, ...]
    output_uri: str | bool | None
    reuse: bool | str
    go_on: bool | int | str
    entry: Entry

    @property
    def goes_on(self) -> bool:
        """Whether an earlier run is continued; an offset of 0 is one too."""
        return self.go_on is not False and self.go_on is not None

    def spec(self, session: Session) -> TaskSpec:
        """A new task's description."""
        return TaskSpec(
            project=self.project,
            name=self.name,
            task_type=self.task_type,
            user=session.actor,
            tags=list(self.tags),
            system_tags=[OWN],
            script=describing.first_look(self.entry),
            output_uri=session.settings.blobs if self.output_uri is True else str(self.output_uri or ""),
        )


@dataclass(frozen=True)
class Connections:
    """The `auto_connect_*` arguments of `Task.init`, as capture takes them."""

    arguments: Switch
    frameworks: Switch
    monitoring: Any
    streams: Switch


class InitMixin(ExportMixin):
    """`Task.init`."""

    @classmethod
    def init(
        cls,
        project_name: str | None = None,
        task_name: str | None = None,
        task_type: TaskTypes | str | None = TaskTypes.training,
        tags: Sequence[str] | str | None = None,
        reuse_last_task_id: bool | str = True,
        continue_last_task: bool | int | str = False,
        output_uri: str | bool | None = None,
        auto_connect_arg_parser: Switch = True,
        auto_connect_frameworks: Switch = True,
        auto_resource_monitoring: Any = True,
        auto_connect_streams: Switch = True,
        deferred_init: bool = False,
    ) -> Self:
        """Make this process a task. Under an agent it is the one the agent runs; in a child process the parent's.

        Args:
            project_name: The project; the repository's folder by default.
            task_name: The name; the script's by default.
            task_type: What the task is for.
            tags: Tags of a new task.
            reuse_last_task_id: Take the place of the task that a script of this project and name had here within 72
                hours, if it has no artifacts and models and is neither published nor archived. False makes a new
                task, an id names the task.
            continue_last_task: Go on with the last task, its outputs kept: iterations count on from its last one. A
                number is added to each iteration instead (0 for none), an id names the task.
            output_uri: Where artifacts and models go by default: a folder, `s3://…`, True for the blob store.
            auto_connect_arg_parser: Record arguments of argparse, click, fire, jsonargparse, hydra and absl.
            auto_connect_frameworks: Record what frameworks plot and save.
            auto_resource_monitoring: Record the machine's load.
            auto_connect_streams: Record stdout, stderr and logging.
            deferred_init: Do not look for a task whose place could be taken: nothing is read from the log then.

        Raises:
            UsageError: This process has a task with another project, name or type.
            InvalidArgumentError: There is no such task type; also a `ValueError`.
            UnknownTaskError: A task was named that there is not; also a `ValueError`.

        """
        kind = checked_type(task_type)
        monitoring = (process.monitor_timing or True) if auto_resource_monitoring is True else auto_resource_monitoring
        connections = Connections(auto_connect_arg_parser, auto_connect_frameworks, monitoring, auto_connect_streams)
        with process.lock, collector_paused():
            if process.task is None:
                cls._join_parent(WAIT_SECONDS)
            if process.task is not None:
                return cls._again(project_name, task_name, kind if task_type else None)
            entry = find_entry()
            if assigned := lineage.assigned():
                return cls._assigned(assigned, continue_last_task)._go(entry, connections)
            project, name = describing.default_names(entry)
            wanted = Wanted(
                project=project_name or project,
                name=task_name or name,
                task_type=kind,
                tags=tuple([tags] if isinstance(tags, str) else tags or ()),
                output_uri=output_uri,
                reuse=False if deferred_init else reuse_last_task_id,
                go_on=continue_last_task,
                entry=entry,
            )
            return cls._local(wanted)._go(entry, connections)

    @classmethod
    def set_resource_monitor_iteration_timeout(
        cls,
        seconds_from_start: float = 30.0,
        wait_for_first_iteration_to_start_sec: float = 180.0,
        max_wait_for_first_iteration_to_start_sec: float = 1800.0,
    ) -> bool:
        """Set, before `Task.init`, how long the curves of the machine's load wait for iterations; returns True.

        Args:
            seconds_from_start: When they begin.
            wait_for_first_iteration_to_start_sec: Without an iteration until then, they are drawn over seconds.
            max_wait_for_first_iteration_to_start_sec: An iteration until then brings them back to iterations.

        """
        process.monitor_timing = {
            "report_start_sec": seconds_from_start,
            "wait_for_first_iteration_to_start_sec": wait_for_first_iteration_to_start_sec,
            "max_wait_for_first_iteration_to_start_sec": max_wait_for_first_iteration_to_start_sec,
        }
        return True

    @classmethod
    def _again(cls, project: str | None, name: str | None, kind: str | None) -> Self:
        """The task this process has already, if it is the one that is asked for."""
        task = process.task
        assert isinstance(task, cls)  # noqa: S101  it was made by this very class
        if task._execution is not None and task._execution.is_owner and task.running_locally():
            held = {"project": task.get_project_name(), "name": task.name, "type": task.task_type}
            for what, wanted in {"project": project, "name": name, "type": kind}.items():
                if wanted is not None and wanted != held[what]:
                    raise UsageError(
                        f"this process runs task {task.id}, whose {what} is {held[what]!r} and not {wanted!r}: call "
                        "task.close() before Task.init, or make another task with Task.create.",
                    )
        return task

    @classmethod
    def _join_parent(cls, timeout: float = 0.0) -> None:
        """Take part in the run of the process that started this one, if that has one.

        A later rank of several waits for the first one's task for so many seconds.
        """
        from .capture import join  # noqa: PLC0415  imports what it needs itself

        parent = lineage.announced() or join_first(timeout)
        if parent is None:
            return
        if parent.offline_folder:
            change_session(offline_session(parent.task))
        sketch = TaskSpec(project=parent.project, name=parent.name, task_type=parent.task_type)
        if parent.is_watched:
            current_session().outbox.hasten()
        execution = Execution(owner_pid=parent.pid)
        task = cls(parent.task, run=parent.run, sketch=sketch, execution=execution)
        task.set_initial_iteration(parent.initial_iteration)
        process.task = task
        execution.uninstalls += join(cast("Task", task))

    @classmethod
    def _assigned(cls, assigned: lineage.Assigned, go_on: bool | int | str) -> Self:
        """The task an agent started this process for."""
        execution = Execution(says_end=assigned.simulated)
        if assigned.spec is not None and WATCHED in assigned.spec.system_tags:
            current_session().outbox.hasten()
        if assigned.simulated and assigned.spec is not None:
            task = cls(assigned.task, run=assigned.run, spec=assigned.spec, execution=execution)
            task._start()
        elif assigned.simulated:
            earlier = continued(current_session(), assigned.task)
            task = cls(assigned.task, run=earlier.last_run + 1, spec=earlier.spec, execution=execution)
            task._start()
        else:
            task = cls(assigned.task, run=assigned.run, spec=assigned.spec, execution=execution)
        if type(go_on) is int:
            task.set_initial_iteration(go_on)
        return task

    @classmethod
    def _local(cls, wanted: Wanted) -> Self:
        """The task of a run that a person started: the earlier one that it goes on with or replaces, or a new one."""
        if cls.is_offline():
            return cls._offline(wanted)
        session = current_session()
        before = Predecessors(session, wanted.project, wanted.name, wanted.task_type)
        task = cls._continued(wanted, before) if wanted.goes_on else None
        if task is None and wanted.reuse and not wanted.goes_on:
            task = cls._replacing(wanted, before)
        task = task or cls._new(new_task_id(), wanted)
        before.remember(task.id)
        task._before = before
        _tell(task)
        return task

    @classmethod
    def _new(cls, task_id: str, wanted: Wanted) -> Self:
        session = current_session()
        spec = specs.fit_spec(wanted.spec(session))
        task = cls(task_id, run=1, spec=spec, execution=Execution())
        session.emit(TaskCreated(meta=session.stamp(), task=task_id, spec=spec))
        task._start()
        return task

    @classmethod
    def _offline(cls, wanted: Wanted) -> Self:
        """A new task in a folder of its own."""
        task_id = new_task_id()
        session = offline_session(task_id)
        change_session(session)
        task = cls._new(task_id, wanted)
        task._offline_folder = session.folder
        _tell(task)
        return task

    @classmethod
    def is_offline(cls) -> bool:
        """Return whether tasks go to folders of their own."""
        raise NotImplementedError

    @classmethod
    def _continued(cls, wanted: Wanted, before: Predecessors) -> Self | None:
        named = next((given for given in (wanted.go_on, wanted.reuse) if isinstance(given, str)), before.last_task)
        if named is None:
            return None
        try:
            earlier = continued(current_session(), named)
        except LogUnavailableError as error:
            warn_once("not_continued", f"task {named} can't be read to go on with it, so a new one begins: {error}")
            return None
        task = cls._of_earlier(earlier)
        task.set_initial_iteration(wanted.go_on if type(wanted.go_on) is int else earlier.next_iteration)
        task._start(continues=True)
        task.add_tags(wanted.tags)
        return task

    @classmethod
    def _replacing(cls, wanted: Wanted, before: Predecessors) -> Self | None:
        session = current_session()
        named = wanted.reuse if isinstance(wanted.reuse, str) else None
        earlier = continued(session, named) if named else before.replaceable()
        if earlier is None:
            return None
        task = cls._of_earlier(earlier)
        session.emit(TaskReset(meta=session.stamp(), task=task.id, run=earlier.last_run))
        for field, value in wanted.spec(session):
            task._edit(field, value)
        task._start()
        return task

    @classmethod
    def _of_earlier(cls, earlier: Earlier) -> Self:
        return cls(earlier.task, run=earlier.last_run + 1, spec=earlier.spec, execution=Execution())

    def _start(self, *, continues: bool = False) -> None:
        if self._execution is not None:
            self._execution.run_file = RunFile.create(self._session.settings, self._id, self.run)
        self._emit(
            RunStarted(
                meta=self._session.stamp(),
                task=self._id,
                run=self.run,
                continues=continues,
                initial_iteration=self._initial_iteration,
                machine=_machine(),
                force=continues,
            )
        )

    def _go(self, entry: Entry, connections: Connections) -> Self:
        """Make this the task of the process, and begin what goes on beside the script."""
        process.task = self
        announced = lineage.Announced(
            pid=os.getpid(),
            task=self._id,
            run=self.run,
            project=self.get_project_name(),
            name=self.name,
            task_type=self.task_type,
            initial_iteration=self._initial_iteration,
            offline_folder=str(self._offline_folder or ""),
            is_watched=self._session.outbox.is_hasty,
        )
        lineage.announce(announced)
        seed(process.random_seed)
        self._install(connections)
        if self._execution is not None:
            self._execution.uninstalls += filter(None, [share(announced)])
            if self._execution.says_end and self._offline_folder is None:
                self._watch_for_aborts()
            self._execution.in_background(lambda: self._describe(entry, connections.frameworks), self._tidy)
        return self

    def _install(self, connections: Connections) -> None:
        """Begin to capture: console, arguments, frameworks, load, and how the process ends."""
        from .capture import install  # noqa: PLC0415  imports what it needs itself

        if self._execution is not None:
            self._execution.uninstalls += install(cast("Task", self), connections)

    def _describe(self, entry: Entry, frameworks: Switch) -> None:
        """Find out what the script is made of; under an agent that is known."""
        if self._execution is None or not self.running_locally():
            return
        detects = frameworks.get("detect_repository", True) if isinstance(frameworks, Mapping) else True
        found = describing.describe(entry, self._session, use_repository=bool(detects))
        for field, value in found:
            if f"script.{field}" not in self._pinned:
                self._edit(f"script.{field}", value)

    def _tidy(self) -> None:
        """See to what earlier runs left; where the log is away that is left to whoever comes next."""
        if not self.running_locally() or not self._session.outbox.synced(insists=False):
            return
        if self._before is not None:
            self._before.look_ahead()
        with contextlib.suppress(LogUnavailableError):
            mark_dead_runs(self._session)


def seed(value: int | None) -> None:
    """Seed `random`, and NumPy and torch where they have been imported. What a thread still imports is waited for."""
    if value is None:
        return
    random.seed(value)
    if "numpy" in sys.modules:
        import_module("numpy").random.seed(value % 2**32)
    if "torch" in sys.modules:
        import_module("torch").manual_seed(value)


def _tell(task: InitMixin) -> None:
    """One line for the person who started the script, where its own output is not in the way."""
    run = f", run {task.run}" if task.run > 1 else ""
    where = f"{task.name!r:.200} in project {task.get_project_name()!r:.200}"
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no stderr, or a closed one
        sys.stderr.write(f"tasktape: task {task.id}{run}, {where}\n")


def _machine() -> dict[str, str]:
    return {
        "host": socket.gethostname(),
        "system": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "executable": sys.executable,
    }
