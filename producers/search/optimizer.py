"""`HyperParameterOptimizer`: a search over the parameters of a task, with ClearML's names and defaults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ...events.search_events import SearchLimits
from ..controllers.engine import Engine
from ..pipelines.preparing import read_base
from ..session import current_session
from .searcher import Searcher
from .strategies import RandomSearch, SearchStrategy

if TYPE_CHECKING:
    from ..task import Task

Callback = Callable[[str, float | None, int | None, dict[str, Any], str | None], object]
_SIGNS: Final = frozenset({"min", "max", "min_global", "max_global"})
_GRACE_SECONDS: Final = 20.0
_WAIT_SECONDS: Final = 0.25
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
            InvalidArgumentError: An objective has no such sign, or names and signs are not as many; also a `ValueError`.
            UnknownTaskError: There is no such base task; also a `ValueError`.

        """
        self._objectives = objectives(objective_metric_title, objective_metric_series, objective_metric_sign)
        session = current_session()
        session.outbox.synced(session.settings.close_timeout)
        self._base = read_base(session, base_task_id)
        self._task = _controller(auto_connect_task, creates=always_create_task, name=self._base.spec.name)
        self._queue = execution_queue
        self._project = spawn_project or ""
        self._keeps = save_top_k_tasks_only
        self._parameters = list(hyper_parameters)
        self._limits = SearchLimits(
            concurrent=max_number_of_concurrent_tasks,
            trials=optimizer_kwargs.get("total_max_jobs") or 0,
            time=_MINUTE * (optimization_time_limit or 0.0),
            compute=_MINUTE * (compute_time_limit or 0.0),
            trial_time=_MINUTE * (optimizer_kwargs.get("time_limit_per_job") or 0.0),
            fewest_iterations=optimizer_kwargs.get("min_iteration_per_job") or 0,
            most_iterations=optimizer_kwargs.get("max_iteration_per_job") or 0,
        )
        self._strategy = self._made(optimizer_class, compute_time_limit, optimizer_kwargs)
        self._searcher: Searcher | None = None
        self._engine: Engine | None = None
        self._began = 0.0
