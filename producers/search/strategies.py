"""Strategies as ClearML's users subclass them; those here propose from a grid, or by chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from random import Random
from typing import Any, Final

from ..errors import InvalidArgumentError
from .objectives import Objective, Objectives
from .parameters import Parameter, RandomSeed, combine
from .proposals import Known, Tried

_DRAWS: Final = 42


@dataclass(frozen=True)
class ProposedJob:
    """A trial as a strategy of the user's own proposes it: `task_parameter_override` are its parameters."""

    task_parameter_override: dict[str, Any]


class SearchStrategy:
    """What to try next, and within which limits. By itself it proposes nothing.

    A strategy of your own overrides `create_job`, as in ClearML, or `propose`.
    """

    def __init__(
        self,
        base_task_id: str,
        hyper_parameters: Sequence[Parameter],
        objective_metric: Objective | Objectives,
        execution_queue: str,
        num_concurrent_workers: int,
        pool_period_min: float = 2.0,
        time_limit_per_job: float | None = None,
        compute_time_limit: float | None = None,
        min_iteration_per_job: int | None = None,
        max_iteration_per_job: int | None = None,
        total_max_jobs: int | None = None,
        **_: Any,
    ) -> None:
        _check_names(hyper_parameters)
        self._base_task_id = base_task_id
        self._hyper_parameters = hyper_parameters
        self._objective_metric = _several(objective_metric)
        self._execution_queue = execution_queue
        self._num_concurrent_workers = num_concurrent_workers
        self.pool_period_minutes = pool_period_min
        self.time_limit_per_job = time_limit_per_job
        self.compute_time_limit = compute_time_limit
        self.min_iteration_per_job = min_iteration_per_job
        self.max_iteration_per_job = max_iteration_per_job
        self.total_max_jobs = total_max_jobs
        self._optimizer_task: Any = None
        self._tried = Tried()

    def set_optimizer_task(self, task: Any) -> None:
        """Name the task that the search itself is."""
        self._optimizer_task = task

    def create_job(self) -> ProposedJob | None:
        """Return the next trial, made by `helper_create_job`; None when there are no more."""
        return None

    def helper_create_job(
        self,
        base_task_id: str,  # noqa: ARG002  ClearML's signature
        parameter_override: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> ProposedJob:
        """Make a trial of the base task with these parameters."""
        return ProposedJob(dict(parameter_override or {}))

    def propose(self) -> Mapping[str, Any] | None:
        """Return the next trial's parameters by their full names; None when there are no more."""
        job = self.create_job()
        return None if job is None else job.task_parameter_override

    def report(self, trial: int, value: float, iteration: int) -> bool:  # noqa: ARG002  for strategies that look
        """Take note of a value of a trial under way; True when the trial is to be given up."""
        return False

    def finish(self, trial: int, status: str, values: Sequence[float] | None) -> None:
        """Take note that a trial is `completed`, `failed`, `aborted` or `pruned`; without values when it told none."""

    def resume(self, trials: Sequence[Known]) -> None:
        """Go on as if this object had proposed these trials, in this order: what they were is asked for once more."""
        self._tried = Tried(trials)
        for _ in trials if type(self).propose is SearchStrategy.propose else ():
            self.create_job()

    def _grid(self) -> Iterator[dict[str, Any]]:
        """All combinations of all values, the last parameter's changing first."""
        return map(combine, product(*(parameter.to_list() for parameter in self._hyper_parameters)))

    def _next_of(self, proposals: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
        """Return the first that was never proposed, and note it."""
        return next(filter(self._tried.take, proposals), None)


class GridSearch(SearchStrategy):
    """Every combination of all values, once, in the order in which the parameters were given."""

    def propose(self) -> Mapping[str, Any] | None:
        """Return the next combination."""
        return self._next_of(self._combinations)

    @cached_property
    def _combinations(self) -> Iterator[dict[str, Any]]:
        return self._grid()


class RandomSearch(SearchStrategy):
    """Each parameter by chance, from the process's `RandomSeed`; no combination twice, but all if there is time.

    When chance brings nothing new any more, what is left follows in the grid's order.
    """

    def propose(self) -> Mapping[str, Any] | None:
        """Draw a combination that is new."""
        drawn = self._next_of(self._draw() for _ in range(_DRAWS))
        return self._next_of(self._rest) if drawn is None else drawn

    def resume(self, trials: Sequence[Known]) -> None:
        """Draw what was drawn before, so that chance goes on where it was."""
        for _ in trials:
            self.propose()
        super().resume(trials)
        self._rest = self._grid()

    @cached_property
    def _rest(self) -> Iterator[dict[str, Any]]:
        """The grid from where on there may be something new."""
        return self._grid()

    @cached_property
    def _random(self) -> Random:
        return Random(RandomSeed.get_random_seed())  # noqa: S311  reproducible on purpose

    def _draw(self) -> dict[str, Any]:
        return combine(parameter.draw(self._random) for parameter in self._hyper_parameters)


def _several(objective: Objective | Objectives) -> Objectives:
    return Objectives((objective,)) if isinstance(objective, Objective) else objective


def _check_names(parameters: Sequence[Parameter]) -> None:
    names = [name for parameter in parameters for name in parameter.names]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidArgumentError(f"several hyper-parameters set {', '.join(twice)}: give one range for each name.")
