"""A pipeline as the policy of a controller: folds its events, decides, and does what was decided."""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from ...events.base import TaskEvent
from ...events.pipeline_events import (
    CallbackReturned,
    PipelineContinued,
    PipelineDefined,
    PipelineEvent,
    PipelineStep,
    PipelineStopping,
    StepAdded,
    StepCached,
    StepFinished,
    StepQueued,
    StepRetried,
)
from ...events.task_events import TaskReset, TasksEvent
from ...projections.pipeline_fold import FORGOTTEN, UNDER_WAY, PipelineFold, StepState
from ...projections.verdict import Verdict
from ..controllers.children import outcome_of
from ..controllers.runners import LastWords, Runner
from ..errors import UnknownTaskError
from .calling import Calls
from .decide import BEFORE, Call, Decision, Launch, Say, decide, observed
from .errors import PipelineError
from .node import Node
from .preparing import Surroundings
from .readying import Readying
from .telling import ending, line_of, tell

if TYPE_CHECKING:
    from ..controllers.channel import Channel
    from ..controllers.children import Children

_ENDED_ITSELF: Final = frozenset({"completed", "stopped", "failed"})
Result = Literal["completed", "failed", "stopped"]


@dataclass(frozen=True)
class Plan:
    """What a pipeline is, beside its steps. `time_limit` is in seconds, 0 for none."""

    name: str
    version: str = ""
    queue: str = ""
    stops_on_fail: bool = False
    time_limit: float = 0.0


