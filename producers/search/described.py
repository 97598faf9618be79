"""Makes the search that a task describes: for the task's own script, which agents run, and for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...events.base import new_task_id
from ...events.parts import Script, TaskSpec
from ...events.task_events import TaskCreated
from .. import lineage
from ..errors import InvalidArgumentError
from ..pipelines.preparing import read_base
from ..pipelines.telling import tell
from ..running import mark_dead_runs
from ..session import current_session
from ..spec import fit_spec
from ..text import shown
from ..types import TaskTypes
from .description import Description, described, held
from .optimizer import HyperParameterOptimizer
from .parameters import RandomSeed
from .strategies import GridSearch, RandomSearch, SearchStrategy

if TYPE_CHECKING:
    from ..task import Task
    from .execution import Callback

PROGRAM: Final = '''"""A search that `tasktape search run` has described: its task's parameters say what is tried."""

from tasktape.automation import run_search

run_search()
'''


def create(description: Description, project: str, name: str) -> str:
    """Make a draft of a task that describes a search, and whose script runs it; return the task's id."""
    session = current_session()
    spec = TaskSpec(
        project=project,
        name=name,
        task_type=TaskTypes.optimizer,
        user=session.actor,
        parent=description.base_task,
        script=Script(entry_point="search.py", source=PROGRAM),
        parameters=held(description),
    )
    task = new_task_id()
    session.emit(TaskCreated(meta=session.stamp(), task=task, spec=fit_spec(spec)))
    return task


def begin(task: str, **options: Any) -> tuple[Task, HyperParameterOptimizer]:
    """Begin the search that a task describes, or go on with it, as the next run of the task, in this process.

    `options` are those of `Task.init`. Trials that died on this machine with the controller before are told to be dead.
    """
    mark_dead_runs(current_session())
    lineage.simulate(task)
    return _started(None, **options)


def run_search() -> None:
    """Run the search that the task of this process describes, to its end, and tell of each trial."""
    _, search = _started(_tell)
    search.wait()


def prepare(description: Description) -> dict[str, Any]:
    """Return the arguments of `HyperParameterOptimizer` for a search.

    Raises `InvalidArgumentError` for the first thing that is wrong with it.
    """
    description.check()
    base = read_base(current_session(), description.base_task)
    types = {one.name: one.type for one in base.spec.parameters}
    goals = description.goals()
    return {
        "base_task_id": description.base_task,
        "hyper_parameters": description.ranges(types),
        "objective_metric_title": [goal.title for goal in goals],
        "objective_metric_series": [goal.series for goal in goals],
        "objective_metric_sign": [goal.order + ("_global" if goal.extremum else "") for goal in goals],
        "max_number_of_concurrent_tasks": description.concurrent,
        "execution_queue": description.queue,
        "optimization_time_limit": description.time_limit,
        "compute_time_limit": description.compute_time_limit,
        "time_limit_per_job": description.trial_time_limit,
        "min_iteration_per_job": description.min_iterations or None,
        "max_iteration_per_job": description.max_iterations or None,
        "total_max_jobs": description.trials or None,
        "spawn_project": description.project,
        "save_top_k_tasks_only": description.top,
        **_strategy(description),
    }


def _started(told: Callback | None, **options: Any) -> tuple[Task, HyperParameterOptimizer]:
    from ..task import Task  # noqa: PLC0415  the search is a part of what that offers

    task = Task.init(**options)
    description = described(task.get_parameters(cast=True))
    if description.seed is not None:
        RandomSeed.set_random_seed(description.seed)
    search = HyperParameterOptimizer(**prepare(description), auto_connect_task=task)
    (search.start if description.queue else search.start_locally)(told)
    return task, search


def _strategy(description: Description) -> dict[str, Any]:
    kinds: dict[str, type[SearchStrategy]] = {"random": RandomSearch, "grid": GridSearch}
    if description.strategy in kinds:
        return {"optimizer_class": kinds[description.strategy]}
    try:
        return _of_optuna(description)
    except ImportError as error:
        hint = "pip install 'tasktape[hpo]'"
        raise InvalidArgumentError(f"the strategy {description.strategy} needs Optuna ({error}): {hint}.") from error


def _of_optuna(description: Description) -> dict[str, Any]:
    from .bohb import OptimizerBOHB  # noqa: PLC0415  only where Optuna is there
    from .optuna_named import optuna_arguments  # noqa: PLC0415  the same
    from .optuna_strategy import OptimizerOptuna  # noqa: PLC0415  the same

    if description.strategy == "bohb":
        return {"optimizer_class": OptimizerBOHB}
    return {"optimizer_class": OptimizerOptuna, **optuna_arguments(description)}


def _tell(job: str, value: float | None, iteration: int | None, parameters: dict[str, Any], best: str | None) -> None:
    named = ", ".join(f"{name}={shown(held)}" for name, held in parameters.items())
    result = "nothing" if value is None else f"{value:.6g} at iteration {iteration}"
    tell(f"trial {job}: {result} with {named}{'; the best so far' if job == best else ''}")
