"""States of a task: what may follow what, how a run ends, and what others asked for meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasktape import Task
from tasktape.errors import InvalidArgumentError, InvalidTransitionError, LogUnavailableError, UnknownTaskError
from tasktape.events.parts import Artifact
from tasktape.events.queue_events import AbortRequested
from tasktape.events.task_events import ArtifactUploaded
from tasktape.events.wire import read_event
from tasktape.producers import control, task_waiting
from tasktape.producers.last_tasks import Horizon
from tasktape.producers.session import current_session
from tasktape.projections.rows import EventRow

Begin = Callable[..., Task]
Events = Callable[[Task], list[EventRow]]


def rejected(events: list[EventRow]) -> list[tuple[str, str]]:
    return [(event.type, event.reason) for event in events if event.verdict != "accepted"]


def finished(begin: Begin, end: Callable[[Task], object] = Task.close) -> Task:
    task = begin(reuse_last_task_id=False)
    end(task)
    task.close()
    return task


def test_closing_completes_the_run(begin: Begin) -> None:
    task = finished(begin)
    assert task.status == "completed"
    assert task.data.ended_at is not None
    task.close()


def test_the_first_final_state_stays(begin: Begin, events_of: Events) -> None:
    task = begin()
    task.mark_failed(status_reason="no data", status_message="the bucket is empty")
    task.mark_completed()
    task.close()
    assert (task.status, task.data.status_reason, task.get_status_message()) == (
        "failed",
        "no data",
        "the bucket is empty",
    )
    assert [event.type for event in events_of(task)].count("RunCompleted") == 0


def test_a_context_ends_with_what_happened_in_it(begin: Begin) -> None:
    with begin(name="good") as good:
        pass
    with pytest.raises(ZeroDivisionError), begin(name="bad") as bad:
        _ = 1 / 0
    assert (good.status, bad.status) == ("completed", "failed")
    assert bad.data.status_reason == "ZeroDivisionError"
    assert Task.current_task() is None


def test_a_task_may_be_run_by_hand(events_of: Events) -> None:
    task = Task.create("project", "manual")
    assert task.status == "created"
    task.mark_started()
    task.mark_started()
    assert (task.status, task.run) == ("in_progress", 1)
    task.get_logger().report_single_value("score", 1.0)
    task.mark_completed(status_message="done")
    assert task.status == "completed"
    assert task.get_reported_single_values() == {"score": 1.0}
    task.mark_started()
    task.mark_stopped(status_message="enough")
    assert (task.status, task.run) == ("stopped", 2)
    assert task.get_reported_single_values() == {"score": 1.0}
    assert rejected(events_of(task)) == []


ENDED: dict[str, Callable[[Task], object]] = {
    "completed": Task.close,
    "failed": lambda task: task.mark_failed(),
    "stopped": lambda task: task.mark_stopped(),
}
ALLOWED = {
    "completed": {"mark_started": True, "mark_completed": False, "mark_failed": False, "publish": True, "reset": True},
    "failed": {"mark_started": False, "mark_completed": False, "mark_failed": False, "publish": True, "reset": True},
    "stopped": {"mark_started": True, "mark_completed": True, "mark_failed": True, "publish": True, "reset": True},
}
CHANGES: dict[str, Callable[[Task], object]] = {
    "mark_started": lambda task: task.mark_started(),
    "mark_completed": lambda task: task.mark_completed(ignore_errors=False),
    "mark_failed": lambda task: task.mark_failed(ignore_errors=False),
    "publish": lambda task: task.publish(ignore_errors=False),
    "reset": lambda task: task.reset(),
}


@pytest.mark.parametrize("state", ENDED)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_follows_clearmls_table(begin: Begin, events_of: Events, state: str, change: str) -> None:
    task = finished(begin, ENDED[state])
    if ALLOWED[state][change]:
        CHANGES[change](task)
        assert task.status != state
    else:
        with pytest.raises(InvalidTransitionError, match=f"is {state} and can't be"):
            CHANGES[change](task)
        assert task.status == state
    assert rejected(events_of(task)) == []


def test_errors_can_be_ignored(begin: Begin, caplog: pytest.LogCaptureFixture) -> None:
    task = finished(begin)
    task.mark_failed()
    assert "is completed and can't be failed" in caplog.text
    assert task.status == "completed"


def test_states_change_by_their_former_names_too(caplog: pytest.LogCaptureFixture) -> None:
    task = Task.create("project", "draft")
    task.started()
    task.stop_request(status_message="please")
    task.stopped(status_reason="enough")
    assert (task.status, task.get_status_message()) == ("stopped", "enough")
    task.started()
    task.completed()
    assert task.status == "completed"
    task.stop_request()
    assert "can't be" in caplog.text


def test_force_overrides_the_table(begin: Begin, events_of: Events) -> None:
    task = finished(begin)
    task.mark_failed(force=True, status_reason="found out later")
    assert (task.status, task.data.status_reason) == ("failed", "found out later")
    assert rejected(events_of(task)) == []


def test_reset_hides_what_was_reported(begin: Begin) -> None:
    task = begin()
    task.connect({"lr": 0.1})
    task.get_logger().report_single_value("score", 1.0)
    task.close()
    task.reset()
    assert (task.status, task.get_reported_single_values()) == ("created", {})
    assert Task.get_task(task.id).get_parameters() == {"General/lr": "0.1"}
    task.reset(set_started_on_success=True)
    assert (task.status, task.run) == ("in_progress", 2)


def test_a_running_task_is_reset_by_force_alone() -> None:
    task = Task.create("project", "running")
    task.mark_started()
    with pytest.raises(InvalidTransitionError, match="in_progress"):
        task.reset()
    task.reset(force=True)
    assert task.status == "created"


def test_publishing_makes_read_only(begin: Begin) -> None:
    task = finished(begin)
    task.publish()
    assert task.status == "published"
    with pytest.raises(InvalidTransitionError, match="published"):
        Task.get_task(task.id).set_parameter("a", 1)
    task.set_comment("still")
    assert Task.get_task(task.id).comment == "still"


def test_a_run_can_be_published_as_soon_as_it_is_completed(begin: Begin) -> None:
    task = begin()
    task.publish_on_completion()
    task.close()
    assert task.status == "published"
    other = begin(name="other")
    other.publish_on_completion()
    other.mark_failed()
    other.close()
    assert other.status == "failed"


def test_archived_tasks_are_out_of_sight(begin: Begin) -> None:
    task = finished(begin)
    task.set_archived(True)
    assert task.get_archived()
    assert Task.get_tasks(project_name="project", allow_archived=False) == []
    task.set_archived(False)
    assert not task.get_archived()


def test_a_deleted_task_is_gone_with_its_files(begin: Begin, home: Path) -> None:
    task, other = begin(), Task.create("project", "other")
    session = current_session()
    mine, shared = (session.blobs.put_bytes(data, name="a.txt") for data in (b"mine", b"shared"))
    for owner, ref in ((task, mine), (task, shared), (other, shared)):
        artifact = Artifact(name=ref.sha256, type="file", uri=ref.uri, size=ref.size, sha256=ref.sha256)
        session.emit(ArtifactUploaded(meta=session.stamp(), task=owner.id, run=owner.run, artifact=artifact))
    task.close()
    asked: list[str] = []

    def agree(kind: str, url: str) -> bool:
        asked.append(f"{kind} {url}")
        return True

    assert task.delete(callback=agree)
    assert asked == [f"artifact {mine.uri}"]
    assert (session.blobs.exists(mine), session.blobs.exists(shared)) == (False, True)
    with pytest.raises(UnknownTaskError):
        Task.get_task(task.id)
    assert home.exists()


def test_files_stay_where_that_is_wanted(begin: Begin) -> None:
    task = begin()
    session = current_session()
    ref = session.blobs.put_bytes(b"mine", name="a.txt")
    artifact = Artifact(name="a", type="file", uri=ref.uri, size=ref.size, sha256=ref.sha256)
    session.emit(ArtifactUploaded(meta=session.stamp(), task=task.id, run=task.run, artifact=artifact))
    task.close()
    assert task.delete(delete_artifacts_and_models=False)
    assert session.blobs.exists(ref)


def test_waiting_ends_with_the_change(begin: Begin) -> None:
    task = begin()
    waiting = Task(task.id)
    ended = threading.Event()

    def wait() -> None:
        waiting.wait_for_status(check_interval_sec=600)
        ended.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    task.close()
    assert ended.wait(30)


def test_waiting_for_another_end_raises(begin: Begin) -> None:
    task = finished(begin, lambda task: task.mark_failed())
    with pytest.raises(RuntimeError, match="has status failed"):
        Task.get_task(task.id).wait_for_status()
    Task.get_task(task.id).wait_for_status(status=["failed"], raise_on_status=None)


def test_a_published_task_counts_as_completed(begin: Begin) -> None:
    task = finished(begin)
    task.publish()
    task.wait_for_status()


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the process would be interrupted."""
    asked = threading.Event()
    monkeypatch.setattr(task_waiting, "interrupt", lambda *_: asked.set())
    monkeypatch.setattr(control, "POLL_SECONDS", 0.02)
    return asked


