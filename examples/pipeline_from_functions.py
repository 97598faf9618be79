"""A pipeline from functions: each step calls one, in a task of its own, and passes on what it returns.

Run it with `python examples/pipeline_from_functions.py` while an agent serves the queue `default`.
"""

from tasktape.automation import PipelineController


def load(kind):
    """One of scikit-learn's bundled data sets as a table."""
    from sklearn import datasets

    return getattr(datasets, f"load_{kind}")(as_frame=True).frame


def split(frame, test_size=0.25, seed=7):
    """Two tables: to learn from and to test with."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(frame, test_size=test_size, random_state=seed, stratify=frame["target"])
    return train, test


def train(data, trees=50):
    """A forest that has learnt from the data."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(trees, random_state=7).fit(data.drop(columns="target"), data["target"])


def judge(model, data):
    """Share of the data that the model classifies right."""
    from tasktape import Task

    accuracy = model.score(data.drop(columns="target"), data["target"])
    Task.current_task().get_logger().report_single_value("accuracy", accuracy)
    print(f"{accuracy:.1%} of the test set is classified right")
    return accuracy


def main() -> None:
    """Define the pipeline and run it: the controller here, the steps at an agent."""
    pipeline = PipelineController(name="from functions", project="examples", version="1.0.0")
    pipeline.add_parameter("data", "wine", "wine, iris or breast_cancer")
    pipeline.add_parameter("trees", 50, "trees of the forest")
    pipeline.set_default_execution_queue("default")
    pipeline.add_function_step("load", load, {"kind": "${pipeline.data}"}, ["frame"], cache_executed_step=True)
    pipeline.add_function_step("split", split, {"frame": "${load.frame}"}, ["train", "test"], cache_executed_step=True)
    pipeline.add_function_step("train", train, {"data": "${split.train}", "trees": "${pipeline.trees}"}, ["model"])
    pipeline.add_function_step("judge", judge, {"model": "${train.model}", "data": "${split.test}"}, ["accuracy"])
    pipeline.start_locally()
    print("all steps done" if pipeline.is_successful() else "a step has failed")


if __name__ == "__main__":
    main()
