"""A script that goes on elsewhere: it enqueues itself and ends; at an agent it trains with the task's parameters."""

import argparse

from clearml import Task

task = Task.init(project_name="examples", task_name="remote", output_uri=None)
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=2)
args = parser.parse_args()
params = task.connect({"lr": 0.1, "optimizer": "adam", "decay": None, "milestones": [1, 2]})
task.execute_remotely(queue_name="default", exit_process=True)

logger = task.get_logger()
for epoch in range(args.epochs):
    logger.report_scalar("loss", "train", value=params["lr"] * epoch, iteration=epoch)
logger.report_single_value("lr", params["lr"])
print("remote parameters", params, args)
