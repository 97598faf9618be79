"""While the log does not answer a script goes on: what it knows itself is enough, and what it asks for is empty."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tasktape import Task
from tasktape.errors import LogUnavailableError
from tasktape.events.settings import Settings, load_settings
from tasktape.events.task_events import TaskArchived
from tasktape.producers import sender, task_lifecycle, task_waiting
from tasktape.producers.session import Session, change_session, current_session
from tasktape.producers.spool_folder import left_behind, roots

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


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A log that takes connections and says nothing, as a frozen broker does, until the event is set."""
    over = threading.Event()

    def wait(settings: Settings) -> NoReturn:
        over.wait()
        raise LogUnavailableError(settings.log, "gone")

    monkeypatch.setenv("TASKTAPE_LOG", "kafka://silent:9092")
    monkeypatch.setattr(Settings, "open_log", wait)
    yield over
    over.set()
    change_session(None)


@pytest.mark.usefixtures("silence")
def test_nobody_waits_at_the_end_of_a_run_for_a_log_that_is_silent(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is in the spool already; a log that answers is given the time it needs, here an hour."""
    monkeypatch.setenv("TASKTAPE_CLOSE_TIMEOUT", "3600")
    for name in ("SETTLE_SECONDS", "SYNC_SECONDS"):
        monkeypatch.setattr(task_lifecycle, name, 3600.0)
    for name in ("PATIENCE_SECONDS", "LAST_CHANCE_SECONDS"):
        monkeypatch.setattr(sender, name, 0.0)
    begin().close()
    change_session(None)
    (left,) = left_behind(roots(load_settings())[0])
    assert list(left.path.glob("*.spool"))
    left.release()


def test_what_a_process_says_at_its_end_is_given_the_time_that_is_set(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: list[float] = []
    finish = sender.Sender.finish

    def noted(self: sender.Sender, timeout: float) -> bool:
        allowed.append(timeout)
        return finish(self, timeout)

    monkeypatch.setattr(sender.Sender, "finish", noted)
    session = Session(load_settings().model_copy(update={"home": home, "close_timeout": 7.0}))
    session.emit(TaskArchived(meta=session.stamp(), task="t"))
    session.close()
    assert allowed == [7.0]
