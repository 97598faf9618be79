"""Search for better parameters of `digits.py`: Optuna proposes, agents train, what learns badly is given up.

Run it with `python examples/search_digits.py` while agents serve the queue `default`.
"""

import argparse
from pathlib import Path

import optuna

from tasktape import Task
from tasktape.automation import (
    HyperParameterOptimizer,
    LogUniformParameterRange,
    UniformIntegerParameterRange,
)
from tasktape.automation.optuna import OptimizerOptuna

SCRIPT = Path(__file__).resolve().parent / "digits.py"


def parse_arguments() -> argparse.Namespace:
    """How long to search, and how to repeat a search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--seed", type=int, help="have Optuna propose the same again")
    return parser.parse_args()


def base_task() -> str:
    """Id of the task that trials copy: of this name, or a new draft of the script."""
    known = Task.get_task(project_name="examples", task_name="digits")
    task = known or Task.create("examples", "digits", script=str(SCRIPT), force_single_script_file=True)
    return task.id


def tell(
    task_id: str, accuracy: float | None, epoch: int | None, parameters: dict[str, float], best: str | None
) -> None:
    """Say what a trial has come to."""
    told = ", ".join(f"{name} {value:.4g}" for name, value in parameters.items())
    result = "nothing" if accuracy is None else f"{accuracy:.1%} at epoch {epoch}"
    print(f"{'best so far: ' if task_id == best else ''}{result} with {told}")


def main() -> None:
    """Run the search here, and its trials at agents."""
    Task.init(project_name="examples", task_name="search digits", task_type=Task.TaskTypes.optimizer)
    options = parse_arguments()
    search = HyperParameterOptimizer(
        base_task_id=base_task(),
        hyper_parameters=[
            LogUniformParameterRange("Args/lr", min_value=-4, max_value=-1),
            UniformIntegerParameterRange("Args/hidden", min_value=8, max_value=128, step_size=8),
        ],
        objective_metric_title="accuracy",
        objective_metric_series="validation",
        objective_metric_sign="max",
        optimizer_class=OptimizerOptuna,
        optuna_sampler=optuna.samplers.TPESampler(seed=options.seed),
        max_number_of_concurrent_tasks=4,
        execution_queue="default",
        total_max_jobs=options.trials,
        min_iteration_per_job=5,
        max_iteration_per_job=20,
    )
    search.start(job_complete_callback=tell)
    search.wait()
    best = search.get_top_experiments_details(top_k=1)[0]
    print(f"best of all: {best['hyper_parameters']}, task {best['task_id']}")
    search.stop()


if __name__ == "__main__":
    main()
