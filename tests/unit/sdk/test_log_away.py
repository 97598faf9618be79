"""While the log does not answer a script goes on: what it knows itself is enough, and what it asks for is empty."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tasktape import Task
from tasktape.errors import LogUnavailableError
from tasktape.producers import task_waiting
from tasktape.producers.session import Session, current_session

Begin = Callable[..., Task]


class Outage:
    """Lets the log answer no questions while it is `on`."""

    def __init__(self) -> None:
        self.on = False
        self.asked = 0
        self._ask = Session._open_queries

    def open_queries(self, session: Session) -> Any:
        self.asked += 1
        if self.on:
            raise LogUnavailableError("kafka://away", "gone")
        return self._ask(session)


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Outage:
    outage = Outage()

    def ask(session: Session) -> Any:
        return outage.open_queries(session)

    monkeypatch.setattr(Session, "_open_queries", ask)
    return outage


def test_a_running_task_needs_no_answers(begin: Begin, outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    task = begin(tags=["a"])
    outage.on = True
    task.connect({"lr": 0.1})
    task.get_logger().report_scalar("loss", "train", 1.0, 7)
    task.flush()
    assert (task.status, task.name, task.get_tags(), task.get_parameters()) == (
        "in_progress",
        "task",
        ["a"],
        {"General/lr": "0.1"},
    )
    assert (task.data.status, task.data.last_iteration, task.get_last_iteration()) == ("in_progress", 7, 7)
    assert (task.get_reported_scalars(), task.get_reported_plots(), task.get_reported_single_values()) == ({}, [], {})
    assert (task.get_last_scalar_metrics(), task.get_debug_samples("t", "s"), task.get_executed_queue()) == (
        {},
        [],
        None,
    )
    task.mark_started()
    task.close()
    assert task.status == "completed"
    assert caplog.text.count("can't be read back now") == 1


def test_the_log_is_not_asked_again_and_again(begin: Begin, outage: Outage) -> None:
    task = begin()
    outage.on = True
    for _ in range(10):
        task.get_reported_scalars()
    assert outage.asked == 1


def test_a_task_can_be_copied_and_sent_off(begin: Begin, outage: Outage) -> None:
    task = begin()
    outage.on = True
    copy = Task.clone(task)
    with pytest.raises(SystemExit):
        task.execute_remotely("default")
    outage.on = False
    current_session()._away_until = 0.0
    assert (task.status, copy.status) == ("queued", "created")


def test_another_task_cannot_be_read(outage: Outage) -> None:
    outage.on = True
    with pytest.raises(LogUnavailableError, match="kafka://away"):
        Task.get_task("some id")


def test_whoever_waits_goes_on_waiting(
    begin: Begin, outage: Outage, monkeypatch: pytest.MonkeyPatch, until: Callable[[Callable[[], Any]], Any]
) -> None:
    monkeypatch.setattr(task_waiting, "POLL_SECONDS", 0.02)
    monkeypatch.setattr("tasktape.producers.session.AWAY_SECONDS", 0.0)
    task = begin()
    outage.on = True
    ended = threading.Event()

    def wait() -> None:
        Task(task.id).wait_for_status(check_interval_sec=0.02)
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    until(lambda: outage.asked > 1)
    assert not ended.is_set()
    outage.on = False
    task.close()
    assert ended.wait(30)
