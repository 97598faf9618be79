"""A pipeline under way: its engine, the wait for its end, and what its task says then."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final

from ...events.errors import TasktapeError
from ...projections.pipeline_fold import DONE, StepState
from ..controllers.channel import Channel
from ..controllers.children import Children
from ..controllers.engine import Engine, SupersededError
from ..queues import ALWAYS_THERE, require_queue
from ..warn import LOGGER
from .conductor import Conductor, Plan
from .errors import PipelineError
from .graph import check_graph
from .monitoring import take_over
from .references import check, references
from .reporting import Reporting
from .runners import ProcessRunner, QueueRunner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..session import Session
    from ..task import Task
    from .node import Node
    from .preparing import Surroundings

_INTERRUPTED: Final = "interrupted"
_ABORTED: Final = "aborted"
_GRACE_SECONDS: Final = 20.0
_WAIT_SECONDS: Final = 0.25
_OVER: Final = ("completed", "failed", "stopped", "published")


def check_steps(nodes: Mapping[str, Node], arguments: Mapping[str, Any]) -> None:
    """Raise `PipelineError` for the first thing that is wrong with a pipeline's steps; their parents are completed."""
    returns = {name: node.return_artifacts for name, node in nodes.items()}
    for node in nodes.values():
        for reference in node.references():
            check(reference, node.name, arguments, returns)
        node.parents = node.needs()
    check_graph({name: node.parents for name, node in nodes.items()})


def check_queues(session: Session, nodes: Mapping[str, Node], default: str) -> None:
    """Raise `PipelineError` where a step has no queue, or one that there is not; those always there are created."""
    wanted: dict[str, str] = {}
    for node in nodes.values():
        queue = node.queue or default
        if not queue:
            raise PipelineError("it has no queue: give it one, or call set_default_execution_queue.", node.name)
        if not list(references(queue, node.name)):
            wanted.setdefault(queue, node.name)
    with session.queries() as queries:
        existing = [row.name for row in queries.queues()]
    for queue, step in wanted.items():
        if queue not in existing and queue not in ALWAYS_THERE:
            raise PipelineError(f"there is no queue {queue!r}: `tasktape queues create {queue}`.", step)
        require_queue(session, queue, existing)


def wait_until_over(task: Task, timeout: float | None) -> bool:
    """Wait, so many seconds at the most, until a pipeline that another process runs is over; returns whether it is."""
    waiting = threading.Thread(target=lambda: task.wait_for_status(_OVER, None), daemon=True)
    waiting.start()
    waiting.join(timeout)
    return not waiting.is_alive()


class Execution:
    """One run of a pipeline in this process."""

    def __init__(
        self,
        task: Task,
        plan: Plan,
        surroundings: Surroundings,
        nodes: dict[str, Node],
        caller: Any,
        *,
        in_processes: bool = False,
        is_complete: bool = True,
    ) -> None:
        session = self._session = surroundings.session
        self._in_processes = in_processes
        self._queues: set[str] = set()
        self._task = task
        children = Children()
        self._reporting = Reporting(task, session)
        _bring_to_log(session)
        channel = Channel(session, task.id, children)
        runner = ProcessRunner if in_processes else QueueRunner
        self.conductor = Conductor(
            plan,
            surroundings,
            task.run,
            nodes,
            children,
            caller,
            runner(session, channel.append),
            channel,
            on_change=self._reporting.show,
            on_end=self._take_over,
            is_complete=is_complete,
        )
        self._engine = Engine(channel, task.run, self.conductor, children)
        self.conductor.catch_up = self._engine.catch_up
        self.began = time.monotonic()

    def start(self) -> None:
        """Begin; the pipeline is run by a thread of its own."""
        self._task.register_abort_callback(self._abort, _GRACE_SECONDS)
        self._engine.start()

    @property
    def is_running(self) -> bool:
        """Whether it is not over."""
        return not self._engine.over.is_set()

    @property
    def status(self) -> str:
        """How it has ended: `completed`, `failed` or `stopped`; `in_progress` before."""
        return "in_progress" if self.is_running else self.conductor.result()[0]

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all steps are over; returns whether they are. Ctrl-C stops the pipeline.

        Raises whatever kept the pipeline from going on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while self.is_running and (deadline is None or time.monotonic() < deadline):
                self._engine.over.wait(_WAIT_SECONDS)
        except KeyboardInterrupt:
            self.stop(_INTERRUPTED, failed=False)
            self._engine.over.wait(_GRACE_SECONDS)
            raise
        self._raise_trouble()
        return not self.is_running

    def wait_for(self, step: str) -> None:
        """Wait until a step is over, and its callbacks have been called."""
        conductor = self.conductor
        fold, progress = conductor.fold, conductor.progress
        with progress:
            while not ((conductor.has_begun and fold.is_settled(step)) or self._engine.over.is_set()):
                progress.wait(_WAIT_SECONDS)
        self._raise_trouble()

    def check(self, node: Node) -> None:
        """Raise `PipelineError` where a step that is to be added can't be run."""
        nodes = self.conductor.nodes
        if unknown := next((parent for parent in node.needs() if parent not in nodes), None):
            raise PipelineError(f"its parent {unknown!r} is no step of this pipeline yet.", node.name)
        queue = node.queue or self.conductor.plan.queue
        if not self._in_processes and queue not in self._queues:
            check_queues(self._session, {node.name: node}, self.conductor.plan.queue)
            self._queues.add(queue)

    def complete(self) -> None:
        """No more steps are to be added."""
        self.conductor.is_complete = True

    def stop(self, reason: str, *, failed: bool) -> None:
        """Start nothing more and abort what runs; steps that are over stay so."""
        if self.is_running:
            self.conductor.stop(reason, failed=failed)

    def show(self) -> None:
        """Show the present state at once."""
        self._reporting.show(self.conductor.fold, at_once=True)

    def finish(self) -> None:
        """Show the last state, and let the task say how the pipeline ended."""
        self._engine.close()
        self._raise_trouble()
        status, reason = self.conductor.result()
        self.show()
        if status == "failed":
            self._task.mark_failed(status_reason="pipeline failed", status_message=reason)
        elif status == "stopped":
            self._task.mark_stopped(status_message=reason)

    def _take_over(self, node: Node | None, step: StepState) -> None:
        """Show on the pipeline's task what a step was to be watched for; trouble with that stops nothing."""
        if node is None or step.status not in DONE or not node.is_monitored:
            return
        try:
            take_over(self._task, node, self.conductor.outcome_of(step.name))
        except (TasktapeError, ValueError) as error:
            LOGGER.warning(
                "what step %r was to be watched for is not shown: %s",
                step.name,
                error,
                extra={"action": "not_monitored", "step": step.name},
            )

    def _raise_trouble(self) -> None:
        if isinstance(self._engine.error, SupersededError):
            LOGGER.warning("%s", self._engine.error, extra={"action": "controller_superseded"})
        if self._engine.error is not None:
            raise self._engine.error

    def _abort(self) -> None:
        self.stop(_ABORTED, failed=False)
        self._engine.over.wait(_GRACE_SECONDS)


def _bring_to_log(session: Session) -> None:
    """Wait until the log has what was said of the task: its own events count only behind its beginning."""
    while not session.outbox.synced(session.settings.close_timeout):
        error = session.outbox.refusal
        if error is not None:
            raise error
        LOGGER.warning("the log does not answer; the pipeline waits for it.", extra={"action": "wait_for_log"})
        time.sleep(_WAIT_SECONDS)