def test_an_abort_request_interrupts_the_script(begin: Begin, interrupted: threading.Event) -> None:
    task = begin()
    called = threading.Event()
    task.register_abort_callback(called.set)
    Task(task.id).mark_stop_request(status_message="too slow")
    assert interrupted.wait(30)
    assert called.is_set()
    task.close()
    assert (task.status, task.data.status_reason, task.get_status_message()) == ("stopped", "aborted", "too slow")


def test_an_abort_is_heard_that_was_asked_for_before_anybody_listened(
    begin: Begin, interrupted: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = control.AbortWatcher.start

    def start_late(watcher: control.AbortWatcher) -> None:
        Task(watcher._task).mark_stop_request()
        listen(watcher)

    monkeypatch.setattr(control.AbortWatcher, "start", start_late)
    begin().close()
    begin()
    assert interrupted.wait(30)


def test_an_abort_is_heard_that_was_asked_for_while_the_log_did_not_answer(
    begin: Begin, interrupted: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = threading.Event()
    monkeypatch.setattr(control, "RETRY_SECONDS", 0.01)

    def fail_once(*arguments: Any, **options: Any) -> Any:
        if not away.is_set():
            away.set()
            raise LogUnavailableError("kafka://away", "gone")
        return read_event(*arguments, **options)

    monkeypatch.setattr("tasktape.producers.control.read_event", fail_once)
    Task(begin().id).mark_stop_request()
    assert interrupted.wait(30)
    assert away.is_set()


def test_a_request_to_whatever_run_is_not_for_one_that_began_later(
    begin: Begin, interrupted: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    monkeypatch.setattr(control.AbortWatcher, "start", lambda _: None)
    session, task = current_session(), begin()
    session.emit(AbortRequested(meta=session.stamp(), task=task.id, run=0, reason="the run before"))
    horizon = Horizon(session.settings)
    watcher = control.AbortWatcher(session, task.id, 1, heard.append, horizon)
    for reason, run in (("whatever runs", 0), ("this run", 1)):
        session.emit(AbortRequested(meta=session.stamp(), task=task.id, run=run, reason=reason))
    watcher._follow()
    assert heard == ["whatever runs"]
    assert not interrupted.is_set()


def test_a_request_to_another_run_or_task_is_not_ours(begin: Begin, interrupted: threading.Event) -> None:
    task = begin()
    called = threading.Event()
    task.register_abort_callback(called.set)
    other = Task.create("project", "other")
    other.mark_started()
    other.mark_stop_request()
    task.register_abort_callback(None)
    Task(task.id).mark_stop_request()
    assert interrupted.wait(30)
    assert not called.is_set()


def test_an_abort_callback_has_a_time_limit(begin: Begin, interrupted: threading.Event) -> None:
    task = begin()
    never = threading.Event()
    task.register_abort_callback(lambda: never.wait(60), 0.01)
    Task(task.id).mark_stop_request()
    assert interrupted.wait(30)
    never.set()
    with pytest.raises(InvalidArgumentError, match="positive"):
        task.register_abort_callback(never.set, 0)
    with pytest.raises(InvalidArgumentError, match="process that runs"):
        Task(task.id).register_abort_callback(never.set)


def test_only_what_runs_can_be_asked_to_stop(begin: Begin) -> None:
    with pytest.raises(InvalidTransitionError, match="can't be stopped"):
        finished(begin).mark_stop_request()
