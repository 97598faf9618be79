"""What a search does next: a pure function of its own events, its trials' and the time.

One answer at a time, the most urgent first: the callback that is owed, what trials have come to, then what is to be
stopped, then new trials.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ...events.search_events import SearchEvent, SearchLimits, SearchStopping, TrialStarted, TrialStopping
from ...projections.search_fold import UNDER_WAY, SearchFold, TrialState
from ..controllers.children import Child
from ..pipelines.telling import short
from .board import Board

UNREPORTED: Final = 3
"""So many trials have to complete without a word of an objective, or all there are, before the search gives up."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Call the user's function for a trial that is over."""

    trial: int


@dataclass(frozen=True, slots=True)
class End:
    """The trial's task is over: say what it has come to."""

    trial: int


@dataclass(frozen=True, slots=True)
class Propose:
    """Ask the strategy for so many more trials."""

    count: int


@dataclass(frozen=True, slots=True)
class Say:
    """Nothing has to be done before this event is written; `fields` are those that its kind adds."""

    kind: type[SearchEvent]
    fields: dict[str, Any] = field(default_factory=dict)


Decision = Tell | End | Propose | Say


@dataclass(frozen=True)
class Situation:
    """What a search decides from, beside its own events: the `news` that follow from what trials have come to.

    `given_up` names the trials that the pruner wants no more, by number and with the reason. `is_exhausted` says that
    the strategy has nothing more to propose.
    """

    news: Iterable[Decision]
    board: Board
    now: datetime
    given_up: Mapping[int, str]
    has_callback: bool = False
    is_exhausted: bool = False


def decide(fold: SearchFold, seen: Situation) -> Sequence[Decision]:
    """Return what is to be done now."""
    if fold.defined is None:
        return []
    if seen.has_callback and fold.untold:
        return [Tell(next(iter(fold.untold)))]
    if news := list(seen.news):
        return news
    if fold.stopping is not None:
        return _wind_up(fold, fold.stopping)
    return _end_of_search(fold, fold.defined.limits, seen) or _next(fold, fold.defined.limits, seen)


def _end_of_search(fold: SearchFold, limits: SearchLimits, seen: Situation) -> Sequence[Decision]:
    """Stop the search where that is due."""
    if reason := _over_limit(fold, limits, seen.now):
        return [Say(SearchStopping, {"reason": reason})]
    is_last = not fold.under_way and (seen.is_exhausted or _free(fold, limits) <= 0)
    reason = _unreported(fold, seen.board, is_last=is_last) or (_in_vain(fold) if is_last else "")
    return [_failed(reason)] if reason else []


def _wind_up(fold: SearchFold, stopping: SearchStopping) -> Sequence[Decision]:
    """Stop what runs; when all is over, say whether a limit has ended a search that came to nothing."""
    stops = [_stop(fold.trials[number], "aborted", stopping.reason) for number in _stoppable(fold)]
    if stops or fold.under_way or stopping.asked or stopping.failed:
        return stops
    reason = _in_vain(fold)
    return [_failed(f"{stopping.reason}; {reason}")] if reason else []


def _next(fold: SearchFold, limits: SearchLimits, seen: Situation) -> Sequence[Decision]:
    """Stop trials that have had enough, then have new ones proposed."""
    stops = (_given_up(fold.trials[number], limits, seen) for number in _stoppable(fold))
    if stopped := [stop for stop in stops if stop is not None]:
        return stopped
    free = _free(fold, limits)
    return [Propose(free)] if free > 0 and not seen.is_exhausted else []


def observed(fold: SearchFold, child: Child) -> list[Decision]:
    """What has come of the trial that a child runs."""
    number = fold.owners.get(child.task)
    if number is None or fold.trials[number].status not in UNDER_WAY or child.status == "waiting":
        return []
    begins = fold.trials[number].status == "queued" and child.state.run.started
    begun: list[Decision] = [Say(TrialStarted, {"trial": number})] if begins else []
    return begun if child.status == "running" else [*begun, End(number)]


def _stoppable(fold: SearchFold) -> list[int]:
    return [number for number in fold.under_way if not fold.trials[number].stopping]


def _over_limit(fold: SearchFold, limits: SearchLimits, now: datetime) -> str:
    """Why the search is to end, if it is."""
    assert fold.began_at is not None  # noqa: S101  it is defined
    if limits.time and (now - fold.began_at).total_seconds() >= limits.time:
        return f"the search's time of {limits.time / 60:g} min is over"
    running = (_seconds(fold.trials[number], now) for number in fold.under_way)
    if limits.compute and fold.spent + sum(running) >= limits.compute:
        return f"the trials have had their {limits.compute / 60:g} min of computing"
    return ""


def _unreported(fold: SearchFold, board: Board, *, is_last: bool) -> str:
    """Why the search can't come to anything: enough trials completed, and an objective was never heard of."""
    silent = 0 if fold.has_values else fold.silent
    return board.missing if silent >= UNREPORTED or (silent and is_last) else ""


def _in_vain(fold: SearchFold) -> str:
    """How the trials ended and why most of them did, where there were some and none is the best."""
    count = len(fold.trials)
    if fold.best is not None or not count:
        return ""
    what = "the only trial has come to no value" if count == 1 else f"none of {count:,} trials has come to a value"
    ends = Counter(trial.status for trial in fold.trials)
    told = ", ".join(f"{number:,} {status}" for status, number in ends.most_common())
    return f"{what}: {told}{_most_frequent(Counter(trial.message for trial in fold.trials if trial.message), count)}"


def _most_frequent(reasons: Counter[str], count: int) -> str:
    """The reason for which most of so many trials ended, where any is known."""
    if not reasons:
        return ""
    reason, times = reasons.most_common(1)[0]
    whose = "the reason" if times == count else f"the reason of {times:,}"
    return f"; {whose}: {short(reason)}"


def _given_up(trial: TrialState, limits: SearchLimits, seen: Situation) -> Say | None:
    if trial.number in seen.given_up:
        return _stop(trial, "pruned", seen.given_up[trial.number])
    if limits.trial_time and _seconds(trial, seen.now) >= limits.trial_time:
        return _stop(trial, "completed", f"it ran for its {limits.trial_time / 60:g} min")
    iteration = seen.board.iteration(trial.child)
    if limits.most_iterations and iteration >= limits.most_iterations:
        return _stop(trial, "completed", f"it has come to iteration {iteration}")
    return None


def _free(fold: SearchFold, limits: SearchLimits) -> int:
    free = limits.concurrent - len(fold.under_way)
    return min(free, limits.trials - len(fold.trials)) if limits.trials else free


def _seconds(trial: TrialState, now: datetime) -> float:
    return max(0.0, (now - trial.started_at).total_seconds()) if trial.started_at else 0.0


def _failed(reason: str) -> Say:
    return Say(SearchStopping, {"reason": reason, "failed": True})


def _stop(trial: TrialState, status: str, reason: str) -> Say:
    return Say(TrialStopping, {"trial": trial.number, "status": status, "reason": reason})
