"""A search as the policy of a controller: folds its events, decides, has trials proposed and run."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ...events.parts import TaskSpec
from ...events.search_events import (
    Objective,
    SearchContinued,
    SearchDefined,
    SearchEvent,
    SearchLimits,
    SearchStopping,
    TrialFinished,
    TrialQueued,
    TrialTold,
)
from ...events.task_events import TaskReset, TasksEvent
from ...projections import spec_fold
from ...projections.search_fold import UNDER_WAY, SearchFold, TrialState
from ..controllers.children import outcome_of
from ..controllers.ids import child_id
from ..controllers.runners import LastWords, Runner
from ..parameters import full_name, make, value_of
from ..spec import fit_spec
from ..task_editing import WATCHED, handed_on
from ..text import shown
from ..warn import LOGGER
from .decide import Decision, End, Propose, Say, Situation, Tell, decide, observed
from .proposals import Known
from .recursion import TRIAL_TAG

if TYPE_CHECKING:
    from ...events.base import TaskEvent
    from ...projections.verdict import Verdict
    from ..controllers.channel import Channel
    from ..controllers.children import Child, Children
    from ..session import Session
    from .board import Board
    from .proposals import Proposals

_ENDED_ITSELF: Final = frozenset({"completed", "stopped", "failed"})
_GIVEN_UP: Final = "its curve is worse than those of other trials"
OnFinished = Callable[[TrialState, "TrialState | None"], object]
OnChange = Callable[[SearchFold], None]
OnOver = Callable[[Sequence[TrialState]], None]


@dataclass(frozen=True)
class Plan:
    """What a search is: `base` is the id of the task to try, `spec` what it says; the trials go to `project`."""

    base: str
    spec: TaskSpec
    objectives: Sequence[Objective]
    limits: SearchLimits
    strategy: str
    space: str = ""
    queue: str = "default"
    project: str = ""


@dataclass(frozen=True)
class Trial:
    """A trial that can be run."""

    child: str
    spec: TaskSpec
    queue: str
    run: int = 1
    is_new: bool = True
    is_left: bool = False


@dataclass
class Searcher:
    """Runs one search. `on_finished` is the user's callback, with a trial and the best one so far.

    `on_change` shows how far the search is, `on_end` what came of it. `on_over` is called with trials that are over;
    a later run calls it anew with those whose tasks are still in sight.
    """

    session: Session
    task: str
    run: int
    plan: Plan
    proposals: Proposals
    children: Children
    board: Board
    runner: Runner
    channel: Channel
    catch_up: Callable[[], None] = lambda: None
    on_finished: OnFinished | None = None
    on_change: OnChange = lambda _: None
    on_end: OnChange = lambda _: None
    on_over: OnOver = lambda _: None
    fold: SearchFold = field(default_factory=SearchFold)
    _is_live: bool = False
    _is_exhausted: bool = False
    _has_ended: bool = False
    _given_up: dict[int, str] = field(default_factory=dict)
    _stopped: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._last_words = LastWords(self.session, self.runner, self.channel, self.children)

    def apply(self, event: TasksEvent) -> Verdict:
        """Fold an event of the search's own, and let the strategy know what came of a trial."""
        verdict = self.fold.apply(event)
        self._note_end(event)
        if verdict.accepted and isinstance(event, TrialQueued):
            self.children.watch(event.child, 1, self.runner.retries_of(self.plan.spec))
        elif verdict.accepted and isinstance(event, TrialFinished) and self._is_live:
            self.proposals.finish(event.trial, event.status, event.values or None)
        return verdict

    def heard(self, event: TaskEvent) -> None:
        """Take in what a trial has reported."""
        self.board.apply(event)

    def begin(self, horizon: list[int]) -> Sequence[TasksEvent]:
        """Define the search; one that had ended by itself goes on."""
        events: list[TasksEvent] = []
        if self._has_ended and self.fold.defined is not None:
            events.append(self._said(SearchContinued))
        if self.fold.trials:
            reports = self._reports()
            self.proposals.resume([_known(trial, reports[trial.child]) for trial in self.fold.trials])
        self._is_live = True
        return [*events, self._defined(self.plan.limits, horizon)]

    def horizon(self) -> Sequence[int]:
        """From where on the trials' events lie."""
        return self.fold.defined.horizon if self.fold.defined else ()

    def decide(self) -> Sequence[Decision]:
        """What is to be done now."""
        self._judge()
        return decide(
            self.fold,
            Situation(
                self.children.news(functools.partial(observed, self.fold)),
                self.board,
                datetime.now(UTC),
                self._given_up,
                has_callback=self.on_finished is not None,
                is_exhausted=self._is_exhausted,
            ),
        )

    def carry_out(self, decisions: Sequence[Decision]) -> Sequence[TasksEvent]:
        """Have trials proposed, tell the user, and say what was decided."""
        return [event for decision in decisions for event in self._events(decision)]

    def act(self, events: Sequence[TasksEvent]) -> None:
        """Have run what is queued now, and stopped what is to end."""
        if queued := [self._trial(self.fold.trials[e.trial]) for e in events if isinstance(e, TrialQueued)]:
            self.runner.start(queued)
        self._stop_all()
        if over := [self.fold.trials[event.trial] for event in events if isinstance(event, TrialFinished)]:
            self.on_over(over)
        self.on_change(self.fold)

    def resume(self) -> None:
        """Have queued trials run of which nothing was heard, stop again those that were to stop, tell of those over."""
        for trial in [self.fold.trials[number] for number in self.fold.under_way]:
            is_unheard = trial.status == "queued" and self.children[trial.child].status == "waiting"
            if is_unheard and not trial.stopping:
                self.runner.start([self._trial(trial)])
        self._stop_all()
        over = [trial for trial in self.fold.trials if trial.status not in UNDER_WAY]
        self.on_over([trial for trial in over if not self.children[trial.child].state.archived])
        self.on_change(self.fold)

    def is_over(self) -> bool:
        """Whether no trial is under way, none is to come, and the user knows of all."""
        fold = self.fold
        if fold.defined is None or fold.under_way or (fold.untold and self.on_finished is not None):
            return False
        limit = fold.defined.limits.trials
        return fold.stopping is not None or self._is_exhausted or bool(limit and len(fold.trials) >= limit)

    def tick(self) -> None:
        """Stop what is to end, show how far the search is, and tell of processes that died."""
        self._stop_all()
        self._last_words.tell()
        (self.on_end if self.is_over() else self.on_change)(self.fold)

    def stop(self, reason: str) -> None:
        """Start no more trials, and stop those that run, because somebody wants that. From any thread."""
        self.channel.append([self._said(SearchStopping, reason=reason, asked=True)])

    def limit(self, limits: SearchLimits) -> None:
        """Set other limits than the plan has. From any thread."""
        self.channel.append([self._defined(limits, [])])

    def _defined(self, limits: SearchLimits, horizon: list[int]) -> SearchEvent:
        plan = self.plan
        about = {
            "base_task": plan.base,
            "strategy": plan.strategy,
            "objectives": list(plan.objectives),
            "space": plan.space,
            "queue": plan.queue,
        }
        return self._said(SearchDefined, **about, limits=limits, horizon=horizon)

    def _note_end(self, event: TasksEvent) -> None:
        """Remember that a run has ended by itself, until one after it has said that it goes on."""
        outcome = outcome_of(event)
        if outcome is not None and outcome.kind in _ENDED_ITSELF and outcome.cause == "task":
            self._has_ended = True
        elif isinstance(event, SearchContinued | TaskReset):
            self._has_ended = False

    def _judge(self) -> None:
        """Let the strategy see new values of running trials, and note which it gives up."""
        for task, iteration, value in self.board.take():
            number = self.fold.owners[task]
            if number in self._given_up or self.fold.trials[number].status not in UNDER_WAY:
                continue
            if self.proposals.report(number, value, iteration) and iteration >= self._fewest:
                self._given_up[number] = f"{_GIVEN_UP} at iteration {iteration}"

    def _reports(self) -> defaultdict[str, dict[int, float]]:
        """What trials have reported to earlier runs, by task and iteration."""
        found: defaultdict[str, dict[int, float]] = defaultdict(dict)
        for task, iteration, value in self.board.points:
            found[task].setdefault(iteration, value)
        return found

    @property
    def _fewest(self) -> int:
        return self.plan.limits.fewest_iterations

    def _events(self, decision: Decision) -> Sequence[TasksEvent]:
        match decision:
            case Propose(count):
                return self._proposed(count)
            case End(number):
                return [self._finished(self.fold.trials[number])]
            case Tell(number):
                self._tell(self.fold.trials[number])
                return [self._said(TrialTold, trial=number)]
            case Say(kind, fields):
                return [self._said(kind, **fields)]

    def _proposed(self, count: int) -> list[TasksEvent]:
        events: list[TasksEvent] = []
        while len(events) < count:
            proposed = self.proposals.propose()
            if proposed is None:
                self._is_exhausted = True
                break
            number = len(self.fold.trials) + len(events)
            parameters = [make(full_name(name), value) for name, value in proposed.items()]
            child = child_id(self.task, self.fold.generation, str(number))
            events.append(self._said(TrialQueued, trial=number, child=child, parameters=parameters))
        return events

    def _finished(self, trial: TrialState) -> TasksEvent:
        """Say what a trial has come to, once all is read that it has reported."""
        self.catch_up()
        child = self.children[trial.child]
        status = trial.stopping or child.status
        return self._said(
            TrialFinished,
            trial=trial.number,
            status="failed" if child.status == "failed" and trial.stopping == "completed" else status,
            values=self.board.values(trial.child),
            iteration=self.board.iteration(trial.child),
            seconds=_duration(child),
            message=trial.message if trial.stopping else child.message,
        )

    def _tell(self, trial: TrialState) -> None:
        """Call the user's function; one that raises stops no search."""
        if self.on_finished is None:
            return
        best = None if self.fold.best is None else self.fold.trials[self.fold.best]
        try:
            self.on_finished(trial, best)
        except Exception:  # noqa: BLE001  the user's own code may raise anything
            LOGGER.exception(
                "the callback for trial %d failed; the search goes on.",
                trial.number,
                extra={"action": "callback_failed", "trial": trial.number},
            )

    def _trial(self, trial: TrialState) -> Trial:
        """A trial's task: the base task with the trial's parameters, named by them."""
        base = self.plan.spec
        told = ", ".join(f"{p.name.partition('/')[2]}={shown(value_of(p))}" for p in trial.parameters)
        changes = {
            "name": f"{base.name} #{trial.number}: {told}"[:200],
            "project": self.plan.project or base.project,
            "user": self.session.actor,
            "parent": self.task,
            "tags": [*base.tags, f"{TRIAL_TAG}{self.task}"],
            "system_tags": [*handed_on(base.system_tags), WATCHED],
        }
        spec = spec_fold.with_parameters(base.model_copy(update=changes), trial.parameters)
        return Trial(trial.child, fit_spec(spec), self.plan.queue)

    def _stop_all(self) -> None:
        """Have the trials stopped that are to end, and each run that follows one whose agent was lost meanwhile."""
        for trial in [self.fold.trials[number] for number in self.fold.under_way]:
            child = self.children[trial.child]
            if trial.stopping and self._stopped.get(trial.child) != child.run:
                self._stopped[trial.child] = child.run
                self.runner.stop(trial.child, child.run, has_started=child.status == "running")

    def _said(self, kind: type[SearchEvent], **fields: Any) -> SearchEvent:
        return kind(meta=self.session.stamp(), task=self.task, run=self.run, **fields)


def _known(trial: TrialState, reports: Mapping[int, float]) -> Known:
    """A trial as strategies know it."""
    parameters = {held.name: value_of(held) for held in trial.parameters}
    if trial.status in UNDER_WAY:
        return Known(parameters, reports=reports)
    return Known(parameters, trial.status, trial.values or None, reports)


def _duration(child: Child) -> float:
    run = child.state.run
    return (run.ended_at - run.started_at).total_seconds() if run.started_at and run.ended_at else 0.0
