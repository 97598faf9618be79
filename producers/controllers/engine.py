"""The loop of every controller: hear what was said, decide from that alone, write the decision, read it back, act.

Whatever kills it, the next run of the controller's task folds the same events and goes on where they end.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, get_args

from ...events.errors import TasktapeError
from ...events.task_events import RunEvent, RunLost, RunPreempted, RunStarted, TaskDeleted, TaskReset, TasksEvent
from ...projections.task_state import End, TaskState, apply
from ...projections.verdict import Verdict
from .channel import patient
from .children import Children

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...events.log.port import Positions
    from .channel import Channel

POLL_SECONDS: Final = 0.1
_ENDS: Final = (*get_args(End), RunLost, RunPreempted, TaskReset)


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
        """Fold an event of the controller's own that counts for its task: how its runs ended, too."""

    def begin(self, horizon: list[int]) -> Sequence[TasksEvent]:
        """Return what this run says first."""

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
        self._state: TaskState | None = None
        self._closing = threading.Event()
        self.over = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self.run, name="tasktape-controller", daemon=True)

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

    def run(self) -> None:
        """Do all of it in this thread: `start` is for those who have something else to do."""
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
            self._state = TaskState()
            self._hear(patient(lambda: list(self._channel.history())))
        begun = self._channel.horizon
        if known := self._policy.horizon():
            self._hear_all_before(self._channel.go_back(known))
        self._write(self._policy.begin(begun))
        self._policy.resume()

    def _advance(self) -> None:
        """Decide until nothing more follows from what is known."""
        while decisions := self._policy.decide():
            events = self._policy.carry_out(decisions)
            self._policy.act(self._write(events))

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

    def _hear(self, events: Sequence[TasksEvent]) -> None:
        for event in events:
            if event.task == self._task:
                self._hear_own(event)
            else:
                self._children.apply(event)

    def _hear_own(self, event: TasksEvent) -> None:
        """Fold an event of this controller's task: once, and only if it counts for the task."""
        if event.meta.event_id in self._heard:
            return
        counts = self._counts(event)
        self._heard[event.meta.event_id] = counts and self._policy.apply(event).accepted
        if counts:
            self._check(event)

    def _counts(self, event: TasksEvent) -> bool:
        """Whether the task's state machine accepts an event. In a first run only what may end it is in question."""
        if self._state is None:
            if not isinstance(event, (RunStarted, TaskDeleted, *_ENDS)):
                return True
            self._state = _state_before(event, patient(lambda: list(self._channel.history())))
        after = apply(self._state, event)
        if isinstance(after, TaskState):
            self._state = after
        return isinstance(after, TaskState)

    def _check(self, event: TasksEvent) -> None:
        """Raise `SupersededError` where an event says that this run is over."""
        if isinstance(event, TaskDeleted):
            raise SupersededError(self._task, self._run, "its task was deleted")
        if isinstance(event, RunStarted) and event.run > self._run:
            raise SupersededError(self._task, self._run, f"run {event.run} has begun")
        if isinstance(event, _ENDS) and isinstance(event, RunEvent) and event.run >= self._run:
            raise SupersededError(self._task, self._run, f"it has ended by a {type(event).__name__}")


def _state_before(event: TasksEvent, history: Iterable[TasksEvent]) -> TaskState:
    """What the controller's task was when an event came."""
    state = TaskState()
    for earlier in history:
        if earlier.meta.event_id == event.meta.event_id:
            break
        after = apply(state, earlier)
        state = after if isinstance(after, TaskState) else state
    return state
