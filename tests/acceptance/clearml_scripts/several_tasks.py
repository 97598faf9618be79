"""Several tasks in one process, one after the other; and reports to a task that is not the current one."""

from clearml import Task


def main():
    for number in range(3):
        task = Task.init("examples", f"one of several {number}", reuse_last_task_id=False)
        assert Task.current_task().id == task.id
        assert Task.init("examples", f"one of several {number}").id == task.id
        task.get_logger().report_scalar("loss", "train", value=number, iteration=number)
        task.close()
    assert Task.current_task() is None

    with_error = Task.init("examples", "mismatch", reuse_last_task_id=False)
    try:
        Task.init("examples", "another name")
    except Exception as error:  # noqa: BLE001
        print("refused:", type(error).__name__)
    with_error.close()

    first = Task.get_task(project_name="examples", task_name="one of several 0")
    first.get_logger().report_single_value("added later", 7.0)
    first.add_tags(["visited"])

    reused = Task.init("examples", "again")
    kept = reused.id
    reused.connect({"round": 1})
    reused.close()
    again = Task.init("examples", "again")
    assert again.id == kept
    assert again.get_parameters() == {}
    again.connect({"round": 2})
    again.close()

    continued = Task.init("examples", "one of several 2", continue_last_task=True)
    continued.get_logger().report_scalar("loss", "train", value=100.0, iteration=0)
    continued.close()


if __name__ == "__main__":
    main()
