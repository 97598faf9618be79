"""One run of a search in this process: its engine, the wait for its end, and what its task says then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ...events.report_events import ScalarsReported
from ...events.task_events import TaskArchived, TaskUnarchived
from ..controllers.channel import Channel
from ..controllers.children import Children
from ..controllers.engine import Engine
from ..controllers.runners import ProcessRunner, QueueRunner
from ..pipelines.execution import bring_to_log
from ..session import current_session
from ..warn import LOGGER
from .board import Board
from .keeping import Keeper
from .reporting import Reporting
from .results import searched
from .searcher import Plan, Searcher

if TYPE_CHECKING:
    from ...events.search_events import SearchLimits
    from ...projections.search_fold import SearchFold, TrialState
    from ..task import Task
    from .objectives import Objectives
    from .proposals import Proposals

Callback = Callable[[str, Any, int | None, dict[str, Any], str | None], object]
_WAIT_SECONDS: Final = 0.25
_GRACE_SECONDS: Final = 20.0


class Execution:
    """Runs a search for its task. `keeps` is how many of the best trials stay in sight, 0 for all.

    Trials run in processes of this machine or through the plan's queue; `told` is the user's callback.
    """

    def __init__(
        self,
        task: Task,
        plan: Plan,
        proposals: Proposals,
        metric: Objectives,
        told: Callback | None,
        keeps: int = 0,
        *,
        in_processes: bool = False,
    ) -> None:
        session = current_session()
        bring_to_log(session)
        reporting, children = Reporting(task), Children()
        channel = Channel(session, task.id, children, [ScalarsReported.topic])
        self._task = task
        self._keeper = Keeper(metric, keeps) if keeps else None
        self._searcher = Searcher(
            session,
            task.id,
            task.run,
            plan,
            proposals,
            children,
            Board(plan.objectives),
            (ProcessRunner if in_processes else QueueRunner)(session, channel.append),
            channel,
            on_finished=None if told is None else _telling(told),
            on_change=reporting.show,
            on_end=reporting.finish,
            on_over=self._archive_others,
        )
        self._engine = Engine(channel, task.run, self._searcher, children)
        self._searcher.catch_up = self._engine.catch_up
        self._is_told = False
        self.began = time.monotonic()

    def start(self) -> None:
        """Begin; the search is run by a thread of its own."""
        if self._task.is_main_task():
            self._task.register_abort_callback(self._abort, _GRACE_SECONDS)
        self._engine.start()

    @property
    def fold(self) -> SearchFold:
        """All trials so far, and the best of them."""
        return self._searcher.fold

    @property
    def is_running(self) -> bool:
        """Whether it is not over."""
        return not self._engine.over.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all trials are over; returns whether they are. Ctrl-C stops the search.

        Raises whatever kept the search from going on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while self.is_running and (deadline is None or time.monotonic() < deadline):
                self._engine.over.wait(_WAIT_SECONDS)
        except KeyboardInterrupt:
            self._stop_in_time("interrupted")
            raise
        if self._engine.error is not None:
            raise self._engine.error
        if not self.is_running:
            self._tell_failure()
        return not self.is_running

    def stop(self, reason: str) -> None:
        """Start no more trials, and stop those that run."""
        if self.is_running:
            self._searcher.stop(reason)

    def limit(self, limits: SearchLimits) -> None:
        """Set other limits than the plan has."""
        if self.is_running:
            self._searcher.limit(limits)

    def _abort(self) -> None:
        """Somebody wants the search to stop: its trials are stopped first."""
        self._stop_in_time("aborted")

    def _stop_in_time(self, reason: str) -> None:
        self.stop(reason)
        self._engine.over.wait(_GRACE_SECONDS)

    def _archive_others(self, trials: Sequence[TrialState]) -> None:
        """Put trials out of sight that are not among the best, where only those are to be kept."""
        if self._keeper is None:
            return
        session, changes = current_session(), self._keeper.take(trials)
        for kind, changed in ((TaskArchived, changes.hidden), (TaskUnarchived, changes.shown)):
            for trial in changed:
                session.emit(kind(meta=session.stamp(), task=trial.child))

    def _tell_failure(self) -> None:
        """Let the search's task say why it came to nothing, once."""
        stopping = self.fold.stopping
        if stopping is not None and stopping.failed and not self._is_told:
            self._is_told = True
            LOGGER.error("the search has failed: %s.", stopping.reason, extra={"action": "search_failed"})
            self._task.mark_failed(status_reason="search failed", status_message=stopping.reason)


def _telling(told: Callback) -> Callable[[TrialState, TrialState | None], object]:
    """The user's callback as the search calls it."""

    def tell(trial: TrialState, best: TrialState | None) -> object:
        value = list(trial.values) if len(trial.values) > 1 else next(iter(trial.values), None)
        return told(trial.child, value, trial.iteration, searched(trial), best.child if best else None)

    return tell
