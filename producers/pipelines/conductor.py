"""A pipeline as the policy of a controller: folds its events, decides, and does what was decided."""

from __future__ import annotations

import threading
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
from ...events.task_events import TasksEvent
from ...projections.pipeline_fold import PipelineFold, StepState
from ...projections.verdict import Verdict
from ..errors import UnknownTaskError
from .calling import Calls
from .decide import Call, Decision, Launch, Say, decide
from .errors import PipelineError
from .node import Job, Node
from .outcomes import Outcome
from .overrides import with_parameters
from .preparing import Prepared, Preparer, Surroundings, read_base
from .runners import Ended, Runner, created, death
from .telling import ending, line_of, tell

if TYPE_CHECKING:
    from ...events.log.port import Positions
    from ...projections.retries import Outcome as RunOutcome
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
    all that is on the log.
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
    is_complete: bool = True
    fold: PipelineFold = field(default_factory=PipelineFold)
    progress: threading.Condition = field(default_factory=threading.Condition)
    _prepared: dict[str, Prepared] = field(default_factory=dict)
    _last_words: list[tuple[Ended, Positions]] = field(default_factory=list)
    _stopped: set[tuple[str, int]] = field(default_factory=set)
    _is_told_to_stop: bool = False

    def __post_init__(self) -> None:
        self._preparer = Preparer(self.surroundings, self.outcome_of)
        self._calls = Calls(self.caller, self.nodes, self._asked)

    def apply(self, event: TasksEvent) -> Verdict:
        """Fold an event of the pipeline's own."""
        verdict = self.fold.apply(event)
        if verdict.accepted and isinstance(event, StepQueued | StepRetried):
            self._watch(self.fold.steps[event.step])
        if verdict.accepted and isinstance(name := getattr(event, "step", None), str) and name in self.nodes:
            self.nodes[name].show(self.fold.steps[name])
        if verdict.accepted and isinstance(event, PipelineEvent) and event.run == self.run:
            self._tell_of(event)
        return verdict

    def begin(self, last: RunOutcome | None, horizon: list[int]) -> Sequence[TasksEvent]:
        """Define the pipeline; one that had ended by itself goes on with what it lacks."""
        for node in self.nodes.values():
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
        has_ended = last is not None and last.kind in _ENDED_ITSELF and last.cause == "task"
        if has_ended and self.fold.defined is not None:
            events.append(self._said(PipelineContinued, steps=sorted(self.fold.unfinished())))
        return events

    def horizon(self) -> Sequence[int]:
        """From where on the steps' events lie."""
        return self.fold.defined.horizon if self.fold.defined else ()

    def decide(self) -> Sequence[Decision]:
        """What is to be done now."""
        changed = [self.children[task] for task in self.children.changed]
        return decide(self.fold, changed, self.nodes, is_complete=self.is_complete)

    def carry_out(self, decisions: Sequence[Decision]) -> Sequence[TasksEvent]:
        """Call and prepare what has to be, and say what was decided."""
        return [self._event(decision) for decision in decisions]

    def act(self, events: Sequence[TasksEvent]) -> None:
        """Have run what is queued now, and stopped what is to end."""
        if queued := [self._prepared.pop(event.step) for event in events if isinstance(event, StepQueued)]:
            self.runner.start(queued)
        for event in events:
            if isinstance(event, StepFinished | StepCached):
                self.on_end(self.nodes.get(event.step), self.fold.steps[event.step])
            elif isinstance(event, StepRetried):
                self.runner.repeat(self._again(self.fold.steps[event.step]), event.child_run)
        self._tell()

    def resume(self) -> None:
        """Have queued steps run of which nothing was heard."""
        for step in [self.fold.steps[name] for name in self.fold.under_way]:
            if step.status == "queued" and self.children[step.child].status == "waiting":
                again = self._again(step)
                if step.retries:
                    self.runner.repeat(again, step.child_run)
                else:
                    self.runner.start([again])
        self._tell()

    def is_over(self) -> bool:
        """Whether all steps are over, and no callback is owed."""
        owes = any(name in self.nodes for name in self.fold.owing)
        return self.is_complete and self.fold.defined is not None and not (self.fold.open or owes)

    def tick(self) -> None:
        """Stop what is to end; tell the deaths of processes that said nothing, once all is read that they may have."""
        if self.fold.stopping is not None:
            self._stop_all()
        elif self._is_late():
            self.stop(f"it has taken longer than {self.plan.time_limit / 60:g} minutes", failed=True)
        self._last_words += [(ended, self.channel.ends()) for ended in self.runner.ended()]
        for ended, ends in [words for words in self._last_words if self.channel.is_beyond(words[1])]:
            self._last_words.remove((ended, ends))
            child = self.children[ended.child]
            if not child.is_over and child.run == ended.run:
                self.channel.append([death(self.surroundings.session, ended)])
        self.on_change(self.fold)

    def add(self, node: Node) -> None:
        """Take up a step that has become known. From any thread."""
        definition = node.definition(self.plan.queue)
        self.nodes[node.name] = node
        self.channel.append([self._added(definition)])

    def stop(self, reason: str, *, failed: bool) -> None:
        """Start nothing more, and abort what runs. From any thread."""
        self._is_told_to_stop = True
        self.channel.append([self._said(PipelineStopping, reason=reason, failed=failed)])

    def outcome_of(self, step: str) -> Outcome:
        """What a step has come to; a task of another pipeline is read from the projection."""
        child = self.fold.steps[step].child
        known = Outcome.of_child(self.children[child]) if child in self.children else None
        return known or Outcome.of_task(self.surroundings.session, child or self.nodes[step].base_task_id or "")

    def result(self) -> tuple[Result, str]:
        """How the pipeline has ended, and why."""
        stopping = self.fold.stopping
        spoilt = [f"step {name!r} {ending(self.fold.steps[name])}" for name in self.fold.spoilt]
        if spoilt and (stopping is None or stopping.failed):
            return "failed", "; ".join(spoilt)
        if stopping is not None:
            return ("failed" if stopping.failed else "stopped"), stopping.reason
        return "completed", ""

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
            return self._said(StepFinished, step=decision.step, status="failed", message=str(error))

    def _launched(self, step: str) -> TasksEvent:
        """Say that a step is queued or cached."""
        one = self._prepared[step] = self._final(self._prepare(step))
        if one.cached:
            return self._said(StepCached, step=step, child=one.cached, cache_key=one.cache_key)
        about = {"child": one.child, "child_run": one.run, "queue": one.queue, "cache_key": one.cache_key}
        return self._said(StepQueued, step=step, **about)

    def _called(self, call: Call) -> TasksEvent:
        answer = self._calls.answer(call, self.fold.steps[call.step])
        about = {"callback": call.callback, "occasion": call.occasion, "answer": answer}
        return self._said(CallbackReturned, step=call.step, **about)

    def _prepare(self, step: str) -> Prepared:
        if step not in self._prepared:
            node = self.nodes[step]
            one = self._prepared[step] = self._preparer.prepare(node, self.fold.generation)
            node.job = Job(one.cached or one.child, one.parameters, node)
            node.job_type = one.spec.task_type
        return self._prepared[step]

    def _asked(self, node: Node) -> dict[str, Any]:
        """The parameters that a callback may change before the step is run; its task is there to be changed, too."""
        one = self._prepare(node.name)
        if one.is_new and not one.cached:
            self.children.watch(one.child, one.run, None)
            self.channel.append(created(self.surroundings.session, [one]))
            self._prepared[node.name] = replace(one, is_new=False, is_draft=True)
        return one.parameters

    def _final(self, one: Prepared) -> Prepared:
        """A step with what its callbacks have changed in its task, and in its parameters."""
        if not one.is_draft:
            return one
        self.surroundings.session.outbox.synced(self.surroundings.session.settings.close_timeout)
        self.catch_up()
        changed = self.children[one.child].state.spec or one.spec
        return replace(one, spec=with_parameters(changed, one.parameters))

    def _watch(self, step: StepState) -> None:
        one = self._prepared.get(step.name)
        self.children.watch(step.child, step.child_run, self.runner.retries_of(one.spec if one else None))

    def _again(self, step: StepState) -> Prepared:
        """What a step's task needs to run once more: its description as it stands on the log, else made anew."""
        node = self.nodes[step.name]
        known = self.children[step.child].state.spec
        if known is not None and known.name:
            return Prepared(node, step.child, step.child_run, known, {}, step.queue, is_new=False)
        try:
            base = read_base(self.surroundings.session, step.child)
            return Prepared(node, step.child, step.child_run, base.spec, {}, step.queue, is_new=False)
        except UnknownTaskError:
            made = self._preparer.prepare(node, self.fold.generation)
            return replace(made, child=step.child, run=step.child_run, queue=step.queue)

    def _stop_all(self) -> None:
        """Stop each run that is under way, once."""
        for name in self.fold.under_way:
            child = self.children[self.fold.steps[name].child]
            if (child.task, child.run) not in self._stopped:
                self._stopped.add((child.task, child.run))
                self.runner.stop(child.task, child.run)

    def _is_late(self) -> bool:
        began, limit = self.fold.began_at, self.plan.time_limit
        if not limit or began is None or self._is_told_to_stop or self.is_over():
            return False
        return (datetime.now(UTC) - began).total_seconds() > limit

    def _tell_of(self, event: PipelineEvent) -> None:
        if line := line_of(event, self.fold):
            tell(line)

    def _tell(self) -> None:
        with self.progress:
            self.progress.notify_all()
        self.on_change(self.fold)
