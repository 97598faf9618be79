"""`HyperParameterOptimizer`: a search over the parameters of a task, with ClearML's names and defaults."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ...events.search_events import Objective as ObjectivePart
from ...events.search_events import SearchLimits
from ...projections.search_fold import SearchFold, TrialState
from ..errors import UsageError
from ..parameters import encode
from ..pipelines.preparing import read_base
from ..queues import require_queue
from ..session import current_session
from ..types import TaskTypes
from .execution import Callback, Execution
from .objectives import Objective, Objectives, objectives
from .parameters import tell_of_unknown
from .recursion import refuse_own_kind
from .results import details, ranked, task_of
from .searcher import Plan
from .strategies import RandomSearch, SearchStrategy

if TYPE_CHECKING:
    from ..task import Task

_UNLIMITED: Final[dict[str, Any]] = dict.fromkeys(("min_iteration_per_job", "max_iteration_per_job", "total_max_jobs"))
_MINUTE: Final = 60.0


class HyperParameterOptimizer:
    """Tries a task with other parameters, each trial a task of its own, and goes on after whatever kills it."""

    def __init__(
        self,
        base_task_id: str,
        hyper_parameters: Sequence[Any],
        objective_metric_title: str | Sequence[str],
        objective_metric_series: str | Sequence[str],
        objective_metric_sign: str | Sequence[str] = "min",
        optimizer_class: type[SearchStrategy] | SearchStrategy = RandomSearch,
        max_number_of_concurrent_tasks: int = 10,
        execution_queue: str = "default",
        optimization_time_limit: float | None = None,
        compute_time_limit: float | None = None,
        auto_connect_task: bool | Task = True,
        always_create_task: bool = False,
        spawn_project: str | None = None,
        save_top_k_tasks_only: int | None = None,
        **optimizer_kwargs: Any,
    ) -> None:
        """Set up a search; `start` begins it.

        Args:
            base_task_id: The task to try with other parameters.
            hyper_parameters: Ranges: `UniformParameterRange` and its like, by the parameters' full names.
            objective_metric_title: Title of the scalar to optimise; `Summary` for a single value. Several in a list.
            objective_metric_series: Its series.
            objective_metric_sign: `min` or `max` of its last value, `min_global` or `max_global` of all of them.
            optimizer_class: The strategy: `RandomSearch`, `GridSearch`, `OptimizerOptuna`, `OptimizerBOHB`, your own.
            max_number_of_concurrent_tasks: Trials at once.
            execution_queue: Their queue.
            optimization_time_limit: Minutes that the search may take.
            compute_time_limit: Minutes that all trials together may take.
            auto_connect_task: The task that controls the search: this process's (True), or the one that is given.
            always_create_task: Make one where this process has none.
            spawn_project: Project of the trials; the base task's by default.
            save_top_k_tasks_only: Archive all but the best of that many.
            optimizer_kwargs: For the strategy, and `total_max_jobs`, `time_limit_per_job` (minutes),
                `min_iteration_per_job`, `max_iteration_per_job`; `pool_period_min` has no effect, nothing is polled.

        Raises:
            InvalidArgumentError: Objectives' names and signs don't go together; also a `ValueError`.
            UnknownTaskError: There is no such base task; also a `ValueError`.
            UsageError: This is a trial itself, of the base task's script: that would never end.

        """
        self._metric = objectives(objective_metric_title, objective_metric_series, objective_metric_sign)
        session = current_session()
        session.outbox.synced(session.settings.close_timeout)
        self._base = read_base(session, base_task_id)
        refuse_own_kind(self._base)
        tell_of_unknown(hyper_parameters, {held.name for held in self._base.spec.parameters})
        self._task = _controller(auto_connect_task, creates=always_create_task, name=self._base.spec.name)
        self._queue = execution_queue
        self._project = spawn_project or ""
        self._keeps = save_top_k_tasks_only or 0
        self._limits = SearchLimits(
            concurrent=max_number_of_concurrent_tasks,
            trials=optimizer_kwargs.get("total_max_jobs") or 0,
            time=_MINUTE * (optimization_time_limit or 0.0),
            compute=_MINUTE * (compute_time_limit or 0.0),
            trial_time=_MINUTE * (optimizer_kwargs.get("time_limit_per_job") or 0.0),
            fewest_iterations=optimizer_kwargs.get("min_iteration_per_job") or 0,
            most_iterations=optimizer_kwargs.get("max_iteration_per_job") or 0,
        )
        self._strategy = optimizer_class
        if isinstance(optimizer_class, type):
            self._strategy = optimizer_class(
                base_task_id=base_task_id,
                hyper_parameters=hyper_parameters,
                objective_metric=self._metric,
                execution_queue=execution_queue,
                num_concurrent_workers=max_number_of_concurrent_tasks,
                compute_time_limit=compute_time_limit,
                **(_UNLIMITED | optimizer_kwargs),
            )
        self.get_optimizer().set_optimizer_task(self._task)
        self._space = encode([parameter.to_dict() for parameter in hyper_parameters])
        self._execution: Execution | None = None

    def start(self, job_complete_callback: Callback | None = None) -> bool:
        """Begin the search, unless it is under way, and return at once; the trials run through their queue.

        Args:
            job_complete_callback: `f(job_id, objective_value, objective_iteration, job_parameters, best_job_id)` after
                each trial.

        Returns:
            True.

        Raises:
            UnknownQueueError: There is no such queue; also a `ValueError`.
            UsageError: There is no task that could control the search.

        """
        session = current_session()
        with session.queries() as queries:
            existing = [row.name for row in queries.queues()]
        require_queue(session, self._queue, existing)
        self._start(self._queue, job_complete_callback)
        return True

    def start_locally(self, job_complete_callback: Callback | None = None) -> bool:
        """Begin the search, and return at once; the trials run as processes of this machine. See `start`."""
        self._start("", job_complete_callback, in_processes=True)
        return True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the search's end, so many minutes at the most; returns whether it has ended. Ctrl-C stops it.

        A search of which no trial came to a value makes its task fail, unless somebody stopped it. Raises whatever kept
        the search from going on.
        """
        seconds = None if timeout is None else _MINUTE * timeout
        return self._execution is None or self._execution.wait(seconds)

    def stop(self, timeout: float | None = None, wait_for_reporter: bool = True) -> None:
        """Start no more trials, stop those that run, and wait for that, so many minutes at the most."""
        del wait_for_reporter
        if self._execution is not None:
            self._execution.stop("stopped by its script")
        self.wait(timeout)

    def is_active(self) -> bool:
        """Return whether the search is under way."""
        return self._execution is not None and self._execution.is_running

    def is_running(self) -> bool:
        """The same as `is_active`."""
        return self.is_active()

    def elapsed(self) -> float:
        """Return how many minutes the search has been running here; -1 before its start."""
        return -1.0 if self._execution is None else (time.monotonic() - self._execution.began) / _MINUTE

    def set_time_limit(self, in_minutes: float | None = None, specific_time: datetime | None = None) -> None:
        """Set how many minutes the search may take, or when it is to end (local time where none is named)."""
        seconds = _MINUTE * (in_minutes or 0.0)
        if specific_time is not None:
            seconds = (specific_time.astimezone() - datetime.now().astimezone()).total_seconds()
            began = None if self._execution is None else self._execution.fold.began_at
            seconds = max(1.0, seconds + ((datetime.now(UTC) - began).total_seconds() if began else 0.0))
        self._limits = self._limits.model_copy(update={"time": seconds})
        if self._execution is not None:
            self._execution.limit(self._limits)

    def get_time_limit(self) -> datetime | None:
        """Return when the search is to end; None where it has no limit, or has not begun."""
        began = None if self._execution is None else self._execution.fold.began_at
        return began + timedelta(seconds=self._limits.time) if began and self._limits.time else None

    def reached_time_limit(self) -> bool:
        """Return whether the search's time is over."""
        limit = self.get_time_limit()
        return limit is not None and datetime.now(UTC) >= limit

    def set_report_period(self, report_period_minutes: float) -> None:
        """Accepted; the plots follow the trials by themselves."""
        del report_period_minutes

    def set_default_job_class(self, job_class: Any) -> None:
        """Accepted; every trial is a task."""
        del job_class

    @property
    def fold(self) -> SearchFold:
        """All trials so far, and the best of them."""
        if self._execution is None:
            raise UsageError("the search has not been started.")
        return self._execution.fold

    def get_top_experiments(self, top_k: int) -> list[Task]:
        """Return the tasks of the best trials, the best first."""
        return [task_of(trial) for trial in self._ranked()[:top_k]]

    def get_top_experiments_details(
        self,
        top_k: int,
        all_metrics: bool = False,
        all_hyper_parameters: bool = False,
        only_completed: bool = False,
    ) -> list[dict[str, Any]]:
        """Return what is known of the best trials, the best first.

        Args:
            top_k: How many.
            all_metrics: All scalars, not the objectives alone.
            all_hyper_parameters: All parameters, not those that were searched alone.
            only_completed: Leave out trials that were stopped or failed.

        Returns:
            For each `task_id`, `hyper_parameters` (name to value) and `metrics`, which maps `title/series` to `metric`,
            `variant`, `value`, `min_value` and `max_value`.

        """
        trials = [trial for trial in self._ranked() if not only_completed or trial.status == "completed"][:top_k]
        wanted = None if all_metrics else {(one.title, one.series) for one in self._metric.each}
        return [details(trial, wanted, all_hyper_parameters=all_hyper_parameters) for trial in trials]

    def get_num_active_experiments(self) -> int:
        """Return how many trials are queued or run."""
        return len(self.fold.under_way)

    def get_active_experiments(self) -> list[Task]:
        """Return the tasks of trials that are queued or run."""
        return [task_of(self.fold.trials[number]) for number in self.fold.under_way]

    def get_optimizer(self) -> SearchStrategy:
        """Return the strategy."""
        assert isinstance(self._strategy, SearchStrategy)  # noqa: S101  made in __init__
        return self._strategy

    @property
    def objective_metric(self) -> Objectives:
        """What is optimised."""
        return self._metric

    def _ranked(self) -> list[TrialState]:
        return ranked(self.fold.trials, self._metric)

    def _start(self, queue: str, told: Callback | None, *, in_processes: bool = False) -> None:
        if self.is_active():
            return
        plan = Plan(
            self._base.task,
            self._base.spec,
            [ObjectivePart(title=one.title, series=one.series, sign=_sign(one)) for one in self._metric.each],
            self._limits,
            type(self._strategy).__name__,
            self._space,
            queue,
            self._project,
        )
        about = (self._task, plan, self.get_optimizer(), self._metric, told, self._keeps)
        self._execution = Execution(*about, in_processes=in_processes)
        self._execution.start()


def _sign(objective: Objective) -> str:
    return f"{objective.order}_global" if objective.extremum else objective.order


def _controller(given: bool | Task, *, creates: bool, name: str) -> Task:
    """The task that controls the search. Raises `UsageError` where there is none."""
    from ..task import Task  # noqa: PLC0415  the search is a part of what that offers

    if isinstance(given, Task):
        return given
    task = Task.current_task()
    if task is None and creates:
        task = Task.init("Hyper-Parameter Optimization", f"search: {name}", task_type=TaskTypes.optimizer)
    if task is None:
        raise UsageError("no task can control the search: call Task.init first, or pass always_create_task=True.")
    return task
