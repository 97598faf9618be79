"""The loop of every controller: hear what was said, decide from that alone, write the decision, read it back, act.

Whatever kills it, the next run of the controller's task folds the same events and goes on where they end.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...events.base import TaskEvent
from ...events.errors import TasktapeError
from ...events.task_events import RunEvent, RunLost, RunPreempted, RunStarted, TaskReset, TasksEvent
from ...projections.task_state import End
from ...projections.verdict import Verdict
from .children import Children, outcome_of

if TYPE_CHECKING:
    from ...events.log.port import Positions
    from ...projections.retries import Outcome
    from .channel import Channel

POLL_SECONDS: Final = 0.1


class SupersededError(TasktapeError):
    """The controller's run is over as far as others can tell: it must decide nothing any more."""

    def __init__(self, task: str, run: int, reason: str) -> None:
        super().__init__(
            f"run {run} of controller {task} must not go on: {reason}. What it started goes on without it."
        )
        self.task = task
        self.run = run
        self.reason = reason


class Policy(Protocol):
    """What makes a controller a pipeline or a search. All but `tick` follows from events alone."""

    def apply(self, event: TasksEvent) -> Verdict:
        """Fold an event of the controller's own."""

    def heard(self, event: TaskEvent) -> None:
        """Take note of what a child has said on another topic than that of tasks."""

    def begin(self, last: Outcome | None, horizon: list[int]) -> Sequence[TasksEvent]:
        """Return what this run says first, given how the last one ended, if there was one."""

    def decide(self) -> Sequence[Any]:
        """Return what is to be done now; nothing when all that follows from the events so far is done."""

    def carry_out(self, decisions: Sequence[Any]) -> Sequence[TasksEvent]:
        """Do what comes before an event is written, and return the events that say what was decided."""

    def act(self, events: Sequence[TasksEvent]) -> None:
        """Do what follows from events that count. It may have been done before."""

    def resume(self) -> None:
        """Do again what follows from decisions of which nobody knows whether it was done."""

    def horizon(self) -> Sequence[int]:
        """From where on the children's events are to be read; empty where nothing was begun."""

    def is_over(self) -> bool:
        """Whether nothing is left to do."""

    def tick(self) -> None:
        """Take note that some time has passed, or something has happened."""


class Engine:
    """Runs a policy for a run of a controller's task, in a thread of its own; closes the channel at the end.

    `over` is set when it has ended; then `error` says why it could not go on, if so.
    """

    def __init__(self, channel: Channel, run: int, policy: Policy, children: Children) -> None:
        self._channel = channel
        self._task = channel.task
        self._run = run
        self._policy = policy
        self._children = children
        self._heard: dict[str, bool] = {}
        self._highest = 0
        self._last: Outcome | None = None
        self._closing = threading.Event()
        self.over = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="tasktape-controller", daemon=True)

    def start(self) -> None:
        """Begin, or go on where the last run of the task was."""
        self._thread.start()

    def close(self) -> None:
        """Decide nothing more; returns when the thread has ended."""
        self._closing.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def catch_up(self) -> None:
        """Hear all that is on the log now. For policies, while they carry something out."""
        self._hear_all_before(self._channel.ends())

    def _main(self) -> None:
        try:
            self._go_on()
        except BaseException as error:  # noqa: BLE001  whoever waits for the end is told
            self.error = error
        finally:
            self._channel.close()
            self.over.set()

    def _go_on(self) -> None:
        self._look_back()
        while not self._closing.is_set():
            self._advance()
            self._policy.tick()
            if self._policy.is_over():
                return
            self._hear(self._channel.poll(POLL_SECONDS))

    def _look_back(self) -> None:
        """Fold what earlier runs decided and what their children have said since; then say that this run goes on."""
        if self._run > 1:
            self._hear(list(self._channel.history()))
        begun = self._channel.horizon
        if known := self._policy.horizon():
            self._hear_all_before(self._channel.go_back(known))
        self._write(self._policy.begin(self._last, begun))
        self._policy.resume()

    def _advance(self) -> None:
        """Decide until nothing more follows from what is known."""
        while decisions := self._policy.decide():
            events = self._policy.carry_out(decisions)
            counted = self._write(events)
            self._policy.act(counted)
        self._children.seen()

    def _write(self, events: Sequence[TasksEvent]) -> list[TasksEvent]:
        """Write events and return those of them that count, as the log says."""
        self._channel.append(events)
        ids = [event.meta.event_id for event in events]
        while not all(event_id in self._heard for event_id in ids):
            self._hear(self._channel.poll(POLL_SECONDS))
        return [event for event, event_id in zip(events, ids, strict=True) if self._heard[event_id]]

    def _hear_all_before(self, ends: Positions) -> None:
        while not self._channel.is_beyond(ends):
            self._hear(self._channel.poll(POLL_SECONDS))

    def _hear(self, events: Sequence[TaskEvent]) -> None:
        for event in events:
            if not isinstance(event, TasksEvent):
                self._policy.heard(event)
            elif event.task == self._task:
                self._hear_own(event)
            else:
                self._children.apply(event)

    def _hear_own(self, event: TasksEvent) -> None:
        """Fold an event of this controller's task: once, and not from a run that was superseded when it spoke."""
        if event.meta.event_id in self._heard:
            return
        is_late = isinstance(event, RunEvent) and event.run < self._highest and not isinstance(event, TaskReset)
        self._heard[event.meta.event_id] = not is_late and self._policy.apply(event).accepted
        if isinstance(event, RunEvent) and not is_late:
            self._note_run(event)

    def _note_run(self, event: RunEvent) -> None:
        if isinstance(event, RunStarted):
            self._highest = max(self._highest, event.run)
            if event.run > self._run:
                raise SupersededError(self._task, self._run, f"run {event.run} has begun")
        elif isinstance(event, End | RunLost | RunPreempted):
            if event.run >= self._run:
                raise SupersededError(self._task, self._run, f"it has ended by a {type(event).__name__}")
            self._last = outcome_of(event)