@dataclass
class Conductor:
    """Runs one pipeline. `nodes` may grow while it runs; `is_complete` says that it will not any more.

    `progress` is notified whenever a step has changed. `caller` is what callbacks get as the pipeline.
    `has_begun` tells that the fold is no longer that of an earlier run.
    """

    plan: Plan
    surroundings: Surroundings
    run: int
    nodes: dict[str, Node]
    children: Children
    caller: Any
    runner: Runner
    channel: Channel
    on_change: Callable[[PipelineFold], None] = lambda _: None
    on_end: Callable[[Node | None, StepState], None] = lambda _node, _step: None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    is_complete: bool = True
    has_begun: bool = False
    fold: PipelineFold = field(default_factory=PipelineFold)
    progress: threading.Condition = field(default_factory=threading.Condition)
    _arrived: deque[str] = field(default_factory=deque)
    _was_complete: bool = True
    _has_ended: bool = False
    _stopped: dict[str, int] = field(default_factory=dict)
    _is_told_to_stop: bool = False

    def __post_init__(self) -> None:
        self.readying = Readying(self.surroundings, self.nodes, self.fold, self.children, self.channel)
        self._last_words = LastWords(self.surroundings.session, self.runner, self.channel, self.children)
        self._calls = Calls(self.caller, self.nodes, self.readying.asked)
        self._was_complete = self.is_complete

    def apply(self, event: TasksEvent) -> Verdict:
        """Fold an event of the pipeline's own."""
        verdict = self.fold.apply(event)
        self._note_end(event)
        if verdict.accepted and isinstance(event, StepQueued):
            one = self.readying.known(event.step)
            self.children.watch(event.child, event.child_run, event.retries, one.spec if one else None)
        elif verdict.accepted and isinstance(event, StepRetried):
            self.children.await_run(event.child, event.child_run)
        if verdict.accepted and isinstance(name := getattr(event, "step", None), str) and name in self.nodes:
            self.nodes[name].show(self.fold.steps[name])
        if verdict.accepted and isinstance(event, PipelineEvent) and event.run == self.run:
            self._tell_of(event)
        return verdict

    def heard(self, event: TaskEvent) -> None:
        """Pipelines follow what happens to tasks, and nothing else."""

    def begin(self, horizon: list[int]) -> Sequence[TasksEvent]:
        """Define the pipeline; one that had ended by itself goes on with what it lacks."""
        for node in list(self.nodes.values()):
            if node.name in self.fold.steps:
                node.show(self.fold.steps[node.name])
        about = {
            "name": self.plan.name,
            "version": self.plan.version,
            "steps": self._definitions() if self.is_complete else [],
            "stops_on_fail": self.plan.stops_on_fail,
            "time_limit": self.plan.time_limit,
            "horizon": horizon,
        }
        events: list[TasksEvent] = [self._said(PipelineDefined, **about)]
        if self._has_ended and self.fold.defined is not None:
            events.append(self._said(PipelineContinued, steps=sorted(self.fold.unfinished())))
        return events

    def horizon(self) -> Sequence[int]:
        """From where on the steps' events lie."""
        return self.fold.defined.horizon if self.fold.defined else ()

    def decide(self) -> Sequence[Decision]:
        """What is to be done now."""
        is_complete = self.is_complete
        self._take_up(is_complete=is_complete)
        follows = functools.partial(observed, self.fold, known=self.nodes, is_complete=is_complete)
        return decide(self.fold, self.children.news(follows), self.nodes, is_complete=is_complete)

    def carry_out(self, decisions: Sequence[Decision]) -> Sequence[TasksEvent]:
        """Call and prepare what has to be, and say what was decided."""
        return [self._event(decision) for decision in decisions]

    def act(self, events: Sequence[TasksEvent]) -> None:
        """Have run what is queued now, and stopped what is to end."""
        if queued := [self.readying.take(event.step) for event in events if isinstance(event, StepQueued)]:
            self.runner.start(queued)
        for event in events:
            if isinstance(event, StepFinished) and event.message == FORGOTTEN:
                self.runner.stop(event.child, event.child_run)
            if isinstance(event, StepFinished | StepCached):
                self.on_end(self.nodes.get(event.step), self.fold.steps[event.step])
            elif isinstance(event, StepRetried):
                self.runner.repeat(self.readying.again(self.fold.steps[event.step]), event.child_run)
        self._stop_all()
        self._tell()

    def resume(self) -> None:
        """Have queued steps run of which nothing was heard, and stop what is to end."""
        for name in list(self.fold.under_way):
            if name in self.nodes:
                self._resume(self.fold.steps[name])
        for child in self.children:
            if child.task not in self.fold.owners and not child.is_over:
                self.runner.stop(child.task, child.run)
        self._stop_all()
        self.has_begun = True
        self._tell()

    def is_over(self) -> bool:
        """Whether all steps are over, and no callback is owed: those that were added are known when they are read."""
        if not self.is_complete or self.fold.defined is None or self.fold.open:
            return False
        return self.nodes.keys() <= self.fold.steps.keys() and self.nodes.keys().isdisjoint(self.fold.owing)

    def tick(self) -> None:
        """Stop what is to end; tell the deaths of processes that said nothing, once all is read that they may have."""
        self._last_words.tell()
        if self._is_late():
            self.stop(f"it has taken longer than {self.plan.time_limit / 60:g} min", failed=True)
        self._stop_all()
        self.on_change(self.fold)

    def add(self, node: Node) -> None:
        """Take up a step that has become known, here or to an earlier run. From any thread."""
        self.nodes[node.name] = node
        self._arrived.append(node.name)
        if (known := self.fold.steps.get(node.name)) is not None:
            node.show(known)
        else:
            self.channel.append([self._added(node.definition(self.plan.queue))])

    def stop(self, reason: str, *, failed: bool) -> None:
        """Start nothing more, and abort what runs. From any thread."""
        self._is_told_to_stop = True
        self.channel.append([self._said(PipelineStopping, reason=reason, failed=failed)])

    def result(self) -> tuple[Result, str]:
        """How the pipeline has ended, and why."""
        stopping = self.fold.stopping
        if stopping is not None and not stopping.failed:
            return "stopped", stopping.reason
        spoilt = [self.fold.steps[name] for name in self.fold.spoilt]
        failed = [step for step in spoilt if step.status == "failed"] or ([] if stopping else spoilt)
        if failed:
            return "failed", "; ".join(f"step {step.name!r} {ending(step)}" for step in failed)
        return ("failed", stopping.reason) if stopping else ("completed", "")

    def _said(self, kind: type[PipelineEvent], **fields: Any) -> PipelineEvent:
        return kind(meta=self.surroundings.session.stamp(), task=self.surroundings.task, run=self.run, **fields)

    def _added(self, definition: PipelineStep) -> StepAdded:
        about = {"task": self.surroundings.task, "run": self.run}
        return StepAdded(meta=self.surroundings.session.stamp(), **about, step=definition)

    def _definitions(self) -> list[PipelineStep]:
        return [node.definition(self.plan.queue) for node in self.nodes.values()]

    def _event(self, decision: Decision) -> TasksEvent:
        if isinstance(decision, Say):
            return self._said(decision.kind, **decision.fields)
        try:
            return self._launched(decision.step) if isinstance(decision, Launch) else self._called(decision)
        except (PipelineError, UnknownTaskError) as error:
            self.readying.forget(decision.step)
            return self._said(StepFinished, step=decision.step, status="failed", message=str(error))

    def _launched(self, step: str) -> TasksEvent:
        """Say that a step is queued or cached."""
        one = self.readying.launched(step)
        if one.cached:
            return self._said(StepCached, step=step, child=one.cached, cache_key=one.cache_key)
        about = {"child": one.child, "child_run": one.run, "queue": one.queue, "cache_key": one.cache_key}
        return self._said(StepQueued, step=step, **about, retries=self.runner.retries_of(one.spec))

    def _called(self, call: Call) -> TasksEvent:
        answer = self._calls.answer(call, self.fold.steps[call.step])
        if call.callback in BEFORE:
            self.readying.called(call.step)
        about = {"callback": call.callback, "occasion": call.occasion, "answer": answer}
        return self._said(CallbackReturned, step=call.step, **about)

    def _note_end(self, event: TasksEvent) -> None:
        """Remember that a run has ended by itself, until one after it has said that it goes on."""
        outcome = outcome_of(event)
        if outcome is not None and outcome.kind in _ENDED_ITSELF and outcome.cause == "task":
            self._has_ended = True
        elif isinstance(event, PipelineContinued | TaskReset):
            self._has_ended = False

    def _take_up(self, *, is_complete: bool) -> None:
        """Decide anew on what an earlier run has begun, now that its steps are known, or known never to be."""
        while self._arrived:
            step = self.fold.steps.get(self._arrived.popleft())
            if step is not None and step.status in UNDER_WAY:
                self._resume(step)
        if is_complete and not self._was_complete:
            self._was_complete = True
            for name in self.fold.under_way:
                self.children.look_again(self.fold.steps[name].child)

    def _resume(self, step: StepState) -> None:
        """Have a queued step run if nothing was heard of that."""
        self.children.look_again(step.child)
        if step.status == "queued" and self.children[step.child].status == "waiting":
            if step.retries:
                self.runner.repeat(self.readying.again(step), step.child_run)
            else:
                self.runner.start([self.readying.again(step)])

    def _is_late(self) -> bool:
        """Whether it has taken longer than it may, and nobody has said so yet."""
        limit, began = self.plan.time_limit, self.fold.began_at
        if not limit or began is None or not self.fold.open or self._is_told_to_stop or self.fold.stopping:
            return False
        return (self.clock() - began).total_seconds() > limit

    def _stop_all(self) -> None:
        """Have all that runs stopped, once that is decided: here, or by whoever said so meanwhile."""
        for name in self.fold.under_way if self.fold.stopping else ():
            child = self.children[self.fold.steps[name].child]
            if self._stopped.get(child.task) != child.run:
                self._stopped[child.task] = child.run
                self.runner.stop(child.task, child.run)

    def _tell_of(self, event: PipelineEvent) -> None:
        if line := line_of(event, self.fold):
            tell(line)

    def _tell(self) -> None:
        with self.progress:
            self.progress.notify_all()
        self.on_change(self.fold)
