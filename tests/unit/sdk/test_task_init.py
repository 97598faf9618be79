"""`Task.init`: which task a process gets, and when an earlier one gives up its place or goes on."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasktape import Task
from tasktape.errors import InvalidArgumentError, InvalidTransitionError, UnknownTaskError, UsageError
from tasktape.events.log.port import Positions, partition_of
from tasktape.events.log.sqlite import SqliteLog
from tasktape.events.parts import Artifact
from tasktape.events.task_events import ArtifactUploaded
from tasktape.producers import lineage
from tasktape.producers.session import current_session, process
from tasktape.producers.task_editing import WATCHED
from tasktape.producers.task_init import Connections, InitMixin
from tasktape.projections.rows import EventRow

Begin = Callable[..., Task]
Events = Callable[[Task], list[EventRow]]


def types(events: list[EventRow]) -> list[str]:
    assert [event.reason for event in events if event.verdict != "accepted"] == []
    return [event.type for event in events]


def upload(task: Task) -> None:
    session = current_session()
    artifact = Artifact(name="a", type="dict", uri="file:///a", size=1, sha256="0")
    session.emit(ArtifactUploaded(meta=session.stamp(), task=task.id, run=task.run, artifact=artifact))


def test_a_new_task_is_created_and_its_first_run_started(begin: Begin, events_of: Events) -> None:
    task = begin(tags=["a"], task_type="testing")
    assert types(events_of(task))[:2] == ["TaskCreated", "RunStarted"]
    assert (task.run, task.status, task.get_tags(), task.task_type) == (1, "in_progress", ["a"], "testing")
    assert (task.name, task.get_project_name(), task.project) == ("task", "project", "project")
    assert len(task.id) == 32


def test_a_second_call_returns_the_same_task(begin: Begin) -> None:
    assert begin() is begin()
    assert Task.current_task() is begin()


def test_a_second_call_for_another_task_is_refused(begin: Begin) -> None:
    begin()
    with pytest.raises(UsageError, match=r"whose name is 'task' and not 'other'.*task.close\(\)"):
        begin(name="other")
    with pytest.raises(UsageError, match="project"):
        begin(project="other")
    with pytest.raises(UsageError, match="type"):
        begin(task_type="testing")


def test_an_unknown_type_is_refused_before_anything_happens(begin: Begin) -> None:
    with pytest.raises(InvalidArgumentError, match="data_processing"):
        begin(task_type="no such type")
    assert Task.current_task() is None


def test_after_close_another_task_begins(begin: Begin) -> None:
    first = begin(name="first")
    first.close()
    assert Task.current_task() is None
    second = begin(name="second")
    assert second.id != first.id
    assert first.status == "completed"


def test_the_same_script_takes_the_place_of_its_last_run(begin: Begin, events_of: Events) -> None:
    first = begin()
    first.connect({"lr": 0.1})
    first.connect_configuration({"size": 1})
    first.close()
    second = begin(tags=["new"])
    assert second.id == first.id
    assert second.run == 2
    assert second.get_parameters() == {}
    assert second.get_configuration_objects() == {}
    assert second.get_tags() == ["new"]
    assert "TaskReset" in types(events_of(second))
    assert Task.get_task(task_id=first.id) is second


@pytest.mark.parametrize("difference", [{"name": "other"}, {"project": "other"}, {"task_type": "testing"}])
def test_another_name_project_or_type_is_another_task(begin: Begin, difference: dict[str, str]) -> None:
    first = begin()
    first.close()
    assert begin(**difference).id != first.id


@pytest.mark.parametrize(
    "spoil",
    [
        upload,
        lambda task: (task.close(), task.publish()),
        lambda task: task.set_archived(True),
        lambda task: (task.close(), task.delete()),
        lambda task: (task.close(), Task.enqueue(task, "default", force=True)),
    ],
    ids=["artifact", "published", "archived", "deleted", "enqueued"],
)
def test_a_task_somebody_needs_keeps_its_place(begin: Begin, spoil: Callable[[Task], object]) -> None:
    first = begin()
    spoil(first)
    first.close()
    assert begin().id != first.id


def test_a_task_older_than_72_hours_keeps_its_place(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    first = begin()
    first.close()
    now = time.time_ns() // 1000
    monkeypatch.setattr("tasktape.producers.begin.now_us", lambda: now + 73 * 3_600_000_000)
    assert begin().id != first.id


@pytest.mark.parametrize(
    ("on_log", "embedded", "replaced"),
    [("true", False, True), ("null", True, True), ("null", False, False), ("false", True, False)],
    ids=["complete", "killed", "killed with a spool", "spooled"],
)
def test_a_run_keeps_its_place_while_what_it_said_is_on_its_way(
    begin: Begin,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_log: str,
    embedded: bool,
    replaced: bool,
) -> None:
    first = begin()
    first.close()
    (note,) = [path for path in (home / "last").iterdir() if '"on_log":true' in path.read_text()]
    note.write_text(note.read_text().replace('"on_log":true', f'"on_log":{on_log}'))
    monkeypatch.setattr("tasktape.producers.begin._is_embedded", lambda _: embedded)
    assert (begin().id == first.id) is replaced


def test_a_note_of_partitions_that_are_no_more_makes_a_new_task(begin: Begin, home: Path, events_of: Events) -> None:
    first = begin()
    first.close()
    (note,) = (home / "last").glob("*.ends.json")
    ends = json.loads(note.read_text())["tasktape.tasks"]
    place = partition_of(first.id, len(ends))
    other = next(count for count in range(1, 99) if partition_of(first.id, count) != place)
    note.write_text(json.dumps({"tasktape.tasks": dict.fromkeys(range(other), 0)}))
    second = begin()
    assert second.id != first.id
    assert "TaskCreated" in types(events_of(second))


@pytest.mark.parametrize("options", [{"reuse_last_task_id": False}, {"deferred_init": True}])
def test_reuse_can_be_turned_off(begin: Begin, options: dict[str, bool]) -> None:
    first = begin()
    first.close()
    assert begin(**options).id != first.id


def test_a_task_can_be_named_to_be_replaced(begin: Begin) -> None:
    first = begin(name="named")
    first.close()
    second = begin(name="renamed", reuse_last_task_id=first.id)
    assert (second.id, second.name, second.run) == (first.id, "renamed", 2)


def test_a_log_that_is_slow_to_answer_gives_a_new_task_at_once(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    first = begin()
    first.close()
    answer = threading.Event()
    real = SqliteLog.read

    def slow(self: SqliteLog, positions: Positions) -> object:
        answer.wait(30)
        return real(self, positions)

    monkeypatch.setattr(SqliteLog, "read", slow)
    monkeypatch.setattr("tasktape.producers.begin.VERIFY_SECONDS", 0.01)
    second = begin()
    answer.set()
    assert second.id != first.id


def test_a_task_goes_on_with_its_outputs_and_iterations(begin: Begin, events_of: Events) -> None:
    first = begin()
    first.connect({"lr": 0.1})
    for iteration in range(5):
        first.get_logger().report_scalar("loss", "train", iteration, iteration)
    first.close()
    second = begin(continue_last_task=True)
    assert (second.id, second.run, second.get_initial_iteration()) == (first.id, 2, 5)
    assert second.get_parameters() == {"General/lr": "0.1"}
    second.get_logger().report_scalar("loss", "train", 100.0, 0)
    second.close()
    assert types(events_of(second)).count("RunStarted") == 2
    assert second.get_reported_scalars()["loss"]["train"]["x"] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(("asked", "offset"), [(0, 0), (100, 100)])
def test_a_number_is_the_offset_to_go_on_with(begin: Begin, asked: int, offset: int) -> None:
    first = begin()
    first.get_logger().report_scalar("loss", "train", 1.0, 9)
    first.close()
    second = begin(continue_last_task=asked)
    assert (second.id, second.get_initial_iteration()) == (first.id, offset)


def test_a_task_that_reported_nothing_goes_on_from_zero(begin: Begin) -> None:
    begin().close()
    assert begin(continue_last_task=True).get_initial_iteration() == 0


def test_a_failed_task_can_go_on(begin: Begin) -> None:
    first = begin()
    first.mark_failed(status_reason="no")
    first.close()
    assert begin(continue_last_task=True).run == 2
    assert first.status == "in_progress"


def test_a_named_task_goes_on(begin: Begin) -> None:
    first = begin(name="first")
    first.close()
    assert begin(name="second", continue_last_task=first.id).id == first.id


def test_an_unknown_or_published_task_does_not_go_on(begin: Begin) -> None:
    with pytest.raises(UnknownTaskError, match="no such id"):
        begin(continue_last_task="no such id")
    first = begin()
    first.close()
    first.publish()
    with pytest.raises(InvalidTransitionError, match="published"):
        begin(continue_last_task=first.id)


def test_without_an_earlier_task_there_is_nothing_to_go_on_with(begin: Begin) -> None:
    assert begin(continue_last_task=True).run == 1


def test_the_curves_of_the_machine_can_be_timed(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[Connections] = []
    monkeypatch.setattr(process, "monitor_timing", {})
    monkeypatch.setattr(InitMixin, "_install", lambda _, connections: installed.append(connections))
    begin().close()
    assert Task.set_resource_monitor_iteration_timeout(seconds_from_start=5)
    begin().close()
    begin(auto_resource_monitoring=False).close()
    timings = [connections.monitoring for connections in installed]
    assert timings[0] is True
    assert timings[1]["report_start_sec"] == 5
    assert timings[2] is False


def test_names_default_to_the_script(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasktape.producers.describing.default_names", lambda _: ("repository", "script"))
    task = Task.init()
    assert (task.get_project_name(), task.name) == ("repository", "script")
    assert home.is_dir()


@pytest.mark.parametrize("text", ["a/b 'c' \"d\"\n<b>&", "🦆" * 300, "x" * 10_000, "y" * 10**6, "\x00", "\ud800"])
def test_any_text_is_a_name(begin: Begin, text: str) -> None:
    task = begin(project=text, name=text, tags=[text])
    task.close()
    row = task.data
    assert row.name == task.name
    assert Task.get_task(project_name=task.get_project_name(), task_name=task.name) == task


def test_the_output_uri_is_kept(begin: Begin, home: Path) -> None:
    assert begin(output_uri="s3://bucket/models").output_uri == "s3://bucket/models"
    begin().close()
    assert begin(name="other", output_uri=True).output_uri == str(home / "blobs")


@pytest.mark.parametrize("tags", [[], [WATCHED]], ids=["alone", "watched"])
def test_a_run_that_somebody_watches_and_its_child_processes_report_in_haste(
    as_agent: Callable[[Task], Task], monkeypatch: pytest.MonkeyPatch, tags: list[str]
) -> None:
    draft = Task.create("project", "draft")
    draft.set_system_tags(tags)
    draft.flush()
    as_agent(draft).get_logger().report_scalar("loss", "test", 0.5, 0)
    assert current_session().outbox.is_hasty == bool(tags)
    announced = json.loads(os.environ[lineage.PROC_TASK])
    current_session().outbox.is_hasty = False
    process.task = None
    monkeypatch.setenv(lineage.PROC_TASK, json.dumps(announced | {"pid": os.getppid()}))
    Task.init()
    assert current_session().outbox.is_hasty == bool(tags)
