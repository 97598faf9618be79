"""What `Task.init` learns from the log about an earlier task: enough to know whether its place may be taken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tasktape.events.base import Stamper, TaskEvent
from tasktape.events.codec import Codec
from tasktape.events.log.memory import MemoryLog
from tasktape.events.parts import Artifact, Model, TaskSpec
from tasktape.events.task_events import (
    ArtifactUploaded,
    ModelSaved,
    RunCompleted,
    RunStarted,
    TaskArchived,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskPublished,
    TaskReset,
    TaskUnarchived,
)
from tasktape.events.topics import TOPICS
from tasktape.events.wire import append_event
from tasktape.producers.replay import Replayed, partition, replay

TASK = "a" * 32
OTHER = "b" * 32
CODEC = Codec()
stamp = Stamper("test")


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog("replay")
    log.create_topics(TOPICS)
    return log


def say(log: MemoryLog, *events: TaskEvent) -> None:
    for event in events:
        append_event(log, event, codec=CODEC)
    log.flush()


def created(task: str = TASK) -> TaskCreated:
    return TaskCreated(meta=stamp(), task=task, spec=TaskSpec(project="p", name="n"))


def started(run: int = 1, *, continues: bool = False) -> RunStarted:
    return RunStarted(meta=stamp(), task=TASK, run=run, continues=continues)


def completed(run: int = 1) -> RunCompleted:
    return RunCompleted(meta=stamp(), task=TASK, run=run)


def artifact(run: int = 1) -> ArtifactUploaded:
    return ArtifactUploaded(
        meta=stamp(), task=TASK, run=run, artifact=Artifact(name="a", type="dict", uri="file:///a", size=1, sha256="0")
    )


def model(run: int = 1) -> ModelSaved:
    return ModelSaved(meta=stamp(), task=TASK, run=run, model=Model(id="m", name="m"))


def look(log: MemoryLog, known: Replayed | None = None) -> Replayed | None:
    return replay(log, partition(log, TASK), CODEC, TASK, known or Replayed(), deadline=float("inf"))


def read(log: MemoryLog, known: Replayed | None = None) -> Replayed:
    found = look(log, known)
    assert found is not None
    return found


def test_spec_and_run_are_those_after_all_events(log: MemoryLog) -> None:
    edit = TaskEdited(meta=stamp(), task=TASK, field="comment", old='""', new='"edited"')
    say(log, created(OTHER), created(), started(), edit, completed(), started(2))
    found = read(log)
    assert found.state.spec == TaskSpec(project="p", name="n", comment="edited")
    assert found.state.run.number == 2
    assert found.can_be_replaced


EVENTS: dict[str, tuple[list[Callable[[], TaskEvent]], bool]] = {
    "finished": ([completed], True),
    "still running": ([], True),
    "with artifact": ([artifact, completed], False),
    "with model": ([model, completed], False),
    "published": ([completed, lambda: TaskPublished(meta=stamp(), task=TASK)], False),
    "archived": ([completed, lambda: TaskArchived(meta=stamp(), task=TASK)], False),
    "archived and back": (
        [completed, lambda: TaskArchived(meta=stamp(), task=TASK), lambda: TaskUnarchived(meta=stamp(), task=TASK)],
        True,
    ),
    "deleted": ([completed, lambda: TaskDeleted(meta=stamp(), task=TASK)], False),
    "artifact, then reset": ([artifact, completed, lambda: TaskReset(meta=stamp(), task=TASK, run=1)], True),
    "artifact, then a clean run": ([artifact, completed, lambda: started(2)], True),
    "artifact, then continued": ([artifact, completed, lambda: started(2, continues=True)], False),
}


@pytest.mark.parametrize(("events", "replaceable"), EVENTS.values(), ids=EVENTS.keys())
def test_a_task_gives_up_its_place_only_without_outputs(
    log: MemoryLog,
    events: list[Callable[[], TaskEvent]],
    replaceable: bool,
) -> None:
    say(log, created(), started(), *(make() for make in events))
    assert read(log).can_be_replaced is replaceable


def test_a_task_that_is_not_on_the_log_has_no_place_to_give(log: MemoryLog) -> None:
    say(log, created(OTHER))
    assert look(log) is None


def test_reading_starts_where_it_is_told(log: MemoryLog) -> None:
    say(log, created())
    end = log.end_positions(["tasktape.tasks"])[partition(log, TASK)]
    assert look(log, Replayed(position=end)) is None


def test_a_task_known_from_another_log_is_not_known(log: MemoryLog) -> None:
    say(log, created(), started())
    known = read(log)
    another = MemoryLog("another")
    another.create_topics(TOPICS)
    assert look(another, known) is None
    say(another, created(OTHER), *(created(f"{number:032}") for number in range(100)))
    assert look(another, known) is None


@pytest.mark.parametrize("cut", range(1, 5))
def test_reading_on_from_what_is_known_comes_to_the_same(log: MemoryLog, cut: int) -> None:
    edit = TaskEdited(meta=stamp(), task=TASK, field="comment", old='""', new='"edited"')
    events = [created(), started(), edit, artifact(), completed()]
    say(log, *events[:cut])
    known = Replayed.model_validate_json(read(log).model_dump_json())
    say(log, *events[cut:])
    assert read(log, known) == read(log)
    assert read(log).position == len(events)


def test_records_that_are_no_events_are_left_out(log: MemoryLog) -> None:
    log.append("tasktape.tasks", TASK, b"\xc3\x01garbage")
    log.append("tasktape.tasks", TASK, None)
    say(log, created(), started())
    assert read(log).can_be_replaced


def test_a_deadline_that_passes_first_gives_nothing(log: MemoryLog) -> None:
    say(log, created())
    assert replay(log, partition(log, TASK), CODEC, TASK, Replayed(), deadline=5.0, clock=lambda: 5.0) is None
