"""Going on elsewhere: this run handed to a queue, a function of it as a task of its own, an agent's run simulated."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final, Self

from . import lineage
from .connect import is_value
from .ending import Ending
from .errors import InvalidArgumentError
from .session import process
from .task_create import CreateMixin
from .task_editing import OWN
from .types import TaskStatusEnum as Status
from .warn import LOGGER

FUNCTION_SECTION: Final = "Function"
FUNCTION_TAG: Final = "func"
_MARKER: Final = "__func_readonly__"


class RemoteMixin(CreateMixin):
    """`execute_remotely` and what belongs to it."""

    @staticmethod
    def running_locally() -> bool:
        """Return whether no agent decides on parameters here."""
        return not lineage.runs_remotely()

    @classmethod
    def debug_simulate_remote_task(cls, task_id: str, reset_task: bool = False) -> None:
        """Let `Task.init` behave in this process as if an agent had started it for a task.

        Args:
            task_id: The task, whose parameters win over the script's.
            reset_task: Reset it first.

        Raises:
            UnknownTaskError: There is no such task; also a `ValueError`.

        """
        if lineage.runs_remotely():
            return
        task = cls._by_id(task_id)
        if reset_task:
            task.reset(force=True)
        lineage.simulate(task_id)

    def execute_remotely(
        self, queue_name: str | None = None, clone: bool = False, exit_process: bool = True
    ) -> Self | None:
        """Stop here and go on at an agent; under an agent this does nothing.

        Args:
            queue_name: The queue; without one the task becomes a draft.
            clone: Enqueue a copy, and leave this task as it is.
            exit_process: End this process, with exit code 0.

        Returns:
            The task that is to run elsewhere; None under an agent.

        Raises:
            InvalidArgumentError: Neither a clone is to be made nor the process to end; or this is not the current
                task and no queue is named.
            UnknownQueueError: There is no such queue; also a `ValueError`.

        """
        if not self.running_locally() and self.is_main_task():
            return None
        if not self.is_main_task():
            return self._send_off(queue_name, clone=clone)
        if not clone and not exit_process:
            raise InvalidArgumentError("without a clone this process has to end: set clone or exit_process.")
        if queue_name:
            self._require_queue(queue_name)
        if clone:
            task = type(self).clone(self)
        else:
            self.end(Ending(Status.stopped, reason="goes on remotely"))
            task = self
        task._hand_over(queue_name)
        task.flush()
        if exit_process:
            LOGGER.warning(
                "this process ends: task %s goes on at an agent.",
                task.id,
                extra={"action": "execute_remotely", "task": task.id},
            )
            if clone:
                self.end(Ending(Status.stopped, reason="goes on remotely"))
            sys.exit(0)
        return task

    def create_function_task(
        self, func: Callable[..., Any], func_name: str | None = None, task_name: str | None = None, **kwargs: Any
    ) -> Self | None:
        """Make a task of a call of one function: elsewhere, this script runs up to here, calls it, and ends.

        Args:
            func: The function.
            func_name: A name for it that is unique in the script; its own by default.
            task_name: The task's name; this task's with the function's by default.
            kwargs: Arguments; plain values become parameters in the section `Function`.

        Returns:
            The new draft; None at an agent that is to run another function.

        Raises:
            InvalidArgumentError: This is not the current task, `func` can't be called, or its name is taken.

        """
        name = self._function_name(func, func_name)
        arguments = {key: value for key, value in kwargs.items() if is_value(value)}
        wanted = None if self.running_locally() else self.get_parameter(f"{FUNCTION_SECTION}/{_MARKER}")
        if wanted is None:
            return self._function_draft(name, task_name, arguments)
        if wanted == name:
            func(**kwargs | self.connect(arguments, name=FUNCTION_SECTION))
            self.close()
            sys.exit(0)
        return None

    def _function_name(self, func: Callable[..., Any], func_name: str | None) -> str:
        if not self.is_main_task():
            raise InvalidArgumentError("a function task is made by the current task.")
        if not callable(func):
            raise InvalidArgumentError(f"a {type(func).__name__} can't be called.")
        name = str(func_name or func.__name__).strip()
        if name in self._functions:
            raise InvalidArgumentError(f"a function task {name!r} was made already: give another func_name.")
        self._functions.add(name)
        return name

    def _function_draft(self, name: str, task_name: str | None, arguments: dict[str, Any]) -> Self:
        task = type(self).clone(self, name=task_name or f"{self.name} <{name}>", parent=self.id)
        task.set_system_tags([*task.get_system_tags(), FUNCTION_TAG])
        marked = arguments | {_MARKER: name}
        task.update_parameters({f"{FUNCTION_SECTION}/{key}": value for key, value in marked.items()})
        return task

    def _send_off(self, queue_name: str | None, *, clone: bool) -> Self:
        if not queue_name:
            raise InvalidArgumentError("name the queue: this task is not the current one.")
        task = type(self).clone(self) if clone else self
        self.enqueue(task, queue_name)
        return task

    def _hand_over(self, queue_name: str | None) -> None:
        """Enqueue this task; without a queue it becomes a draft."""
        if queue_name:
            self.enqueue(self, queue_name)
            return
        self.set_system_tags([tag for tag in self.get_system_tags() if tag != OWN])
        if self._run:
            self.reset(force=True)

    @classmethod
    def set_random_seed(cls, random_seed: int | None) -> None:
        """Set the seed that `Task.init` gives to `random`, NumPy and torch; None leaves them alone."""
        process.random_seed = random_seed

    @classmethod
    def get_random_seed(cls) -> int | None:
        """Return the seed."""
        return process.random_seed
