"""Queues and what waits in them, changed through the SDK: what is said, what is shown, and who comes too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import pytest

from tasktape import Task, queues
from tasktape.errors import (
    InvalidArgumentError,
    LogUnavailableError,
    NotEnqueuedError,
    QueueExistsError,
    QueueNotEmptyError,
    TooLateError,
    UnknownQueueError,
)
from tasktape.events.base import Event, Stamper, new_task_id
from tasktape.events.codec import Codec
from tasktape.events.errors import AppendError
from tasktape.events.log import Delivery, Log
from tasktape.events.parts import TaskSpec
from tasktape.events.queue_events import EntryClaimed, EntryEnqueued, EntryMoved, EntryTaken, entry_id
from tasktape.events.settings import load_settings
from tasktape.events.task_events import EntryLeft, TaskCreated
from tasktape.events.wire import append_event
from tasktape.producers import queue_desk
from tasktape.producers.session import current_session
from tasktape.projections.rows import EventRow
from tasktape.projections.work_rows import EntryRow, QueueRow

Events = Callable[[Task], list[EventRow]]
STAMP = Stamper("agent/a")


def say(*events: Event) -> None:
    with load_settings().open_log() as log:
        for event in events:
            append_event(log, event, codec=Codec())
            assert log.flush(30) == 0


def entries(queue: str = "q") -> list[EntryRow]:
    with current_session().queries() as asked:
        return asked.entries(queue)


def shown(queue: str = "q") -> list[str]:
    """Names of the tasks in a queue, in the order in which they are shown and served."""
    with current_session().queries() as asked:
        names = {task.id: task.name for task in asked.tasks()}
    return [names[entry.task] for entry in entries(queue)]


def row(queue: str = "q") -> QueueRow:
    with current_session().queries() as asked:
        return next(found for found in asked.queues() if found.name == queue)


def kinds(task: Task, events_of: Events) -> list[str]:
    return [event.type for event in events_of(task) if event.type.startswith("Entry")]


def about(task: Task, queue: str = "q") -> dict[str, Any]:
    return {"meta": STAMP(), "task": task.id, "queue": queue, "run": 1, "entry": entry_id(queue, task.id, 1)}


def claim(task: Task, worker: str = "agent/a") -> EntryClaimed:
    claimed = EntryClaimed(**about(task), worker=worker)
    say(claimed)
    return claimed


@pytest.fixture
def tasks() -> dict[str, Task]:
    """Four tasks that wait in the queue `q`, in the order of their names."""
    queues.create_queue("q")
    made = dict(zip("abcd", map(Task, sorted(new_task_id() for _ in "abcd")), strict=True))
    specs = {name: TaskSpec(project="p", name=name) for name in made}
    say(*(TaskCreated(meta=STAMP(), task=task.id, spec=specs[name]) for name, task in made.items()))
    say(*(EntryEnqueued(**about(task), spec=specs[name]) for name, task in made.items()))
    return made


def test_a_queue_is_created_once() -> None:
    queues.create_queue("q")
    with pytest.raises(QueueExistsError, match="'q' already"):
        queues.create_queue("q")
    assert (row().waiting, row().paused) == (0, False)


def test_a_queue_is_paused_with_a_reason_and_resumed() -> None:
    queues.create_queue("q")
    queues.pause_queue("q", reason="the disk is full")
    assert (row().paused, row().pause_reason) == (True, "the disk is full")
    queues.resume_queue("q")
    assert (row().paused, row().pause_reason) == (False, "")
    queues.pause_queue("services")
    assert row("services").paused, "those that every server has are made on first use"


def test_an_unknown_queue_is_not_changed() -> None:
    for change in (queues.pause_queue, queues.resume_queue, queues.clear_queue, queues.delete_queue):
        with pytest.raises(UnknownQueueError, match="missing"):
            change("missing")


def test_a_queue_in_which_something_waits_is_deleted_by_force_alone(tasks: dict[str, Task], events_of: Events) -> None:
    with pytest.raises(QueueNotEmptyError, match="4 tasks wait in queue 'q'") as refused:
        queues.delete_queue("q")
    assert refused.value.tasks == tuple(task.id for task in tasks.values())
    assert tasks["a"].id in str(refused.value)
    assert shown() == ["a", "b", "c", "d"]
    assert queues.delete_queue("q", force=True) == refused.value.tasks
    for task in tasks.values():
        assert task.status == "created"
        assert kinds(task, events_of) == ["EntryEnqueued", "EntryDequeued", "EntryLeft"]
    with pytest.raises(UnknownQueueError):
        Task.enqueue(tasks["a"], "q")


def test_a_queue_in_which_an_agent_has_claimed_something_is_not_deleted_even_by_force(tasks: dict[str, Task]) -> None:
    claim(tasks["b"])
    with pytest.raises(QueueNotEmptyError, match=r"1 task waits.*Agents have claimed"):
        queues.delete_queue("q", force=True)
    assert shown() == ["b"]


def test_clearing_dequeues_all_that_no_agent_has_claimed(tasks: dict[str, Task], events_of: Events) -> None:
    claim(tasks["c"])
    cleared = queues.clear_queue("q", reason="wrong data")
    assert cleared.dequeued == tuple(tasks[name].id for name in "abd")
    assert cleared.claimed == (tasks["c"].id,)
    assert kinds(tasks["c"], events_of) == ["EntryEnqueued", "EntryClaimed", "EntryDequeued"]
    (dequeued,) = [event for event in events_of(tasks["a"]) if event.type == "EntryDequeued"]
    assert "wrong data" in dequeued.body
    assert shown() == ["c"]


@pytest.mark.parametrize(
    ("where", "order"),
    [
        ({"front": True}, "cabd"),
        ({"back": True}, "abdc"),
        ({"position": 2}, "acbd"),
        ({"position": 4}, "abdc"),
        ({"position": 99}, "abdc"),
        ({"priority": 1}, "cabd"),
        ({"priority": -1}, "abdc"),
    ],
    ids=str,
)
def test_an_entry_is_moved_within_its_queue(tasks: dict[str, Task], where: dict[str, Any], order: str) -> None:
    assert queues.move_entry(tasks["c"], **where) == "q"
    assert shown() == list(order)
    assert tasks["c"].status == "queued"


def test_an_entry_takes_its_place_among_priorities(tasks: dict[str, Task]) -> None:
    queues.move_entry(tasks["d"], priority=5)
    assert shown() == list("dabc")
    queues.move_entry(tasks["c"], front=True, priority=0)
    assert shown() == list("dcab")
    queues.move_entry(tasks["b"], position=1)
    assert shown() == list("bdca")
    queues.move_entry(tasks["a"].id, back=True, priority=5)
    assert shown() == list("bdac")
    assert [entry.priority for entry in entries()] == [5, 5, 5, 0]


def test_tasks_are_enqueued_at_the_front_and_by_priority(tasks: dict[str, Task]) -> None:
    urgent, next_one, first = (Task.create("p", name) for name in ("urgent", "next", "first"))
    Task.enqueue(urgent, "q", priority=3)
    Task.enqueue(next_one, "q", priority=0, front=True)
    Task.enqueue(first, "q", front=True)
    assert shown() == ["first", "urgent", "next", *"abcd"]
    assert tasks["a"].status == "queued"


def test_an_entry_moves_to_another_queue_and_is_noted_there(tasks: dict[str, Task], events_of: Events) -> None:
    Task.enqueue(Task.create("p", "there"), "default", priority=1)
    queues.move_entry(tasks["b"], priority=2)
    assert queues.move_entry(tasks["b"], to_queue="default", reason="needs a GPU") == "default"
    assert (shown(), shown("default")) == (["a", "c", "d"], ["b", "there"])
    assert kinds(tasks["b"], events_of) == ["EntryEnqueued", "EntryMoved", "EntryMoved", "EntryEnqueued", "EntryLeft"]
    (entry,) = [entry for entry in entries("default") if entry.task == tasks["b"].id]
    assert (entry.id, entry.priority, entry.run) == (entry_id("q", tasks["b"].id, 1, 1), 2, 1)
    queues.move_entry(tasks["c"], to_queue="default", position=2)
    queues.move_entry(tasks["d"], to_queue="default", front=True)
    queues.move_entry(tasks["a"], to_queue="default")
    assert shown("default") == ["d", "b", "c", "there", "a"]
    queues.move_entry(tasks["b"], to_queue="q")
    assert (shown("q"), tasks["b"].status) == (["b"], "queued")
    Task.dequeue(tasks["b"])
    assert (shown("q"), tasks["b"].status) == ([], "created")


@pytest.mark.parametrize(
    "where",
    [{}, {"front": True, "back": True}, {"position": 0}, {"position": 1, "priority": 1}, {"to_queue": "q"}],
    ids=str,
)
def test_a_move_names_one_place(tasks: dict[str, Task], where: dict[str, Any], events_of: Events) -> None:
    with pytest.raises(InvalidArgumentError):
        queues.move_entry(tasks["a"], **where)
    assert kinds(tasks["a"], events_of) == ["EntryEnqueued"]


def test_what_waits_nowhere_is_not_moved_and_nothing_moves_to_an_unknown_queue(tasks: dict[str, Task]) -> None:
    with pytest.raises(NotEnqueuedError, match="can't be moved"):
        queues.move_entry(Task.create("p", "draft"), front=True)
    with pytest.raises(UnknownQueueError):
        queues.move_entry(tasks["a"], to_queue="missing")
    assert shown() == list("abcd")


def test_a_change_that_comes_too_late_says_so_and_does_nothing_else(tasks: dict[str, Task], events_of: Events) -> None:
    claim(tasks["a"], "agent/fast")
    with pytest.raises(TooLateError, match=r"can't be dequeued: agent/fast has claimed it.*tasks abort") as late:
        Task.dequeue(tasks["a"])
    assert late.value.worker == "agent/fast"
    for where in ({"front": True}, {"to_queue": "default"}):
        with pytest.raises(TooLateError, match="can't be moved"):
            queues.move_entry(tasks["a"], **where)
    assert "EntryLeft" not in kinds(tasks["a"], events_of), "it would void the start of a run that counts"
    assert [event.verdict for event in events_of(tasks["a"]) if event.type == "EntryDequeued"] == ["rejected"]
    assert (shown("default"), tasks["a"].status) == ([], "queued")


def test_a_task_that_an_agent_has_claimed_is_asked_to_stop_instead(tasks: dict[str, Task], events_of: Events) -> None:
    claimed = claim(tasks["a"])
    tasks["a"].mark_stop_request(status_message="enough")
    say(EntryTaken(**about(tasks["a"]), worker="agent/a", claim=claimed.meta.event_id))
    tasks["a"].mark_stop_request(status_message="enough")
    with pytest.raises(TooLateError, match="agent/a has taken it"):
        Task.dequeue(tasks["a"])
    found = events_of(tasks["a"])
    assert [event.type for event in found].count("AbortRequested") == 2
    assert "EntryLeft" not in kinds(tasks["a"], events_of)


def test_an_entry_that_is_taken_right_after_it_was_moved_is_the_agent_s(
    tasks: dict[str, Task], events_of: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deliver(log: Log, codec: Codec, events: Any) -> None:
        delivered(log, codec, events)
        if events and type(events[0]).__name__ == "EntryMoved":
            claimed = claim(tasks["b"])
            say(EntryTaken(**about(tasks["b"]), worker="agent/a", claim=claimed.meta.event_id))

    delivered = queue_desk.deliver
    monkeypatch.setattr(queue_desk, "deliver", deliver)
    queues.move_entry(tasks["b"], front=True)
    assert kinds(tasks["b"], events_of) == ["EntryEnqueued", "EntryMoved", "EntryClaimed", "EntryTaken"]


class CrashError(BaseException):
    """The process dies here."""


@pytest.mark.parametrize("at", ["next_hop", "left"])
def test_a_move_whose_mover_died_leaves_the_task_queued_and_is_not_changed_on_its_way(
    tasks: dict[str, Task], at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(queue_desk, at, crash)
        with pytest.raises(CrashError):
            queues.move_entry(tasks["a"], to_queue="default")
    assert tasks["a"].status == "queued"
    if at == "left":
        assert shown("default") == ["a"]
        return
    with pytest.raises(TooLateError, match="on its way to queue 'default'; try again"):
        Task.dequeue(tasks["a"])
    with pytest.raises(TooLateError, match="on its way"):
        tasks["a"].mark_stop_request()


class FaultyLog:
    """A log that takes a record and then says that it did not, or does not take it at all, so many times for a type."""

    def __init__(self, log: Log, kind: type[Event], times: int, *, takes: bool) -> None:
        self._log, self._kind, self._times, self._takes = log, kind, times, takes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def append(self, topic: str, key: str, value: bytes, **options: Any) -> None:
        if isinstance(Codec().decode(value), self._kind) and self._times:
            self._times -= 1
            if self._takes:
                self._log.append(topic, key, value, headers=options["headers"])
            options["on_delivery"](Delivery(topic, 0, 0, 0, AppendError("in doubt")))
        else:
            self._log.append(topic, key, value, **options)


@pytest.mark.parametrize("kind", [EntryMoved, EntryEnqueued, EntryLeft], ids=lambda kind: kind.__name__)
def test_an_append_in_doubt_is_repeated_under_the_same_id_and_counts_once(
    tasks: dict[str, Task], events_of: Events, monkeypatch: pytest.MonkeyPatch, kind: type[Event]
) -> None:
    session = current_session()
    open_log = session.open_log
    monkeypatch.setattr(session, "open_log", lambda: FaultyLog(open_log(), kind, 2, takes=True))
    queues.move_entry(tasks["a"], to_queue="default")
    assert (shown("q"), shown("default")) == (["b", "c", "d"], ["a"])
    verdicts = [event.verdict for event in events_of(tasks["a"]) if event.type == kind.__name__]
    assert verdicts.count("accepted") == (2 if kind is EntryEnqueued else 1)
    assert verdicts.count("duplicate") == 2


def test_a_note_is_not_made_before_the_next_hop_is_on_the_log(
    tasks: dict[str, Task], events_of: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = current_session()
    open_log = session.open_log
    monkeypatch.setattr(queue_desk, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(session, "open_log", lambda: FaultyLog(open_log(), EntryEnqueued, 1000, takes=False))
    with pytest.raises(LogUnavailableError, match="in doubt"):
        queues.move_entry(tasks["a"], to_queue="default")
    assert kinds(tasks["a"], events_of) == ["EntryEnqueued", "EntryMoved"]
