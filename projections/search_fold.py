"""The fold of a search's own events: its trials, what became of each, and which of them is the best.

The controller decides from it, and goes on from it after its death; tables, pages and the command line show it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, Protocol

from ..events.parts import Parameter
from ..events.search_events import (
    SearchContinued,
    SearchDefined,
    SearchEvent,
    SearchStopping,
    TrialEvent,
    TrialFinished,
    TrialQueued,
    TrialStarted,
    TrialStopping,
    TrialTold,
)
from ..events.task_events import TaskReset, TasksEvent
from .verdict import ACCEPTED, Verdict, rejected

TrialStatus = Literal["queued", "running", "completed", "failed", "aborted", "pruned"]
UNDER_WAY: Final = frozenset({"queued", "running"})


@dataclass(frozen=True, slots=True)
class TrialState:
    """A trial. `values` are those of the objectives, empty as long as there are none; `seconds` how long it ran.

    `stopping` is what it is to end as once it has been asked to stop. `told` says that the user's callback was called.
    """

    number: int
    child: str
    parameters: tuple[Parameter, ...]
    status: TrialStatus = "queued"
    stopping: Literal["", "pruned", "completed", "aborted"] = ""
    values: tuple[float, ...] = ()
    iteration: int = 0
    seconds: float = 0.0
    message: str = ""
    told: bool = False
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Trials(Protocol):
    """The trials by number: a list, or what stands for it where only those that events are about are at hand."""

    def __len__(self) -> int:
        """How many there are."""

    def __iter__(self) -> Iterator[TrialState]:
        """Those at hand."""

    def __getitem__(self, number: int, /) -> TrialState:
        """One that is at hand."""

    def __setitem__(self, number: int, trial: TrialState, /) -> None:
        """Put another state of it in its place."""

    def append(self, trial: TrialState, /) -> None:
        """Add the next one."""


@dataclass
class SearchFold:
    """A search's trials. Feed it its controller's events, each once and in order. Not thread-safe.

    `under_way` are the trials that are queued or run, `untold` those that ended without the callback, by number;
    `owners` gives the trial of each child, `spent` the seconds of all that are over. `best` is the number of the best
    trial by the first objective, of those that did not fail; `generation` counts the resets. `silent` counts the trials
    that completed without a value, `has_values` says that any has some. All are kept as trials change, so that neither
    a decision nor an event costs a look at all trials.
    """

    defined: SearchDefined | None = None
    stopping: SearchStopping | None = None
    began_at: datetime | None = None
    trials: Trials = field(default_factory=list[TrialState])
    under_way: dict[int, None] = field(default_factory=dict)
    untold: dict[int, None] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)
    spent: float = 0.0
    silent: int = 0
    has_values: bool = False
    best: int | None = None
    generation: int = 0
    changes: int = 0

    def apply(self, event: TasksEvent) -> Verdict:
        """Fold an event of the controller's task; what means nothing to a search changes nothing."""
        verdict = self._apply(event)
        self.changes += verdict.accepted
        return verdict

    def _apply(self, event: TasksEvent) -> Verdict:
        match event:
            case TaskReset():
                forgotten = SearchFold(changes=self.changes, generation=self.generation + 1)
                self.__dict__.update(forgotten.__dict__)
            case SearchDefined():
                self._define(event)
            case SearchContinued():
                self.stopping = self.began_at = None
            case SearchStopping():
                self._stop(event)
            case TrialQueued():
                return self._queue(event)
            case TrialEvent():
                return self._change(event)
            case SearchEvent():
                return rejected(f"{type(event).__name__} means nothing to a search")
        return ACCEPTED

    def _define(self, event: SearchDefined) -> None:
        self.began_at = self.began_at or event.meta.occurred_at
        self.defined = event.model_copy(update={"horizon": (self.defined or event).horizon})

    def _stop(self, event: SearchStopping) -> None:
        """The first reason is the one that counts, but for a limit's where all turns out to have been in vain."""
        if self.stopping is None or (event.failed and not (self.stopping.asked or self.stopping.failed)):
            self.stopping = event

    def _queue(self, event: TrialQueued) -> Verdict:
        if event.trial != len(self.trials):
            return rejected(f"trial {len(self.trials)} is next")
        at = event.meta.occurred_at
        self.trials.append(TrialState(event.trial, event.child, tuple(event.parameters), queued_at=at))
        self.owners[event.child] = event.trial
        self.under_way[event.trial] = None
        return ACCEPTED

    def _change(self, event: TrialEvent) -> Verdict:
        if not 0 <= event.trial < len(self.trials):
            return rejected("there is no such trial")
        before = self.trials[event.trial]
        after = _after(before, event)
        if isinstance(after, Verdict):
            return after
        self.trials[event.trial] = after
        if isinstance(event, TrialFinished):
            self._end(after)
        elif isinstance(event, TrialTold):
            self.untold.pop(event.trial, None)
        return ACCEPTED

    def _end(self, trial: TrialState) -> None:
        self.under_way.pop(trial.number, None)
        self.untold[trial.number] = None
        self.spent += trial.seconds
        self.silent += trial.status == "completed" and not trial.values
        self.has_values |= bool(trial.values)
        if (
            trial.values
            and trial.status != "failed"
            and (self.best is None or self._is_better(trial, self.trials[self.best]))
        ):
            self.best = trial.number

    def _is_better(self, trial: TrialState, than: TrialState) -> bool:
        sign = self.defined.objectives[0].sign if self.defined else "min"
        value, best = trial.values[0], than.values[0]
        return value > best if sign.startswith("max") else value < best


def _after(trial: TrialState, event: TrialEvent) -> TrialState | Verdict:
    """Return the trial after the event, or why the event does not count."""
    match event:
        case TrialStarted() if trial.status == "queued":
            return replace(trial, status="running", started_at=event.meta.occurred_at)
        case TrialStopping() if trial.status in UNDER_WAY and not trial.stopping:
            return replace(trial, stopping=event.status, message=event.reason)
        case TrialFinished() if trial.status in UNDER_WAY:
            return _finished(trial, event)
        case TrialTold() if trial.status not in UNDER_WAY and not trial.told:
            return replace(trial, told=True)
    return rejected(f"the trial is {trial.status}")


def _finished(trial: TrialState, event: TrialFinished) -> TrialState:
    return replace(
        trial,
        status=event.status,
        values=tuple(event.values),
        iteration=event.iteration,
        seconds=event.seconds,
        message=event.message or trial.message,
        ended_at=event.meta.occurred_at,
    )
