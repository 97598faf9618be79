"""Second step of `pipeline_from_tasks.py`: split the data that the first step's task keeps."""

from sklearn.model_selection import train_test_split

from tasktape import Task

task = Task.init(project_name="examples", task_name="pipeline step 2: split")
options = task.connect({"data_task": "", "test_size": 0.25, "seed": 7})

if not options["data_task"]:
    raise SystemExit("set General/data_task to the id of a task that has the artifact 'data'")
frame = Task.get_task(options["data_task"]).artifacts["data"].get()
train, test = train_test_split(frame, test_size=options["test_size"], random_state=options["seed"])
task.upload_artifact("train", train)
task.upload_artifact("test", test)
print(f"{len(train)} rows to learn from, {len(test)} to test with")
