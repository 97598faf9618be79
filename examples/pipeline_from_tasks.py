"""A pipeline from tasks: load, split, then train three times side by side, each step a copy of a task.

Run it with `python examples/pipeline_from_tasks.py` while an agent serves the queue `default`.
"""

from pathlib import Path

from tasktape import Task
from tasktape.automation import PipelineController

STEPS = Path(__file__).resolve().parent / "steps"


def base_task(name: str, script: str) -> str:
    """Id of the task that steps copy: of this name, or a new draft of the script."""
    known = Task.get_task(project_name="examples", task_name=name)
    task = known or Task.create("examples", name, script=str(STEPS / script), force_single_script_file=True)
    return task.id


def accuracy_of(pipeline: PipelineController, node: PipelineController.Node) -> None:
    """Say what a training has come to."""
    scalars = node.job.task.get_last_scalar_metrics() if node.job else {}
    print(f"{node.name}: accuracy {scalars['accuracy']['test']['last']:.1%}")


def main() -> None:
    """Define the pipeline and run it: the controller here, the steps at an agent."""
    load = base_task("pipeline step 1: load", "load.py")
    split = base_task("pipeline step 2: split", "split.py")
    train = base_task("pipeline step 3: train", "train.py")

    pipeline = PipelineController(name="from tasks", project="examples", version="1.0.0")
    pipeline.add_parameter("test_size", 0.25, "share of the rows to test with")
    pipeline.set_default_execution_queue("default")
    pipeline.add_step("load", base_task_id=load, stage="data")
    pipeline.add_step(
        "split",
        base_task_id=split,
        parameter_override={"General/data_task": "${load.id}", "General/test_size": "${pipeline.test_size}"},
        stage="data",
    )
    for strength in (0.01, 1.0, 100.0):
        pipeline.add_step(
            f"train {strength:g}",
            base_task_id=train,
            parameter_override={"General/split_task": "${split.id}", "General/strength": strength},
            monitor_metrics=[(("accuracy", "test"), ("accuracy", f"strength {strength:g}"))],
            post_execute_callback=accuracy_of,
            stage="training",
        )
    pipeline.start_locally()
    print("all steps done" if pipeline.is_successful() else "a step has failed")


if __name__ == "__main__":
    main()
