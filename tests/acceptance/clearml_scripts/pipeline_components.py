"""A pipeline of decorated functions, run on this machine."""

from clearml import TaskTypes
from clearml.automation.controller import PipelineController, PipelineDecorator


def squared(value):
    return value * value


@PipelineDecorator.component(return_values=["train, test"], cache=True, task_type=TaskTypes.data_processing)
def split(count: int):
    numbers = list(range(count))
    return numbers[:-1], numbers[-1:]


@PipelineDecorator.component(return_values=["model"], helper_functions=[squared])
def fit(train, offset=0):
    PipelineController.get_logger().report_scalar("fit", f"offset {offset}", value=offset, iteration=0)
    PipelineDecorator.upload_artifact(f"seen {offset}", {"train": train})
    return {"weight": squared(sum(train)) + offset}


@PipelineDecorator.component(return_values=["score"], parents=["fit"])
def score(model, test):
    return fit(test)["weight"] - model["weight"]


@PipelineDecorator.pipeline(name="components", project="examples", version="0.1", return_value="best")
def pipeline(count, mock_parameter="mock"):
    train, test = split(count)
    models = [fit(train, offset) for offset in (0, 1)]
    scores = [score(model=model, test=test) for model in models]
    print("scores", [int(value) for value in scores], mock_parameter)
    return max(scores)


if __name__ == "__main__":
    PipelineDecorator.run_locally()
    pipeline(count=4)
    print("process completed")
