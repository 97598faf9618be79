"""Search for better parameters of `digits.py`: Optuna proposes, agents train, what learns badly is given up.

Run it with `python examples/search_digits.py` while agents serve the queue `default`.
"""

from pathlib import Path

from tasktape import Task
from tasktape.automation import (
    HyperParameterOptimizer,
    LogUniformParameterRange,
    UniformIntegerParameterRange,
)
from tasktape.automation.optuna import OptimizerOptuna

SCRIPT = Path(__file__).resolve().parent / "digits.py"


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
        max_number_of_concurrent_tasks=4,
        execution_queue="default",
        total_max_jobs=12,
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
