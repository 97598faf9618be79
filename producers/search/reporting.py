"""What a search shows while it runs: its trials and objectives as plots of its task, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ...projections.search_fold import SearchFold
from ..figures import Figure
from ..warn import warn_once
from . import figures
from .importances import importances, powers_of

if TYPE_CHECKING:
    from ...events.search_events import Objective, SearchDefined
    from ..task import Task

_EVERY_SECONDS: Final = 2.0
_COST: Final = 20
"""Showing may take a twentieth of the controller's time."""
_GROWTH: Final = 20
"""Figures follow when a twentieth more trials are over: what a search reports grows with their logarithm."""
_MOST: Final = 500
"""Trials in each figure, and in the table: the dashboard has them all."""


class Reporting:
    """Reports for a search's task whenever it has changed, but not too often. What can't be shown stops no search."""

    def __init__(self, task: Task, clock: Callable[[], float] = time.monotonic) -> None:
        self._task = task
        self._clock = clock
        self._shown: tuple[object, ...] = ()
        self._over = 0
        self._again_at = 0.0
        self._percent = 0

    def show(self, fold: SearchFold) -> None:
        """Report what has changed since the last time, if that was some time ago and there is enough of it."""
        if self._clock() >= self._again_at:
            began = self._clock()
            is_more = _over(fold) - self._over >= self._over // _GROWTH
            self._report(fold, draws=is_more or fold.best not in self._shown[:1])
            self._again_at = began + max(_EVERY_SECONDS, _COST * (self._clock() - began))

    def finish(self, fold: SearchFold) -> None:
        """Report what has come of the search."""
        self._report(fold)
        if fold.stopping is None:
            self._progress(100)

    def _report(self, fold: SearchFold, *, draws: bool = True) -> None:
        if fold.defined is None or not fold.trials:
            return
        try:
            self._progress(percent(fold, datetime.now(UTC)))
            if draws and self._shown != (news := (fold.best, fold.changes)):
                self._shown, self._over = news, _over(fold)
                self._plot([figures.Shown.of(trial) for trial in fold.trials], fold.defined)
        except Exception as error:  # noqa: BLE001  whatever plots of strangers' values raise
            warn_once("search_not_shown", f"what a search has come to could not be shown: {error!r}")

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
    over = _over(fold)
    elapsed = (now - fold.began_at).total_seconds() if fold.began_at else 0.0
    pairs = [(over, limits.trials), (fold.spent, limits.compute), (elapsed, limits.time)] if limits else []
    parts = [reached / limit for reached, limit in pairs if limit] or [over / max(len(fold.trials), 1)]
    return min(int(100 * max(parts)), 100)


def _over(fold: SearchFold) -> int:
    return len(fold.trials) - len(fold.under_way)
