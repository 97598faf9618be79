"""Queues from a task's point of view, and going on elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tasktape import Task
from tasktape.errors import InvalidArgumentError, InvalidTransitionError, UnknownQueueError, UnknownTaskError
from tasktape.events.queue_events import QueueCreated
from tasktape.events.settings import load_settings
from tasktape.producers.session import current_session
from tasktape.projections import open_queries
from tasktape.projections.rows import EventRow
from tasktape.projections.work_rows import EntryRow

Begin = Callable[..., Task]
AsAgent = Callable[[Task], Task]
Events = Callable[[Task], list[EventRow]]


def entries(queue: str = "default") -> list[EntryRow]:
    current_session().outbox.flush()
    with open_queries(load_settings()) as queries:
        return queries.entries(queue)


def create_queue(name: str) -> None:
    session = current_session()
    session.emit(QueueCreated(meta=session.stamp(), queue=name))


def test_an_entry_carries_the_whole_task(events_of: Events) -> None:
    task = Task.create("project", "draft", docker="python:3.11")
    task.set_parameter("lr", 0.1)
    answer = Task.enqueue(task, queue_name="default")
    assert answer["fields"]["status"] == "queued"
    assert task.status == "queued"
    (entry,) = entries()
    assert (entry.task, entry.run, entry.state) == (task.id, 1, "waiting")
    enqueued = next(event for event in events_of(task) if event.type == "EntryEnqueued")
    assert "python:3.11" in enqueued.body
    assert "General/lr" in enqueued.body
    assert task.get_executed_queue() == "default"


def test_the_queues_every_server_has_are_made_on_first_use() -> None:
    for queue in ("default", "services"):
        assert Task.get_num_enqueued_tasks(queue) == 0
        Task.enqueue(Task.create("project", "draft").id, queue_id=queue)
        assert Task.get_num_enqueued_tasks(queue_id=queue) == 1


def test_an_unknown_queue_is_refused_with_the_names_there_are() -> None:
    create_queue("gpu")
    task = Task.create("project", "draft")
    with pytest.raises(UnknownQueueError, match=r"'default', 'gpu', 'services'.*tasktape queues create missing"):
        Task.enqueue(task, queue_name="missing")
    with pytest.raises(ValueError, match="missing"):
        Task.get_num_enqueued_tasks("missing")
    assert task.status == "created"
    Task.enqueue(task, queue_name="gpu")
    assert [entry.task for entry in entries("gpu")] == [task.id]


@pytest.mark.parametrize(("name", "queue_id"), [(None, None), ("a", "b")])
def test_one_queue_is_to_be_named(name: str | None, queue_id: str | None) -> None:
    with pytest.raises(InvalidArgumentError, match="name the queue"):
        Task.enqueue(Task.create("project", "draft"), name, queue_id)


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(UnknownTaskError, match="no such id"):
        Task.enqueue("no such id", "default")
    with pytest.raises(InvalidArgumentError, match="int"):
        Task.enqueue(5, "default")


def test_a_task_waits_once() -> None:
    task = Task.create("project", "draft")
    Task.enqueue(task, "default")
    with pytest.raises(InvalidTransitionError, match="is queued"):
        Task.enqueue(task, "services")
    Task.enqueue(task, "services", force=True)
    assert (Task.get_num_enqueued_tasks("default"), Task.get_num_enqueued_tasks("services")) == (0, 1)
    assert task.status == "queued"


def test_a_finished_task_is_enqueued_by_force_alone(begin: Begin) -> None:
    task = begin()
    task.close()
    with pytest.raises(InvalidTransitionError, match="is completed"):
        Task.enqueue(task, "default")
    Task.enqueue(task, "default", force=True)
    assert entries()[0].run == 2


def test_a_stopped_task_is_enqueued_as_its_next_run(begin: Begin) -> None:
    task = begin()
    task.mark_stopped()
    task.close()
    Task.enqueue(task, "default")
    assert entries()[0].run == 2
    assert "development" not in Task.get_task(task.id).get_system_tags()


@pytest.mark.parametrize("leave", [Task.dequeue, lambda task: task.mark_stop_request()], ids=["dequeue", "abort"])
def test_a_waiting_task_can_leave_its_queue(events_of: Events, leave: Callable[[Task], object]) -> None:
    task = Task.create("project", "draft")
    Task.enqueue(task, "default")
    leave(task)
    assert task.status == "created"
    assert Task.get_num_enqueued_tasks("default") == 0
    assert {"EntryDequeued", "EntryLeft"} <= {event.type for event in events_of(task)}
    Task.enqueue(task, "default")
    assert [entry.run for entry in entries()] == [2]


def test_a_task_that_waits_nowhere_cannot_leave() -> None:
    with pytest.raises(ValueError, match="waits in no queue"):
        Task.dequeue(Task.create("project", "draft"))


def test_a_script_goes_on_elsewhere(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    task = begin()
    task.connect({"lr": 0.1})
    with pytest.raises(SystemExit) as left:
        task.execute_remotely("default")
    assert left.value.code == 0
    assert Task.current_task() is None
    assert task.status == "queued"
    assert entries()[0].run == 2
    assert "goes on at an agent" in caplog.text


def test_a_copy_goes_on_elsewhere_while_the_script_does_too(begin: Begin) -> None:
    task = begin()
    copy = task.execute_remotely("default", clone=True, exit_process=False)
    assert copy is not None
    assert (task.status, copy.status) == ("in_progress", "queued")
    assert copy.id != task.id


def test_without_a_queue_the_script_becomes_a_draft(begin: Begin) -> None:
    task = begin()
    with pytest.raises(SystemExit):
        task.execute_remotely()
    assert task.status == "created"
    assert task.get_system_tags() == []


def test_an_unknown_queue_leaves_the_script_running(begin: Begin) -> None:
    task = begin()
    with pytest.raises(UnknownQueueError):
        task.execute_remotely("missing")
    assert task.status == "in_progress"
    with pytest.raises(InvalidArgumentError, match="has to end"):
        task.execute_remotely("default", exit_process=False)


def test_another_task_is_only_enqueued(begin: Begin) -> None:
    begin()
    draft = Task.create("project", "draft")
    with pytest.raises(InvalidArgumentError, match="name the queue"):
        draft.execute_remotely()
    draft.execute_remotely("default")
    assert draft.status == "queued"


def test_at_an_agent_a_script_just_goes_on(as_agent: AsAgent) -> None:
    task = as_agent(Task.create("project", "draft"))
    assert task.execute_remotely("default") is None
    assert not Task.running_locally()
    assert Task.current_task() is task


def test_an_agents_run_is_started_and_completed_by_the_agent(as_agent: AsAgent, events_of: Events) -> None:
    task = as_agent(Task.create("project", "draft"))
    assert (task.name, task.status) == ("draft", "in_progress")
    task.close()
    assert {event.type for event in events_of(task)} == {"TaskCreated"}


def test_a_failure_at_an_agent_is_said_with_its_traceback(as_agent: AsAgent, events_of: Events) -> None:
    with pytest.raises(ZeroDivisionError), as_agent(Task.create("project", "draft")) as task:
        _ = 1 / 0
    failed = next(event for event in events_of(task) if event.type == "RunFailed")
    assert "ZeroDivisionError" in failed.body


def test_a_simulated_agent_run_is_a_run_of_its_own(begin: Begin) -> None:
    draft = Task.create("project", "draft")
    draft.set_parameter("lr", 0.5)
    Task.debug_simulate_remote_task(draft.id)
    task = begin("ignored", "ignored")
    assert (task.id, task.run, Task.running_locally()) == (draft.id, 1, False)
    assert task.connect({"lr": 0.1})["lr"] == 0.5
    task.close()
    assert task.status == "completed"


def work(**arguments: Any) -> None:
    raise AssertionError(f"called with {arguments}")


def test_a_function_becomes_a_task(begin: Begin) -> None:
    task = begin()
    made = task.create_function_task(work, epochs=3, data=object())
    assert made is not None
    assert (made.name, made.parent) == ("task <work>", task.id)
    assert "func" in made.get_system_tags()
    assert made.get_parameters(cast=True) == {"Function/epochs": 3, "Function/__func_readonly__": "work"}
    with pytest.raises(InvalidArgumentError, match="already"):
        task.create_function_task(work)
    with pytest.raises(InvalidArgumentError, match="can't be called"):
        task.create_function_task(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="current task"):
        made.create_function_task(work)


def test_a_function_task_calls_its_function_and_ends(begin: Begin, as_agent: AsAgent) -> None:
    maker = begin()
    made = maker.create_function_task(work, epochs=3)
    assert made is not None
    made.set_parameter("Function/epochs", 5)
    maker.close()
    task = as_agent(made)
    assert task.create_function_task(print, func_name="another") is None
    called: list[dict[str, Any]] = []
    with pytest.raises(SystemExit):
        task.create_function_task(lambda **arguments: called.append(arguments), func_name="work", epochs=3, data=1)
    assert called == [{"epochs": 5, "data": 1}]
