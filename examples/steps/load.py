"""First step of `pipeline_from_tasks.py`: load a data set that scikit-learn brings along."""

from sklearn.datasets import load_breast_cancer

from tasktape import Task

task = Task.init(project_name="examples", task_name="pipeline step 1: load")
frame = load_breast_cancer(as_frame=True).frame
task.upload_artifact("data", frame)
task.get_logger().report_table("data", "first rows", table_plot=frame.head())
print(f"{len(frame)} rows of {len(frame.columns)} columns")
