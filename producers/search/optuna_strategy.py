"""Optuna decides what to try: its study is asked for trials and told what became of them, and nothing is done twice."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from ..errors import InvalidArgumentError
from ..warn import LOGGER
from .objectives import Objective, Objectives
from .parameters import Parameter, canonical
from .proposals import Known
from .strategies import SearchStrategy

try:
    import optuna
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError as error:
    raise ImportError("OptimizerOptuna needs Optuna: pip install 'tasktape[hpo]'.", name=error.name) from error

from .spaces import Space

_PATIENCE: Final = 100
_KEPT: Final = frozenset({"storage", "study_name", "load_if_exists"})
"""What `optuna.create_study` takes beside what a search knows by itself."""


@dataclass(slots=True)
class _Running:
    trial: Trial
    reported: set[int] = field(default_factory=set)


class OptimizerOptuna(SearchStrategy):
    """Proposes what an Optuna study suggests, with any sampler and pruner, for one objective or several.

    With one worker and a seeded sampler it is what `study.optimize` would try. A suggestion that was tried before is
    pruned, and the next one asked for, until there is nothing new. `storage`, `study_name` and `load_if_exists` are for
    `optuna.create_study`.
    """

    def __init__(
        self,
        base_task_id: str,
        hyper_parameters: Sequence[Parameter],
        objective_metric: Objective | Objectives,
        execution_queue: str,
        num_concurrent_workers: int,
        max_iteration_per_job: int | None,
        total_max_jobs: int | None,
        pool_period_min: float = 2.0,
        min_iteration_per_job: int | None = None,
        time_limit_per_job: float | None = None,
        compute_time_limit: float | None = None,
        optuna_sampler: optuna.samplers.BaseSampler | None = None,
        optuna_pruner: optuna.pruners.BasePruner | None = None,
        continue_previous_study: optuna.Study | None = None,
        **optuna_kwargs: Any,
    ) -> None:
        super().__init__(
            base_task_id,
            hyper_parameters,
            objective_metric,
            execution_queue,
            num_concurrent_workers,
            pool_period_min=pool_period_min,
            time_limit_per_job=time_limit_per_job,
            compute_time_limit=compute_time_limit,
            min_iteration_per_job=min_iteration_per_job,
            max_iteration_per_job=max_iteration_per_job,
            total_max_jobs=total_max_jobs,
        )
        self._optuna_sampler = optuna_sampler or optuna_kwargs.pop("sampler", None)
        self._optuna_pruner = optuna_pruner or optuna_kwargs.pop("pruner", None)
        self._previous = continue_previous_study
        self._optuna_kwargs = {name: optuna_kwargs.pop(name) for name in _KEPT & optuna_kwargs.keys()}
        _tell_of_ignored(optuna_kwargs)
        self._space = Space(hyper_parameters)
        self._running: dict[int, _Running] = {}
        self._waiting: deque[Trial] = deque()
        self._count = 0
        self._is_over = False

    @cached_property
    def study(self) -> optuna.Study:
        """The study, made when it is first needed. Its name is the search's task, for Hyperband draws lots by it."""
        directions = [objective.direction for objective in self._objective_metric.each]
        if self._previous is not None:
            return self._go_on(self._previous, directions)
        named = {"study_name": self._optimizer_task.id, "load_if_exists": True} if self._optimizer_task else {}
        arguments = {**named, **self._optuna_kwargs}
        with _quietly():
            return optuna.create_study(
                directions=directions, sampler=self._sampler(), pruner=self._pruner(), **arguments
            )

    @property
    def _study(self) -> optuna.Study:
        """The same, under the name by which scripts of ClearML reach for it."""
        return self.study

    def propose(self) -> Mapping[str, Any] | None:
        """Return what the study suggests next and was not tried yet; None when it comes to nothing new."""
        for _ in range(_PATIENCE + len(self._tried)):
            if self._is_over or len(self._tried) >= self._space.size:
                break
            trial = self._ask()
            parameters = self._space.decode(trial.params)
            if self._tried.take(parameters):
                self._watch(trial)
                return parameters
            self._tell(trial, TrialState.PRUNED)
        self._is_over = True
        return None

    def report(self, trial: int, value: float, iteration: int) -> bool:
        """Tell the pruner. Optuna has none for several objectives."""
        running = self._running.get(trial)
        if running is None or len(self._objective_metric) > 1 or iteration < 0:
            return False
        if iteration not in running.reported:
            running.reported.add(iteration)
            running.trial.report(value, iteration)
        return iteration >= (self.min_iteration_per_job or 0) and running.trial.should_prune()

    def finish(self, trial: int, status: str, values: Sequence[float] | None) -> None:
        """Tell the study. A trial that failed has no values there; one that ended without any counts as pruned."""
        if running := self._running.pop(trial, None):
            self._tell(running.trial, *_outcome(status, values))

    def resume(self, trials: Sequence[Known]) -> None:
        """Add to the study what it does not hold yet; chance begins anew, so that it does not repeat itself."""
        found = self.study.get_trials(deepcopy=False)
        held = {
            canonical(each.params): each for each in sorted(found, key=lambda each: each.state == TrialState.RUNNING)
        }
        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        self._waiting = deque(self.study.ask(self._space.distributions) for _ in waiting)
        for known in trials:
            self._take_in(known, held)
        if trials:
            self.study.sampler.reseed_rng()

    def _sampler(self) -> optuna.samplers.BaseSampler | None:
        return self._optuna_sampler

    def _pruner(self) -> optuna.pruners.BasePruner | None:
        return self._optuna_pruner

    def _go_on(self, study: optuna.Study, directions: Sequence[str]) -> optuna.Study:
        found = [direction.name.lower() for direction in study.directions]
        if found != directions:
            raise InvalidArgumentError(f"the study to continue wants to {found}, this search {directions}: start anew.")
        study.sampler = self._sampler() or study.sampler
        study.pruner = self._pruner() or study.pruner
        return study

    def _ask(self) -> Trial:
        return self._waiting.popleft() if self._waiting else self.study.ask(self._space.distributions)

    def _tell(self, trial: Trial, state: TrialState, values: Sequence[float] | None = None) -> None:
        try:
            self.study.tell(trial, values, state)
        except (
            RuntimeError
        ):  # so a sampler stops the study that has tried everything: outside of `optimize` that raises
            self._is_over = True

    def _watch(self, trial: Trial | None) -> None:
        if trial is not None:
            self._running[self._count] = _Running(trial)
        self._count += 1

    def _take_in(self, known: Known, held: dict[str, FrozenTrial]) -> None:
        """Parameters that are none of the space any more can't be suggested again, and the study can't hold them."""
        trial = None
        try:
            params = self._space.encode(known.parameters)
            frozen = self._frozen(known, params)
        except ValueError:
            pass  # of another space: it counts, and is left out of what is learnt from
        else:
            self._tried.take(known.parameters)
            trial = self._add(known, frozen, held.pop(canonical(params), None))
        self._watch(trial)

    def _add(self, known: Known, frozen: FrozenTrial, held: FrozenTrial | None) -> Trial | None:
        """Return a trial under way; the one that a persistent study held in its stead is given up."""
        if held is not None and held.state == TrialState.RUNNING:
            self.study.tell(held.number, state=TrialState.FAIL)
        if known.status is None:
            self.study.enqueue_trial(frozen.params)
            return self.study.ask(self._space.distributions)
        if held is None or not held.state.is_finished():
            self.study.add_trial(frozen)
        return None

    def _frozen(self, known: Known, params: dict[str, Any]) -> FrozenTrial:
        state, values = _outcome(known.status or "pruned", known.values)
        reports = {} if len(self._objective_metric) > 1 else dict(known.reports)
        if state == TrialState.PRUNED and reports and not math.isnan(last := reports[max(reports)]):
            values = [last]
        return optuna.trial.create_trial(
            state=state,
            values=values,
            params=params,
            distributions=self._space.distributions,
            intermediate_values=reports,
        )


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Let Optuna say nothing of what the search is about to say itself, unless somebody has set how much it says."""
    before = optuna.logging.get_verbosity()
    if before == optuna.logging.INFO:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _tell_of_ignored(arguments: Mapping[str, Any]) -> None:
    """Say what nobody knows: ClearML's scripts have such arguments, and run."""
    if arguments:
        LOGGER.warning(
            "neither a search nor Optuna's create_study knows %s: ignored.",
            ", ".join(sorted(arguments)),
            extra={"action": "search_arguments_ignored", "arguments": sorted(arguments)},
        )


def _outcome(status: str, values: Sequence[float] | None) -> tuple[TrialState, Sequence[float] | None]:
    if status == "failed":
        return TrialState.FAIL, None
    if status == "pruned" or values is None or any(math.isnan(value) for value in values):
        return TrialState.PRUNED, None
    return TrialState.COMPLETE, list(values)
