"""What a step of a pipeline copies: arguments, and the artifact of another step."""

import argparse

from clearml import Task

parser = argparse.ArgumentParser()
parser.add_argument("--total_of", default="")
parser.add_argument("--text", default="")
task = Task.init(project_name="examples", task_name="base")
args = parser.parse_args()
print("copied step", args.text, Task.get_task(task_id=args.total_of).artifacts["total"].get())
