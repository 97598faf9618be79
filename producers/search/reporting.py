"""What a search shows while it runs: its trials and objectives as plots of its task, and how far it is."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from ...events.search_events import SearchDefined
from ...projections.search_fold import SearchFold, TrialState
from ..figures import Figure
from ..warn import warn_once
from . import figures
from .importances import importances, powers_of

if TYPE_CHECKING:
    from ...events.search_events import Objective
    from ..task import Task

_EVERY_SECONDS: Final = 2.0
_COST: Final = 20
"""Drawing may take a twentieth of the controller's time."""
_GROWTH: Final = 20
"""Figures follow when a twentieth more trials are over: what a search reports grows with their logarithm."""
_BUDGET: Final = "remaining budget"
_RESOURCES: Final = "resources"
_BEST: Final = "performance"
_MOST: Final = 500
"""Trials in each figure, and in the table: the dashboard has them all."""


class _View(NamedTuple):
    """What a search was when it was looked at; `numbers` are scalars by title and series, in the order of `over`."""

    trials: Sequence[TrialState]
    defined: SearchDefined
    over: int
    numbers: dict[tuple[str, str], float]


def _thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name="tasktape-search-plots", daemon=True)
    thread.start()
    return thread


class Reporting:
    """Reports for a search's task whenever it has changed, but not too often. What can't be shown stops no search.

    It draws in threads of its own, one after the other: a trial to be given up is not to wait for figures.
    """

    def __init__(
        self,
        task: Task,
        clock: Callable[[], float] = time.monotonic,
        begin: Callable[[Callable[[], None]], threading.Thread | None] = _thread,
    ) -> None:
        self._task = task
        self._clock = clock
        self._begin = begin
        self._drawing: threading.Thread | None = None
        self._shown: tuple[object, ...] = ()
        self._over = 0
        self._again_at = 0.0
        self._percent = 0

    def show(self, fold: SearchFold) -> None:
        """Begin to report what has changed since the last time, if that was some time ago and there is enough of it."""
        is_drawing = self._drawing is not None and self._drawing.is_alive()
        if is_drawing or self._clock() < self._again_at:
            return
        self._again_at = self._clock() + _EVERY_SECONDS
        self._progress(percent(fold, datetime.now(UTC)))
        is_more = over(fold) - self._over >= self._over // _GROWTH
        if (is_more or fold.best not in self._shown[:1]) and (seen := self._news(fold)) is not None:
            self._drawing = self._begin(functools.partial(self._draw, seen))

    def finish(self, fold: SearchFold) -> None:
        """Report what has come of the search."""
        if self._drawing is not None:
            self._drawing.join()
        if (seen := self._news(fold)) is not None:
            self._draw(seen)
        self._progress(100 if fold.stopping is None else percent(fold, datetime.now(UTC)))

    def _news(self, fold: SearchFold) -> _View | None:
        news = (fold.best, fold.changes)
        if fold.defined is None or not fold.trials or self._shown == news:
            return None
        self._shown, self._over = news, over(fold)
        return _View(list(fold.trials), fold.defined, self._over, numbers(fold, fold.defined, datetime.now(UTC)))

    def _draw(self, seen: _View) -> None:
        began = self._clock()
        try:
            for (title, series), value in seen.numbers.items():
                self._task.get_logger().report_scalar(title, series, value, seen.over)
            self._plot([figures.Shown.of(trial) for trial in seen.trials], seen.defined)
        except Exception as error:  # noqa: BLE001  whatever plots of strangers' values raise
            warn_once("search_not_shown", f"what a search has come to could not be shown: {error!r}")
        self._again_at = self._clock() + max(_EVERY_SECONDS, _COST * (self._clock() - began))

    def _plot(self, trials: list[figures.Shown], defined: SearchDefined) -> None:
        logger = self._task.get_logger()
        table = figures.summary_table(trials, defined.objectives, _MOST)
        logger.report_table(*figures.SUMMARY, iteration=0, table_plot=table)
        for title, series, figure in drawn(trials, defined.objectives, defined.space, _MOST):
            logger.report_plotly(title, series, iteration=0, figure=figure)

    def _progress(self, reached: int) -> None:
        if reached != self._percent:
            self._percent = reached
            self._task.set_progress(reached)


def drawn(
    trials: Sequence[figures.Shown], objectives: Sequence[Objective], space: str, most: int = figures.MOST
) -> list[tuple[str, str, Figure]]:
    """Return title, series and figure of all that can be drawn of these trials, of so many at the most."""
    found = [
        (figures.OBJECTIVE, figures.objective_name(one), figures.objective_plot(trials, one, place, most))
        for place, one in enumerate(objectives)
        if any(trial.values for trial in trials)
    ]
    if (parallel := figures.parallel_coordinates(trials, objectives, powers_of(space), most)) is not None:
        found.append((*figures.PARALLEL, parallel))
    if shares := importances(trials, objectives[0], space):
        found.append((*figures.IMPORTANCE, figures.importance_plot(shares)))
    return found


def numbers(fold: SearchFold, defined: SearchDefined, now: datetime) -> dict[tuple[str, str], float]:
    """Return the scalars that ClearML's optimizers report: budgets left in percent, trials under way, best values."""
    left = {(_BUDGET, f"{part} %"): max(0.0, round(100 - 100 * share, 1)) for part, share in used(fold, now).items()}
    running = sum(fold.trials[number].status == "running" for number in fold.under_way)
    under_way = {"running tasks": running, "queued tasks": len(fold.under_way) - running}
    values = () if fold.best is None else fold.trials[fold.best].values
    best = {(_BEST, figures.objective_name(one)): value for one, value in zip(defined.objectives, values, strict=False)}
    return {**left, **{(_RESOURCES, series): float(count) for series, count in under_way.items()}, **best}


def used(fold: SearchFold, now: datetime) -> dict[str, float]:
    """What share of each limit that a search has is used up, above 1 where it is passed."""
    limits = fold.defined.limits if fold.defined else None
    elapsed = (now - fold.began_at).total_seconds() if fold.began_at else 0.0
    parts = {"jobs": (over(fold), limits.trials), "compute time": (fold.spent, limits.compute)} if limits else {}
    parts |= {"time": (elapsed, limits.time)} if limits else {}
    return {part: reached / limit for part, (reached, limit) in parts.items() if limit}


def percent(fold: SearchFold, now: datetime) -> int:
    """How far a search is towards the limit it will reach first; of the known trials where it has no limit."""
    shares = used(fold, now).values() or [over(fold) / max(len(fold.trials), 1)]
    return min(int(100 * max(shares)), 100)


def over(fold: SearchFold) -> int:
    """How many trials are over."""
    return len(fold.trials) - len(fold.under_way)
