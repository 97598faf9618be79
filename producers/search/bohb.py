"""BOHB on Optuna: Hyperband gives trials up, and a model of those so far (TPE) says what to try next."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import optuna

from ..errors import InvalidArgumentError
from .objectives import Objective, Objectives
from .optuna_strategy import OptimizerOptuna
from .parameters import Parameter, RandomSeed

LOGGER = logging.getLogger(__name__)

_TAKEN: Final = frozenset({"eta", "min_budget", "max_budget", "min_points_in_model", "num_samples"})
_LEFT: Final = frozenset({"top_n_percent", "random_fraction", "bandwidth_factor", "min_bandwidth"})


class OptimizerBOHB(OptimizerOptuna):
    """Gives up trials that are behind others after as many iterations, and proposes what resembles good ones.

    Budgets are parts of `max_iteration_per_job`, as ClearML has them. What Optuna has nothing for is ignored.
    """

    def __init__(
        self,
        base_task_id: str,
        hyper_parameters: Sequence[Parameter],
        objective_metric: Objective | Objectives,
        execution_queue: str,
        num_concurrent_workers: int,
        min_iteration_per_job: int | None,
        max_iteration_per_job: int | None,
        total_max_jobs: int | None,
        pool_period_min: float = 2.0,
        time_limit_per_job: float | None = None,
        compute_time_limit: float | None = None,
        local_port: int = 9090,  # noqa: ARG002  nothing listens here: the log carries all
        **bohb_kwargs: Any,
    ) -> None:
        super().__init__(
            base_task_id,
            hyper_parameters,
            objective_metric,
            execution_queue,
            num_concurrent_workers,
            max_iteration_per_job,
            total_max_jobs,
            pool_period_min=pool_period_min,
            min_iteration_per_job=min_iteration_per_job,
            time_limit_per_job=time_limit_per_job,
            compute_time_limit=compute_time_limit,
        )
        if not (min_iteration_per_job and max_iteration_per_job and total_max_jobs):
            names = "min_iteration_per_job, max_iteration_per_job and total_max_jobs"
            raise InvalidArgumentError(f"OptimizerBOHB shares out a number of iterations: give {names}.")
        if len(self._objective_metric) > 1:
            raise InvalidArgumentError("OptimizerBOHB has one objective: use OptimizerOptuna for several.")
        self._least, self._most = min_iteration_per_job, max_iteration_per_job
        self._arguments: dict[str, Any] = {}
        self.set_optimization_args(**bohb_kwargs)

    def set_optimization_args(self, **bohb_kwargs: Any) -> None:
        """Set BOHB's arguments by its names, before the search starts."""
        if ignored := sorted(_LEFT & bohb_kwargs.keys()):
            LOGGER.warning(
                "BOHB runs on Optuna, which has nothing like %s: ignored.",
                ", ".join(ignored),
                extra={"action": "search_arguments_ignored", "arguments": ignored},
            )
        given = {name: bohb_kwargs[name] for name in _TAKEN & bohb_kwargs.keys()}
        self._arguments |= {name: value for name, value in given.items() if value is not None}
        self._check()

    def _pruner(self) -> optuna.pruners.BasePruner:
        least, most, eta = self._budgets()
        return optuna.pruners.HyperbandPruner(min_resource=least, max_resource=most, reduction_factor=eta)

    def _sampler(self) -> optuna.samplers.BaseSampler:
        names = {"min_points_in_model": "n_startup_trials", "num_samples": "n_ei_candidates"}
        arguments = {names[name]: value for name, value in self._arguments.items() if name in names}
        return optuna.samplers.TPESampler(seed=RandomSeed.get_random_seed(), **arguments)

    def _budgets(self) -> tuple[int, int, int]:
        least, most = self._iterations("min_budget", self._least), self._iterations("max_budget", self._most)
        return least, most, round(self._arguments.get("eta", 3))

    def _check(self) -> None:
        least, most, eta = self._budgets()
        if eta < 2 or least > most:  # noqa: PLR2004  fewer than one of two can't go on
            found = f"eta is {eta}, trials have {least} to {most} iterations"
            raise InvalidArgumentError(f"OptimizerBOHB can't halve that: {found}. Give eta of 2 or more, and a range.")

    def _iterations(self, budget: str, otherwise: int) -> int:
        part = self._arguments.get(budget)
        return max(1, round(part * self._most)) if part else otherwise
