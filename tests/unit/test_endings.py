"""How code was left decides how its run ended."""

from __future__ import annotations

import pytest

from tasktape.events.base import Stamper
from tasktape.events.task_events import RunCompleted, RunFailed, RunStopped
from tasktape.producers.ending import ending_of


@pytest.mark.parametrize("error", [None, SystemExit(), SystemExit(0), SystemExit(None)])
def test_leaving_in_order_completes_the_run(error: BaseException | None) -> None:
    assert isinstance(ending_of(error).event(Stamper()(), "t", 1), RunCompleted)


def test_control_c_stops_the_run() -> None:
    event = ending_of(KeyboardInterrupt()).event(Stamper()(), "t", 1)
    assert isinstance(event, RunStopped)
    assert event.reason == "interrupted"


@pytest.mark.parametrize(("code", "exit_code", "message"), [(3, 3, ""), ("no data", 1, "no data")])
def test_another_exit_code_fails_the_run(code: int | str, exit_code: int, message: str) -> None:
    event = ending_of(SystemExit(code)).event(Stamper()(), "t", 1)
    assert isinstance(event, RunFailed)
    assert (event.exit_code, event.message, event.reason) == (exit_code, message, f"exit code {exit_code}")


def test_long_texts_are_cut_where_they_say_least() -> None:
    event = ending_of(SystemExit("no data" * 10**6)).event(Stamper()(), "t", 1)
    assert isinstance(event, RunFailed)
    assert event.message.startswith("no data")
    assert len(event.message) + len(event.traceback) < 300_000


def test_an_exception_fails_the_run_with_its_traceback() -> None:
    try:
        raise ValueError("the loss diverged")  # noqa: TRY301
    except ValueError as error:
        event = ending_of(error).event(Stamper()(), "t", 1)
    assert isinstance(event, RunFailed)
    assert (event.reason, event.message) == ("ValueError", "ValueError: the loss diverged")
    assert event.traceback.startswith("Traceback")
    assert "test_endings.py" in event.traceback
