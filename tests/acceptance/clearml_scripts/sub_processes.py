"""Child processes of every kind report to their parent's task, and none of them ends it."""

import multiprocessing
import subprocess
import sys

from clearml import Logger, Task

CHILD = """
from clearml import Task
task = Task.init("other", "names do not matter here")
task.get_logger().report_single_value("subprocess", 3)
print("child", task.id)
"""


def report(name, value):
    assert Task.current_task() is not None
    Logger.current_logger().report_single_value(name, value)
    print("spoken in", name)
    for iteration in range(5):
        Task.current_task().get_logger().report_scalar("children", name, value=value, iteration=iteration)


def initialise(name, value):
    task = Task.init("examples", "sub processes")
    task.get_logger().report_single_value(name, value)


def run(method, name, value, target=report):
    process = multiprocessing.get_context(method).Process(target=target, args=(name, value))
    process.start()
    process.join()
    assert process.exitcode == 0


def main():
    task = Task.init("examples", "sub processes")
    run("fork", "fork", 1)
    run("spawn", "spawn", 2)
    run("spawn", "spawn with init", 2.5, target=initialise)
    out = subprocess.run([sys.executable, "-c", CHILD], check=True, capture_output=True, text=True, timeout=120).stdout
    assert task.id in out
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.starmap(report, [("pool 1", 4), ("pool 2", 5)])
    task.get_logger().report_single_value("parent", 0)
    assert task.get_status() == "in_progress"


if __name__ == "__main__":
    main()
