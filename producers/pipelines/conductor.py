"""A pipeline as the policy of a controller: folds its events, decides, and does what was decided."""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

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
from ...events.task_events import ParametersSet, TaskReset, TasksEvent
from ...projections.pipeline_fold import DONE, FORGOTTEN, UNDER_WAY, PipelineFold, StepState
from ...projections.verdict import Verdict
from ..controllers.channel import patient
from ..controllers.children import outcome_of
from ..errors import UnknownTaskError
from ..parameters import full_name, value_of
from .calling import Calls
from .decide import BEFORE, Call, Decision, Launch, Say, decide, observed
from .errors import PipelineError
from .node import Job, Node
from .outcomes import Outcome
from .overrides import with_parameters
from .preparing import Prepared, Preparer, Surroundings, read_base
from .runners import Ended, Runner, created, death
from .telling import ending, line_of, tell

if TYPE_CHECKING:
    from ...events.log.port import Positions
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

    `progress` is notified whenever a step has changed. `caller` is what callbacks get as the pipeline. `catch_up` reads
    all that is on the log. `has_begun` tells that the fold is no longer that of an earlier run.
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
    catch_up: Callable[[], None] = lambda: None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    is_complete: bool = True
    has_begun: bool = False
    fold: PipelineFold = field(default_factory=PipelineFold)
    progress: threading.Condition = field(default_factory=threading.Condition)
    _prepared: dict[str, Prepared] = field(default_factory=dict)
    _last_words: list[tuple[Ended, Positions]] = field(default_factory=list)
    _arrived: deque[str] = field(default_factory=deque)
    _was_complete: bool = True
    _has_ended: bool = False
    _stopped: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._preparer = Preparer(self.surroundings, self.outcome_of, self._may_lack)
        self._calls = Calls(self.caller, self.nodes, self._asked)
        self._was_complete = self.is_complete

    def apply(self, event: TasksEvent) -> Verdict:
        """Fold an event of the pipeline's own."""
        verdict = self.fold.apply(event)
        self._note_end(event)
        if verdict.accepted and isinstance(event, StepQueued):
            one = self._prepared.get(event.step)
            self.children.watch(event.child, event.child_run, event.retries, one.spec if one else None)
        elif verdict.accepted and isinstance(event, StepRetried):
            self.children.await_run(event.child, event.child_run)
        if verdict.accepted and isinstance(name := getattr(event, "step", None), str) and name in self.nodes:
            self.nodes[name].show(self.fold.steps[name])
        if verdict.accepted and isinstance(event, PipelineEvent) and event.run == self.run:
            self._tell_of(event)
        return verdict

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
        if queued := [self._prepared.pop(event.step) for event in events if isinstance(event, StepQueued)]:
            self.runner.start(queued)
        for event in events:
            if isinstance(event, StepFinished) and event.message == FORGOTTEN:
                self.runner.stop(event.child, event.child_run)
            if isinstance(event, StepFinished | StepCached):
                self.on_end(self.nodes.get(event.step), self.fold.steps[event.step])
            elif isinstance(event, StepRetried):
                self.runner.repeat(self._again(self.fold.steps[event.step]), event.child_run)
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
        """Tell the deaths of processes that said nothing, once all is read that they may have said."""
        self._last_words += [(ended, self.channel.ends()) for ended in self.runner.ended()]
        for ended, ends in [words for words in self._last_words if self.channel.is_beyond(words[1])]:
            self._last_words.remove((ended, ends))
            child = self.children[ended.child]
            if not child.is_over and child.run == ended.run:
                self.channel.append([death(self.surroundings.session, ended)])
        if self.fold.open and self.fold.stopping is None and self._is_late():
            self.stop(f"it has taken longer than {self.plan.time_limit:g} s", failed=True)
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
        self.channel.append([self._said(PipelineStopping, reason=reason, failed=failed)])

    def outcome_of(self, step: str) -> Outcome:
        """What a step has come to; a task of another pipeline is read from the projection."""
        child = self.fold.steps[step].child
        known = Outcome.of_child(self.children[child]) if child in self.children else None
        task = child or self.nodes[step].base_task_id or ""
        return known or patient(lambda: Outcome.of_task(self.surroundings.session, task))

    def result(self) -> tuple[Result, str]:
        """How the pipeline has ended, and why."""
        if (stopping := self.fold.stopping) is not None:
            return ("failed" if stopping.failed else "stopped"), stopping.reason
        spoilt = [f"step {name!r} {ending(self.fold.steps[name])}" for name in self.fold.spoilt]
        return ("failed" if spoilt else "completed"), "; ".join(spoilt)

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
            self._prepared.pop(decision.step, None)
            return self._said(StepFinished, step=decision.step, status="failed", message=str(error))

    def _launched(self, step: str) -> TasksEvent:
        """Say that a step is queued or cached."""
        one = self._hold(self._final(self._prepare(step)))
        if one.cached:
            return self._said(StepCached, step=step, child=one.cached, cache_key=one.cache_key)
        about = {"child": one.child, "child_run": one.run, "queue": one.queue, "cache_key": one.cache_key}
        return self._said(StepQueued, step=step, **about, retries=self.runner.retries_of(one.spec))

    def _called(self, call: Call) -> TasksEvent:
        answer = self._calls.answer(call, self.fold.steps[call.step])
        if call.callback in BEFORE:
            self._keep(self._prepared[call.step])
        about = {"callback": call.callback, "occasion": call.occasion, "answer": answer}
        return self._said(CallbackReturned, step=call.step, **about)

    def _prepare(self, step: str) -> Prepared:
        if step not in self._prepared:
            node = self.nodes[step]
            self._hold(self._as_left(self._preparer.prepare(node, self.fold.generation)))
        return self._prepared[step]

    def _hold(self, one: Prepared) -> Prepared:
        """Keep a step that was made ready, and show it to callbacks."""
        self._prepared[one.node.name] = one
        one.node.job = Job(one.cached or one.child, one.parameters, one.node)
        one.node.job_type = one.spec.task_type
        return one

    def _may_lack(self, step: str) -> bool:
        """Whether what others take from a step may be missing: it has not completed, and they run all the same."""
        return self.fold.steps[step].status not in DONE

    def _asked(self, node: Node) -> dict[str, Any]:
        """The parameters that a callback may change before the step is run; its task is there to be changed, too."""
        one = self._prepare(node.name)
        if one.is_new and not one.cached:
            self._draft(one)
        return one.parameters

    def _draft(self, one: Prepared) -> None:
        """Make a step's task before it is queued, so that it is there to be changed."""
        self.children.watch(one.child, one.run, None)
        self.channel.append(created(self.surroundings.session, [one]))
        self._hold(replace(one, is_new=False, is_draft=True))

    def _keep(self, one: Prepared) -> None:
        """Keep what a callback has changed in the parameters: who goes on after this controller's death has to know."""
        before = {held.name: held for held in one.spec.parameters}
        spec = with_parameters(one.spec, one.parameters)
        changed = [held for held in spec.parameters if before.get(held.name) != held]
        if not changed:
            return
        if one.is_new:
            self._draft(one)
        old = [before[held.name] for held in changed if held.name in before]
        about = {"task": one.child, "parameters": changed, "old": old}
        self.channel.append([ParametersSet(meta=self.surroundings.session.stamp(), **about)])
        self._hold(self._preparer.looked_up(replace(self._prepared[one.node.name], spec=spec)))

    def _as_left(self, one: Prepared) -> Prepared:
        """A step as its callbacks have left it, if an earlier run of the controller has called some."""
        answers = self.fold.steps[one.node.name].answers
        if not one.is_new or not any((callback, 0) in answers for callback in BEFORE):
            return one
        try:
            base = patient(lambda: read_base(self.surroundings.session, one.child))
        except UnknownTaskError:
            return one
        self.children.watch(one.child, one.run, None, base.spec)
        names = {full_name(name): name for name in one.parameters}
        changed = [held for held in base.spec.parameters if held not in one.spec.parameters]
        parameters = one.parameters | {names.get(held.name, held.name): value_of(held) for held in changed}
        left = replace(one, spec=base.spec, parameters=parameters, is_new=False, is_draft=True)
        return self._preparer.looked_up(left)

    def _final(self, one: Prepared) -> Prepared:
        """A step with what its callbacks have changed in its task, and in its parameters."""
        if not one.is_draft:
            return one
        self.surroundings.session.outbox.synced(self.surroundings.session.settings.close_timeout)
        self.catch_up()
        changed = self.children[one.child].state.spec or one.spec
        return self._preparer.looked_up(replace(one, spec=with_parameters(changed, one.parameters)))

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
                self.runner.repeat(self._again(step), step.child_run)
            else:
                self.runner.start([self._again(step)])

    def _is_late(self) -> bool:
        """Whether it has taken longer than it may."""
        limit, began = self.plan.time_limit, self.fold.began_at
        return limit > 0 and began is not None and (self.clock() - began).total_seconds() > limit

    def _again(self, step: StepState) -> Prepared:
        """What a step's task needs to run once more: its description as it stands on the log, else made anew."""
        node = self.nodes[step.name]
        known = self.children[step.child].state.spec
        if known is not None:
            return Prepared(node, step.child, step.child_run, known, {}, step.queue, is_new=False)
        try:
            base = patient(lambda: read_base(self.surroundings.session, step.child))
            return Prepared(node, step.child, step.child_run, base.spec, {}, step.queue, is_new=False)
        except UnknownTaskError:
            made = self._preparer.prepare(node, self.fold.generation)
            return replace(made, child=step.child, run=step.child_run, queue=step.queue)

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
