"""Tasks made, cloned, edited, enqueued, taken out again, searched, exported and deleted by hand."""

from pathlib import Path

from clearml import Task


def main():
    Path("train.py").write_text("print('trains')\n")
    template = Task.create("orchestration", "template", script="train.py", packages=["numpy"], docker="python:3.11")
    template.set_parameters({"General/lr": 0.1, "General/layers": [64, 32], "General/pretrained": None})
    assert template.get_status() == "created"

    clones = []
    for number in range(3):
        clone = Task.clone(source_task=template, name=f"clone {number}", comment="a copy", parent=template.id)
        clone.set_parameter("General/lr", 0.1 * (number + 1))
        clone.set_tags(["clone", "even" if number % 2 == 0 else "odd"])
        clones.append(clone)
        Task.enqueue(clone, queue_name="default")
    assert clones[0].get_status() == "queued"
    assert Task.get_num_enqueued_tasks(queue_name="default") == 3
    Task.dequeue(clones[1])
    assert clones[1].get_status() == "created"
    assert Task.get_num_enqueued_tasks(queue_name="default") == 2

    try:
        Task.enqueue(template, queue_name="no such queue")
    except ValueError as error:
        print("refused:", error)

    found = Task.get_tasks(project_name="orchestration", task_name="clone", tags=["even"])
    assert {task.id for task in found} == {clones[0].id, clones[2].id}
    assert Task.query_tasks(
        project_name="orchestration", task_filter={"status": ["created"], "order_by": ["name"]}
    ) == [
        clones[1].id,
        template.id,
    ]
    assert Task.get_task(project_name="orchestration", task_name="clone 1").id == clones[1].id
    assert Task.get_task(project_name="orchestration", task_name="nothing") is None

    copy = Task.import_task(clones[0].export_task() | {"name": "imported"})
    assert copy.get_parameters(cast=True) == clones[0].get_parameters(cast=True)
    assert copy.id != clones[0].id

    manual = Task.create("orchestration", "by hand")
    manual.mark_started()
    manual.get_logger().report_scalar("loss", "train", value=1.5, iteration=3)
    manual.mark_completed()
    manual.wait_for_status(check_interval_sec=5)
    manual.publish()
    assert manual.get_status() == "published"

    failing = Task.create("orchestration", "fails")
    failing.mark_started()
    failing.mark_failed(status_reason="no data", status_message="the bucket is empty")
    failing.reset()
    assert failing.status == "created"
    failing.rename("renamed")
    failing.move_to_project(new_project_name="moved")
    failing.set_archived(True)
    assert copy.delete()


if __name__ == "__main__":
    main()
