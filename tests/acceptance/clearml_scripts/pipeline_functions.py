"""A pipeline of functions and of a task, all steps as processes of this machine."""

from clearml import PipelineController, Task


def doubled(step):
    def wrapper(*args, **kwargs):
        return [2 * value for value in step(*args, **kwargs)]

    return wrapper


@doubled
def load(count, start: int = 0):
    from clearml import Logger

    Logger.current_logger().report_scalar("load", "count", value=count, iteration=0)
    return list(range(start, start + count))


def add(numbers, scale=1.0):
    return sum(numbers) * scale, len(numbers)


def flaky(marker):
    import pathlib

    if not pathlib.Path(marker).exists():
        pathlib.Path(marker).touch()
        raise RuntimeError("not yet")


def keep_going(a_pipeline, a_node, current_param_override):
    # type: (PipelineController, PipelineController.Node, dict) -> bool
    print("before", a_node.name, current_param_override.get("Args/text"))
    return a_node.name != "unwanted"


def tell(a_pipeline, a_node):
    # type: (PipelineController, PipelineController.Node) -> None
    print("after", a_node.name, a_node.job.is_completed(), a_node.executed == a_node.job.task_id())


if __name__ == "__main__":
    base = Task.create(project_name="examples", task_name="base", task_type=Task.TaskTypes.qc, script="step.py")
    pipe = PipelineController(project="examples", name="functions", version="1.1", add_pipeline_tags=True)
    pipe.set_default_execution_queue("default")
    pipe.add_parameter(name="count", description="how many", default=3)
    pipe.add_parameter(name="scale", default="0.5", param_type="float")
    pipe.add_function_step(
        name="load",
        function=load,
        function_kwargs=dict(count="${pipeline.count}"),
        function_return=["numbers"],
        monitor_metrics=[("load", "count")],
        post_execute_callback=tell,
        cache_executed_step=True,
        stage="data",
    )
    pipe.add_function_step(
        name="add",
        # no parents: the reference says it
        function=add,
        function_kwargs=dict(numbers="${load.numbers}", scale="${pipeline.scale}"),
        function_return=["total", "count"],
        monitor_artifacts=[("total", "sum of all")],
        task_type=Task.TaskTypes.data_processing,
    )
    pipe.add_step(
        name="copied",
        parents=["add"],
        base_task_project="examples",
        base_task_name="base",
        parameter_override={"Args/total_of": "${add.id}", "Args/text": "${pipeline.count} numbers"},
        pre_execute_callback=keep_going,
    )
    pipe.add_function_step(
        name="flaky", function=flaky, function_kwargs=dict(marker="flaky.txt"), retry_on_failure=1, parents=["load"]
    )
    pipe.add_function_step(name="unwanted", function=flaky, pre_execute_callback=keep_going, parents=["load"])
    pipe.start_locally(run_pipeline_steps_locally=True)
    print("successful", pipe.is_successful(), sorted(node.name for node in pipe.get_processed_nodes()))
