"""Third step of `pipeline_from_tasks.py`: train a classifier on the second step's artifacts."""

import joblib
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tasktape import Task

task = Task.init(project_name="examples", task_name="pipeline step 3: train")
options = task.connect({"split_task": "", "strength": 1.0})

if not options["split_task"]:
    raise SystemExit("set General/split_task to the id of a task that has the artifacts 'train' and 'test'")
parts = Task.get_task(options["split_task"]).artifacts
train, test = parts["train"].get(), parts["test"].get()
classifier = make_pipeline(StandardScaler(), LogisticRegression(C=options["strength"], max_iter=500))
classifier.fit(train.drop(columns="target"), train["target"])
accuracy = classifier.score(test.drop(columns="target"), test["target"])
task.get_logger().report_scalar("accuracy", "test", accuracy, 0)
joblib.dump(classifier, "classifier.joblib")
print(f"{accuracy:.1%} of the test set is classified right")
