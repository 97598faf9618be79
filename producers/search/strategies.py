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
_NEVER_CALLED: Final = {"start", "stop", "process_step", "monitor_job", "update_budget_per_job"}
"""What ClearML's loop calls of a strategy. Here the controller watches trials, ends them, and keeps to their limits."""
_CALLED_BY_PROPOSE: Final = {"create_job", "helper_create_job"}
_OURS: Final = __name__.rpartition(".")[0]


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
        _check_overrides(type(self))
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
        base_task_id: str,
        parameter_override: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> ProposedJob:
        """Make a trial of the base task with these parameters; in nothing else can one differ from that.

        Raises `InvalidArgumentError` where it is to: `tags`, `task_overrides` and what else ClearML takes.
        """
        given = sorted(name for name, value in others.items() if value)
        if base_task_id != self._base_task_id:
            given.append(f"another base task ({base_task_id})")
        if given:
            hint = "change the base task itself, or add a parameter that its code reads"
            raise InvalidArgumentError(
                f"a trial differs from base task {self._base_task_id} by its parameters alone, and can't have "
                f"{', '.join(given)}: {hint}."
            )
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


def _check_overrides(kind: type[SearchStrategy]) -> None:
    """Refuse a class of somebody else's that overrides what nothing here calls: it would be ignored silently."""
    theirs = [one for one in kind.__mro__ if not one.__module__.startswith(f"{_OURS}.")]
    overridden = {name for one in theirs for name in vars(one) if one is not object}
    proposes_itself = kind.propose is SearchStrategy.propose or "propose" in overridden
    ignored = overridden & (_NEVER_CALLED if proposes_itself else _NEVER_CALLED | _CALLED_BY_PROPOSE)
    if ignored:
        hint = "override `propose`, or the `create_job` of a plain SearchStrategy, to say what is tried next"
        raise InvalidArgumentError(
            f"{kind.__name__} overrides {', '.join(sorted(ignored))}, which a search does not call: the controller "
            f"watches trials and ends them itself. {hint[0].upper()}{hint[1:]}; `report` to look at a trial's values "
            "and give it up; `finish` to learn what it has come to."
        )


def _check_names(parameters: Sequence[Parameter]) -> None:
    names = [name for parameter in parameters for name in parameter.names]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidArgumentError(f"several hyper-parameters set {', '.join(twice)}: give one range for each name.")
