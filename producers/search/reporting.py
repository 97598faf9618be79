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
_MOST: Final = 500
"""Trials in each figure, and in the table: the dashboard has them all."""


class _View(NamedTuple):
    """What a search was when it was looked at."""

    trials: Sequence[TrialState]
    defined: SearchDefined


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
        return _View(list(fold.trials), fold.defined)

    def _draw(self, seen: _View) -> None:
        began = self._clock()
        try:
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


def percent(fold: SearchFold, now: datetime) -> int:
    """How far a search is towards the limit it will reach first; of the known trials where it has no limit."""
    limits = fold.defined.limits if fold.defined else None
    elapsed = (now - fold.began_at).total_seconds() if fold.began_at else 0.0
    pairs = [(over(fold), limits.trials), (fold.spent, limits.compute), (elapsed, limits.time)] if limits else []
    parts = [reached / limit for reached, limit in pairs if limit] or [over(fold) / max(len(fold.trials), 1)]
    return min(int(100 * max(parts)), 100)


def over(fold: SearchFold) -> int:
    """How many trials are over."""
    return len(fold.trials) - len(fold.under_way)
